"""A Store that retries temporary failures: throttling, server errors, broken connections.

A response that is not what was asked for, such as a part of an object, is asked for again too.

Every repeated request is safe to repeat: reads, listings, deletes, and writes of objects whose key
is derived from their content. A conditional write is sent once; only if the store has clearly
refused the key may it be sent again, since it was not carried out.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from msgspec import Struct

from reconcile.mirror.clock import RetryClock
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
from reconcile.mirror.store.port import (
    DEFAULT_LIMIT,
    BytesLike,
    ListedObject,
    ObjectAbsent,
    ObjectData,
    Sink,
    Store,
)
from reconcile.runtime.backoff import Backoff

_Result = TypeVar("_Result")
DELETE_BATCH_SIZE = 1000
MAX_REREADS: Final = 3
"""How often a request with a bad response is repeated, until what it says is believed.

An object that is damaged in the store is reported after a second or two, not after the timeout."""


def is_unavailable(error: StoreError) -> bool:
    """Return whether the store was unavailable or failed."""
    return isinstance(error, StoreAwayError)


_STORE_BACKOFF: Final = Backoff(initial=0.25, maximum=15.0)

MAX_SERVER_DELAY: Final = 20.0
"""Seconds of a `Retry-After` that are obeyed: with more, a pod's last flush would have no second
attempt, and a start would fail at once."""


class RetryPolicy(Struct, frozen=True):
    """When to retry, and how long to wait before each attempt; `timeout` is the total in seconds.

    A longer delay that the server requests is obeyed up to `MAX_SERVER_DELAY`. With
    `retry_denied`, reads and writes that the store refuses are retried too: such a failure is
    temporary while a key is rotated, or a role or a bucket is created.
    """

    timeout: float = 120.0
    backoff: Backoff = _STORE_BACKOFF
    retry_denied: bool = False

    def is_retryable(self, error: StoreError) -> bool:
        """Return whether a read or write with this error may succeed later."""
        if isinstance(error, MissingObjectError | PreconditionError):
            return False
        return self.retry_denied or is_unavailable(error)

    def is_conditional_write_retryable(self, error: StoreError) -> bool:
        """Return whether a conditional write with this error was not made and may succeed later."""
        return self.retry_denied and isinstance(error, DeniedError)

    def delay(self, failures: int, jitter: float, server_delay: float) -> float:
        """Return the seconds to wait after so many failures, at least `server_delay`, if short."""
        return self.backoff.delay(failures, jitter, min(server_delay, MAX_SERVER_DELAY))


class RetryEvent(Struct, frozen=True):
    """A failed request, which is retried after `delay` seconds."""

    error: MirrorError
    failures: int
    delay: float


OnRetry: TypeAlias = Callable[[RetryEvent | None], None]
"""Gets each failed request that is retried, and None when it succeeds after that."""


def ignore_retry(_event: RetryEvent | None) -> None:
    """Report nothing."""


class RetryingStore:
    """Wraps a Store; raises the last error after the timeout, or when the process is to stop."""

    def __init__(
        self,
        inner: Store,
        clock: RetryClock,
        policy: RetryPolicy,
        on_retry: OnRetry = ignore_retry,
    ) -> None:
        self._inner = inner
        self._clock = clock
        self._policy = policy
        self._on_retry = on_retry

    def get(self, key: str, limit: int = DEFAULT_LIMIT) -> ObjectData:
        return self._retry(lambda: self._inner.get(key, limit), self._policy.is_retryable)

    def get_into(self, key: str, sink: Sink) -> int:
        return self._retry(lambda: self._inner.get_into(key, sink), self._policy.is_retryable)

    def get_range(self, key: str, offset: int, size: int) -> bytes:
        return self._retry(
            lambda: self._inner.get_range(key, offset, size), self._policy.is_retryable
        )

    def put(self, key: str, parts: Sequence[BytesLike], digest: str) -> None:
        return self._retry(lambda: self._inner.put(key, parts, digest), self._policy.is_retryable)

    def put_if(self, key: str, body: bytes, etag: str | ObjectAbsent) -> str:
        return self._retry(
            lambda: self._inner.put_if(key, body, etag), self._policy.is_conditional_write_retryable
        )

    def list(self, prefix: str, after: str = "") -> Iterator[ListedObject]:
        """Continue after the last key if a page failed; each page has the full timeout."""
        objects = self._inner.list(prefix, after)
        last = after
        while True:
            try:
                each = next(objects, None)
            except (StoreAwayError, UnexpectedResponseError) as error:
                objects, each = self._resume_list(prefix, last, error)
            if each is None:
                return
            last = each.key
            yield each

    def delete(self, keys: Iterable[str]) -> None:
        remaining = iter(keys)
        while batch := tuple(islice(remaining, DELETE_BATCH_SIZE)):
            self._delete_batch(batch)

    def retry(self, operation: Callable[[], _Result]) -> _Result:
        bad_response = (DamagedError, UnknownFormatError, UnexpectedResponseError)
        return self._retry(operation, self._policy.is_retryable, bad_response)

    def _delete_batch(self, batch: Sequence[str]) -> None:
        self._retry(lambda: self._inner.delete(batch))

    def _resume_list(
        self, prefix: str, last: str, error: StoreError
    ) -> tuple[Iterator[ListedObject], ListedObject | None]:
        first = [error]

        def resume() -> tuple[Iterator[ListedObject], ListedObject | None]:
            if first:
                raise first.pop()
            objects = self._inner.list(prefix, last)
            return objects, next(objects, None)

        return self._retry(resume)

    def _retry(
        self,
        request: Callable[[], _Result],
        is_retryable: Callable[[StoreError], bool] = is_unavailable,
        bad_response: tuple[type[MirrorError], ...] = (UnexpectedResponseError,),
    ) -> _Result:
        caught: tuple[type[MirrorError], ...] = (StoreError, *bad_response)
        start = self._clock.monotonic()
        failures = bad_responses = 0
        while True:
            try:
                result = request()
            except caught as error:
                is_bad = isinstance(error, bad_response)
                bad_responses += is_bad
                may_pass = isinstance(error, StoreError) and is_retryable(error)
                if error.is_final or not (may_pass or (is_bad and bad_responses <= MAX_REREADS)):
                    error.is_final |= is_bad
                    raise
                failures += 1
                self._wait(RetryEvent(error, failures, self._delay(failures, error)), start)
            else:
                if failures:
                    self._on_retry(None)
                return result

    def _delay(self, failures: int, error: MirrorError) -> float:
        server_delay = error.retry_after if isinstance(error, StoreAwayError) else 0.0
        return self._policy.delay(failures, self._clock.jitter(), server_delay)

    def _wait(self, event: RetryEvent, start: float) -> None:
        elapsed = self._clock.monotonic() - start
        error = event.error
        if elapsed + event.delay > self._policy.timeout:
            tries = f"given up after {event.failures} tries in {elapsed:.0f} s"
            raise _final_error(error, tries) from error
        self._on_retry(event)
        if self._clock.wait(event.delay):
            raise error


def _final_error(error: MirrorError, tries: str) -> MirrorError:
    """Return an error of the same class that nothing retries again."""
    message = f"{error} ({tries})"
    final = (
        StoreAwayError(message, error.retry_after)
        if isinstance(error, StoreAwayError)
        else type(error)(message)
    )
    final.is_final = True
    return final


if TYPE_CHECKING:
    _conforms: type[Store] = RetryingStore
