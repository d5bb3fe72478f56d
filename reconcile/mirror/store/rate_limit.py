"""A Store with a bandwidth limit: each request waits until those before it have used their time.

An object is sent or fetched in one go, and the time that it should have taken is waited for
afterwards. The limit therefore holds on average; the transfers in progress, at most one pack for
each worker, are faster.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from reconcile.mirror.clock import RetryClock
from reconcile.mirror.store.port import (
    DEFAULT_LIMIT,
    BytesLike,
    ListedObject,
    ObjectAbsent,
    ObjectData,
    Sink,
    Store,
)

_Result = TypeVar("_Result")
BURST_SECONDS: Final = 1.0
"""Seconds whose bytes may be sent at once after a pause, so that small requests do not wait."""

_POLL_INTERVAL: Final = 0.5
"""Seconds between two checks whether the limit still applies."""


class RateLimiter:
    """A token bucket that all threads and both directions share.

    It may go into debt: the size of a received object is only known afterwards.
    """

    def __init__(
        self,
        rate: float,
        clock: RetryClock,
        is_unthrottled: Callable[[], bool],
        on_throttled: Callable[[float], None],
    ) -> None:
        """Start with a full bucket.

        Args:
            rate: Bytes per second; infinite for no limit.
            clock: The clock that measures and waits.
            is_unthrottled: Returns whether the limit no longer applies; polled during a wait.
            on_throttled: Receives how many seconds a request has waited.
        """
        self._rate = rate
        self._clock = clock
        self._is_unthrottled = is_unthrottled
        self._on_throttled = on_throttled
        self._lock = threading.Lock()
        self._next_turn = clock.monotonic() - BURST_SECONDS
        self._local = threading.local()

    def acquire(self, size: int) -> None:
        """Wait until all bytes before are due, and reserve the time for `size` bytes."""
        self._wait_until(self._reserve(size))

    def record(self, size: int) -> None:
        """Reserve the time for bytes that were transferred already, without a wait."""
        self._reserve(size)

    def throttled_seconds(self) -> float:
        """Return how many seconds the calling thread has waited in all."""
        return getattr(self._local, "seconds", 0.0)

    def _reserve(self, size: int) -> float:
        with self._lock:
            turn = max(self._next_turn, self._clock.monotonic() - BURST_SECONDS)
            self._next_turn = turn + size / self._rate
        return turn

    def _wait_until(self, turn: float) -> None:
        began = self._clock.monotonic()
        if turn <= began:
            return
        while not self._is_unthrottled() and (left := turn - self._clock.monotonic()) > 0:
            if self._clock.wait(min(left, _POLL_INTERVAL)):
                break
        seconds = self._clock.monotonic() - began
        self._local.seconds = self.throttled_seconds() + seconds
        self._on_throttled(seconds)


class ThrottleAwareClock:
    """A clock for retries that does not count the time for which the limit delayed requests."""

    def __init__(self, clock: RetryClock, limiter: RateLimiter) -> None:
        self._clock = clock
        self._limiter = limiter

    def monotonic(self) -> float:
        return self._clock.monotonic() - self._limiter.throttled_seconds()

    def wait(self, seconds: float) -> bool:
        return self._clock.wait(seconds)

    def jitter(self) -> float:
        return self._clock.jitter()


class RateLimitedStore:
    """Wraps a Store, below its retries, so that repeated requests count again.

    A conditional write never waits, so that a commit of stored objects is not delayed.
    """

    def __init__(self, inner: Store, limiter: RateLimiter) -> None:
        self._inner = inner
        self._limiter = limiter

    def get(self, key: str, limit: int = DEFAULT_LIMIT) -> ObjectData:
        self._limiter.acquire(0)
        stored = self._inner.get(key, limit)
        self._limiter.record(len(stored.body))
        return stored

    def get_into(self, key: str, sink: Sink) -> int:
        self._limiter.acquire(0)
        size = self._inner.get_into(key, sink)
        self._limiter.record(size)
        return size

    def get_range(self, key: str, offset: int, size: int) -> bytes:
        self._limiter.acquire(size)
        return self._inner.get_range(key, offset, size)

    def put(self, key: str, parts: Sequence[BytesLike], digest: str) -> None:
        self._limiter.acquire(sum(map(len, parts)))
        self._inner.put(key, parts, digest)

    def put_if(self, key: str, body: bytes, etag: str | ObjectAbsent) -> str:
        self._limiter.record(len(body))
        return self._inner.put_if(key, body, etag)

    def list(self, prefix: str, after: str = "") -> Iterator[ListedObject]:
        return self._inner.list(prefix, after)

    def delete(self, keys: Iterable[str]) -> None:
        self._inner.delete(keys)

    def retry(self, operation: Callable[[], _Result]) -> _Result:
        return self._inner.retry(operation)


if TYPE_CHECKING:
    _conforms: type[Store] = RateLimitedStore
