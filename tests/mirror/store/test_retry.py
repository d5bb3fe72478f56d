"""Temporary failures are retried until the timeout; a conditional write is not."""

import hashlib
import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.mirror.errors import (
    DamagedError,
    DeniedError,
    MirrorError,
    MissingObjectError,
    PreconditionError,
    StoreAwayError,
    StoreError,
    UnexpectedResponseError,
    UnknownFormatError,
)
from reconcile.mirror.restore.downloader import MemorySink
from reconcile.mirror.store.port import ABSENT, Store
from reconcile.mirror.store.retry import (
    MAX_REREADS,
    MAX_SERVER_DELAY,
    RetryEvent,
    RetryingStore,
    RetryPolicy,
)
from reconcile.runtime.backoff import Backoff
from tests.clocks import FakeClock
from tests.mirror.memory_store import Fault, MemoryBucket, Request

BACKOFF = RetryPolicy(timeout=60, backoff=Backoff(1, 8))
AWAY = StoreAwayError("the store is unavailable")


def failing(times: int, error: StoreError = AWAY, *, done: bool = False) -> Fault:
    remaining = [times]

    def fault(request: Request) -> StoreError | None:
        if request.done is not done or not remaining[0]:
            return None
        remaining[0] -= 1
        return error

    return fault


def opened(fault: Fault, clock: FakeClock) -> tuple[MemoryBucket, RetryingStore]:
    bucket = MemoryBucket()
    for key in ("a", "b", "c"):
        bucket.objects[key] = (key.encode(), 0.0)
    bucket.fault = fault
    return bucket, RetryingStore(bucket.below(""), clock, BACKOFF)


