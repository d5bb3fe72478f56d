"""A Store that tries again what may pass by itself: throttling, failures, broken connections.

All that is repeated is safe to repeat: reads, lists, deletes, and writes of objects that are named
by their content. A conditional write is sent once; only where the store has clearly refused the key
may it be sent again, since it was not carried out.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Protocol, TypeVar

from msgspec import Struct

from reconcile.mirror.errors import (
    DeniedError,
    MissingObjectError,
    PreconditionError,
    StoreAwayError,
    StoreError,
)
from reconcile.mirror.store.port import (
    BytesLike,
    ListedObject,
    ObjectAbsent,
    ObjectData,
    Sink,
    Store,
)

_Result = TypeVar("_Result")
DELETE_BATCH_SIZE = 1000


class Clock(Protocol):
    """Time, and the wish to stop."""

    def monotonic(self) -> float:
        """Seconds from some point on."""
        ...

    def wait(self, seconds: float) -> bool:
        """Wait; True, at once, where the process is to stop: nothing is tried again then."""
        ...

    def jitter(self) -> float:
        """A random number from 0 to 1."""
        ...


def is_unavailable(error: StoreError) -> bool:
    """Tell whether the store could not answer as it should."""
    return isinstance(error, StoreAwayError)


class RetryPolicy(Struct, frozen=True):
    """How long to go on: waits double from `initial_delay` to `max_delay`, `timeout` in all, in seconds.

    What the server itself wishes for is obeyed if it fits into the budget. With `retry_denied` reads
    and writes are also tried again where the store has refused them: while a key is rotated, a role
    or a bucket is made, that passes by itself.
    """

    timeout: float = 120.0
    initial_delay: float = 0.25
    max_delay: float = 15.0
    retry_denied: bool = False

    def is_retryable(self, error: StoreError) -> bool:
        """Tell whether a read or write that failed so may work later."""
        if isinstance(error, MissingObjectError | PreconditionError):
            return False
        return self.retry_denied or is_unavailable(error)

    def is_conditional_write_retryable(self, error: StoreError) -> bool:
        """Tell whether a conditional write that failed so was not made, and may be later."""
        return self.retry_denied and isinstance(error, DeniedError)

    def delay(self, failures: int, jitter: float, server_delay: float) -> float:
        """Seconds to wait after so many failures; at least what the server wished for."""
        ceiling = min(self.max_delay, self.initial_delay * 2.0 ** min(failures - 1, 30))
        return max(server_delay, ceiling * (0.5 + jitter / 2))


class RetryEvent(Struct, frozen=True):
    """A request that failed and is made again after `delay` seconds."""

    error: StoreError
    failures: int
    delay: float


def ignore_retry(_event: RetryEvent) -> None:
    """Tell nobody."""


class RetryingStore:
    """Wraps a Store; gives up with the last error when the budget is spent or the process stops."""

    def __init__(
        self,
        inner: Store,
        clock: Clock,
        policy: RetryPolicy,
        on_retry: Callable[[RetryEvent], None] = ignore_retry,
    ) -> None:
        self._inner = inner
        self._clock = clock
        self._policy = policy
        self._on_retry = on_retry

    def get(self, key: str) -> ObjectData:
        return self._retry(lambda: self._inner.get(key), self._policy.is_retryable)

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
        """Go on after the last key where a page failed; each page has the whole budget."""
        found = self._inner.list(prefix, after)
        last = after
        while True:
            try:
                each = next(found, None)
            except StoreAwayError as error:
                found, each = self._resume_list(prefix, last, error)
            if each is None:
                return
            last = each.key
            yield each

    def delete(self, keys: Iterable[str]) -> None:
        waiting = iter(keys)
        while batch := tuple(islice(waiting, DELETE_BATCH_SIZE)):
            self._delete_batch(batch)

    def _delete_batch(self, batch: Sequence[str]) -> None:
        self._retry(lambda: self._inner.delete(batch))

    def _resume_list(
        self, prefix: str, last: str, error: StoreAwayError
    ) -> tuple[Iterator[ListedObject], ListedObject | None]:
        first = [error]

        def again() -> tuple[Iterator[ListedObject], ListedObject | None]:
            if first:
                raise first.pop()
            found = self._inner.list(prefix, last)
            return found, next(found, None)

        return self._retry(again)

    def _retry(
        self,
        request: Callable[[], _Result],
        is_retryable: Callable[[StoreError], bool] = is_unavailable,
    ) -> _Result:
        began = self._clock.monotonic()
        failures = 0
        while True:
            try:
                return request()
            except StoreError as error:
                if not is_retryable(error):
                    raise
                failures += 1
                self._wait(RetryEvent(error, failures, self._delay(failures, error)), began)

    def _delay(self, failures: int, error: StoreError) -> float:
        wish = error.retry_after if isinstance(error, StoreAwayError) else 0.0
        return self._policy.delay(failures, self._clock.jitter(), wish)

    def _wait(self, event: RetryEvent, began: float) -> None:
        spent = self._clock.monotonic() - began
        error = event.error
        if spent + event.delay > self._policy.timeout:
            tries = f"given up after {event.failures} tries in {spent:.0f} s"
            raise _final_error(error, f"{error} ({tries})") from error
        self._on_retry(event)
        if self._clock.wait(event.delay):
            raise error


def _final_error(error: StoreError, message: str) -> StoreError:
    """Return an error of the same kind."""
    if isinstance(error, StoreAwayError):
        return StoreAwayError(message, error.retry_after)
    return type(error)(message)


if TYPE_CHECKING:
    _conforms: type[Store] = RetryingStore