CALLS: dict[str, Callable[[Store], object]] = {
    "get": lambda store: store.get("a").body,
    "get_into": lambda store: store.get_into("a", MemorySink(memoryview(bytearray(1)))),
    "get_range": lambda store: store.get_range("a", 0, 1),
    "put": lambda store: store.put("d", [b"d"], hashlib.sha256(b"d").hexdigest()),
    "list": lambda store: [each.key for each in store.list("")],
    "delete": lambda store: store.delete(["a"]),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("done", [False, True], ids=["request lost", "response lost"])
def test_a_request_that_fails_twice_succeeds_at_the_third_attempt(
    call: Callable[[Store], object], *, done: bool
) -> None:
    expected = call(opened(failing(0), FakeClock())[1])
    clock = FakeClock()
    _, store = opened(failing(2, done=done), clock)
    assert call(store) == expected
    assert clock.waits == [1, 2]


def test_a_conditional_write_is_sent_once() -> None:
    clock = FakeClock()
    bucket, store = opened(failing(1), clock)
    with pytest.raises(StoreAwayError):
        store.put_if("HEAD", b"", ABSENT)
    assert (len(bucket.requests), clock.waits) == (1, [])


@pytest.mark.parametrize("error", [DeniedError("no"), MissingObjectError("no"), StoreError("no")])
def test_a_permanent_error_is_not_retried(error: StoreError) -> None:
    clock = FakeClock()
    bucket, store = opened(failing(1, error), clock)
    with pytest.raises(type(error)):
        store.get("a")
    assert len(bucket.requests) == 1


REFUSALS = [
    DeniedError("403"),
    StoreError("400"),
    StoreError("301"),
    StoreAwayError("500"),
]
RETRY_DENIED = RetryPolicy(timeout=60, backoff=Backoff(1, 8), retry_denied=True)


def retrying_denied(fault: Fault, clock: FakeClock) -> tuple[MemoryBucket, RetryingStore]:
    bucket, _ = opened(fault, clock)
    return bucket, RetryingStore(bucket.below(""), clock, RETRY_DENIED)


@pytest.mark.parametrize("call", ["get", "get_into", "get_range", "put"])
@pytest.mark.parametrize("error", REFUSALS, ids=str)
def test_with_retry_denied_every_refusal_is_retried(call: str, error: StoreError) -> None:
    clock = FakeClock()
    _, store = retrying_denied(failing(2, error), clock)
    assert CALLS[call](store) == CALLS[call](opened(failing(0), FakeClock())[1])
    assert clock.waits == [1, 2]


@pytest.mark.parametrize("error", REFUSALS, ids=str)
def test_a_permanent_refusal_keeps_its_class_and_message(error: StoreError) -> None:
    clock = FakeClock()
    _, store = retrying_denied(failing(1000, error), clock)
    with pytest.raises(
        type(error), match=rf"^{error} \(given up after 10 tries in 55 s\)"
    ) as caught:
        store.get("a")
    assert type(caught.value) is type(error)
    assert clock.seconds <= RETRY_DENIED.timeout


def test_with_retry_denied_a_missing_object_is_not_retried() -> None:
    clock = FakeClock()
    bucket, store = retrying_denied(failing(0), clock)
    with pytest.raises(MissingObjectError):
        store.get("nothing")
    with pytest.raises(PreconditionError):
        store.put_if("a", b"", ABSENT)
    assert (clock.waits, len(bucket.requests)) == ([], 2)


def test_a_conditional_write_is_retried_only_if_the_key_was_refused() -> None:
    clock = FakeClock()
    bucket, store = retrying_denied(failing(2, DeniedError("403")), clock)
    store.put_if("HEAD", b"new", ABSENT)
    assert (bucket.objects["HEAD"][0], clock.waits) == (b"new", [1, 2])
    for error in (StoreAwayError("500"), StoreError("400"), PreconditionError("412")):
        bucket.fault = failing(1, error)
        with pytest.raises(type(error)):
            store.put_if("HEAD", b"newer", ABSENT)
    assert clock.waits == [1, 2]


def test_a_refused_delete_is_not_retried() -> None:
    clock = FakeClock()
    _, store = retrying_denied(failing(1, DeniedError("403")), clock)
    with pytest.raises(DeniedError):
        store.delete(["a"])
    assert clock.waits == []


def test_delays_grow_until_the_timeout() -> None:
    clock = FakeClock()
    bucket, store = opened(failing(1000), clock)
    with pytest.raises(StoreAwayError, match=r"is unavailable \(given up after 10 tries in 55 s\)"):
        store.get("a")
    assert clock.waits == [1, 2, 4, 8, 8, 8, 8, 8, 8]
    assert len(bucket.requests) == 10


def test_a_delay_requested_by_the_server_is_obeyed() -> None:
    clock = FakeClock()
    _, store = opened(failing(1, StoreAwayError("later", 13)), clock)
    assert store.get("a").body == b"a"
    assert clock.waits == [13]


@pytest.mark.parametrize("requested", [61, 3600, math.inf])
def test_a_very_long_delay_does_not_end_the_retries(requested: float) -> None:
    clock = FakeClock()
    _, store = opened(failing(1, StoreAwayError("much later", requested)), clock)
    assert store.get("a").body == b"a"
    assert clock.waits == [MAX_SERVER_DELAY]
    _, store = opened(failing(9, StoreAwayError("much later", requested)), clock)
    with pytest.raises(StoreAwayError, match="much later") as caught:
        store.get("a")
    assert caught.value.retry_after == requested


def test_a_stop_ends_the_wait_and_the_retries() -> None:
    clock = FakeClock(stop_after=2)
    bucket, store = opened(failing(1000), clock)
    with pytest.raises(StoreAwayError):
        store.get("a")
    assert len(bucket.requests) == 2


def test_each_retry_is_reported() -> None:
    events: list[RetryEvent | None] = []
    bucket = MemoryBucket()
    bucket.fault = failing(2)
    assert list(RetryingStore(bucket.below(""), FakeClock(), BACKOFF, events.append).list("")) == []
    assert [each and (each.failures, each.delay) for each in events] == [(1, 1), (2, 2), None]


def test_a_listing_continues_after_its_last_key() -> None:
    class Paged:
        """Yields one key of each listing, then fails."""

        def __init__(self, inner: Store) -> None:
            self.inner = inner
            self.starts: list[str] = []

        def list(self, prefix: str, after: str = "") -> object:
            self.starts.append(after)
            for each in self.inner.list(prefix, after):
                yield each
                raise AWAY

    paged = Paged(opened(failing(0), FakeClock())[0].below(""))
    store = RetryingStore(paged, FakeClock(), BACKOFF)  # type: ignore[arg-type]
    assert [each.key for each in store.list("")] == ["a", "b", "c"]
    assert paged.starts == ["", "a", "b", "c"]


def reading(errors: list[MirrorError]) -> Callable[[], str]:
    """Return an operation that raises each error once, and then succeeds."""

    def read() -> str:
        if errors:
            raise errors.pop(0)
        return "read"

    return read


@pytest.mark.parametrize("error", [DamagedError, UnknownFormatError, UnexpectedResponseError])
def test_what_does_not_fit_is_read_again_a_few_times(error: type[MirrorError]) -> None:
    clock = FakeClock()
    _, store = opened(failing(0), clock)
    assert store.retry(reading([error("odd")] * MAX_REREADS)) == "read"
    assert clock.waits == [1, 2, 4]
    rest = [error(f"odd {number}") for number in range(9)]
    with pytest.raises(error, match=f"odd {MAX_REREADS}$"):
        store.retry(lambda: store.retry(reading(rest)))
    assert len(rest) == 9 - MAX_REREADS - 1


def test_failures_and_bad_responses_of_an_operation_are_counted_apart() -> None:
    clock = FakeClock()
    _, store = opened(failing(0), clock)
    errors = [AWAY, AWAY, AWAY, DamagedError("odd"), AWAY, DamagedError("odd"), AWAY]
    assert store.retry(reading([*errors])) == "read"
    assert clock.waits == [1, 2, 4, 8, 8, 8, 8]


def test_what_was_given_up_is_not_retried_by_an_outer_operation() -> None:
    clock = FakeClock()
    bucket, store = opened(failing(1000), clock)
    with pytest.raises(StoreAwayError) as caught:
        store.retry(lambda: store.get("a"))
    assert str(caught.value).count("given up") == 1
    assert len(bucket.requests) == 10


def test_the_response_of_another_server_is_asked_for_again() -> None:
    clock = FakeClock()
    _, store = opened(failing(2, UnexpectedResponseError("a page")), clock)
    assert store.get("a").body == b"a"
    _, store = retrying_denied(failing(8, UnexpectedResponseError("a page")), clock)
    assert store.get("a").body == b"a"


@given(st.integers(1, 10_000), st.floats(0, 1), st.floats(0, 1e6))
def test_a_delay_is_never_shorter_than_requested_nor_longer_than_necessary(
    failures: int, jitter: float, requested: float
) -> None:
    delay = BACKOFF.delay(failures, jitter, requested)
    assert min(requested, MAX_SERVER_DELAY) <= delay
    assert delay <= max(min(requested, MAX_SERVER_DELAY), BACKOFF.backoff.maximum)
    assert delay >= BACKOFF.backoff.initial / 2
