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
from reconcile.mirror.store.port import Absent, Bytes, Listed, Room, Store, Stored

_Result = TypeVar("_Result")
DELETED_AT_ONCE = 1000


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


def is_away(error: StoreError) -> bool:
    """Tell whether the store could not answer as it should."""
    return isinstance(error, StoreAwayError)


class Backoff(Struct, frozen=True):
    """How long to go on: waits double from `first` to `longest`, `budget` in all, in seconds.

    What the server itself wishes for is obeyed if it fits into the budget. With `refusals` reads
    and writes are also tried again where the store has refused them: while a key is rotated, a role
    or a bucket is made, that passes by itself.
    """

    budget: float = 120.0
    first: float = 0.25
    longest: float = 15.0
    refusals: bool = False

    def hopes(self, error: StoreError) -> bool:
        """Tell whether a read or write that failed so may work later."""
        if isinstance(error, MissingObjectError | PreconditionError):
            return False
        return self.refusals or is_away(error)

    def hopes_for_key(self, error: StoreError) -> bool:
        """Tell whether a conditional write that failed so was not made, and may be later."""
        return self.refusals and isinstance(error, DeniedError)

    def pause(self, failures: int, jitter: float, wish: float) -> float:
        """Seconds to wait after so many failures; at least what the server wished for."""
        ceiling = min(self.longest, self.first * 2.0 ** min(failures - 1, 30))
        return max(wish, ceiling * (0.5 + jitter / 2))


class Setback(Struct, frozen=True):
    """A request that failed and is made again after `pause` seconds."""

    error: StoreError
    failures: int
    pause: float


def unheard(_setback: Setback) -> None:
    """Tell nobody."""


class RetryingStore:
    """Wraps a Store; gives up with the last error when the budget is spent or the process stops."""

    def __init__(
        self,
        inner: Store,
        clock: Clock,
        backoff: Backoff,
        tell: Callable[[Setback], None] = unheard,
    ) -> None:
        self._inner = inner
        self._clock = clock
        self._backoff = backoff
        self._tell = tell

    def get(self, key: str) -> Stored:
        return self._call(lambda: self._inner.get(key), self._backoff.hopes)

    def get_into(self, key: str, room: Room) -> int:
        return self._call(lambda: self._inner.get_into(key, room), self._backoff.hopes)

    def get_range(self, key: str, offset: int, size: int) -> bytes:
        return self._call(lambda: self._inner.get_range(key, offset, size), self._backoff.hopes)

    def put(self, key: str, parts: Sequence[Bytes], digest: str) -> None:
        return self._call(lambda: self._inner.put(key, parts, digest), self._backoff.hopes)

    def put_if(self, key: str, body: bytes, etag: str | Absent) -> str:
        return self._call(lambda: self._inner.put_if(key, body, etag), self._backoff.hopes_for_key)

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        """Go on after the last key where a page failed; each page has the whole budget."""
        found = self._inner.list(prefix, after)
        last = after
        while True:
            try:
                each = next(found, None)
            except StoreAwayError as error:
                found, each = self._resumed(prefix, last, error)
            if each is None:
                return
            last = each.key
            yield each

    def delete(self, keys: Iterable[str]) -> None:
        waiting = iter(keys)
        while batch := tuple(islice(waiting, DELETED_AT_ONCE)):
            self._delete(batch)

    def _delete(self, batch: Sequence[str]) -> None:
        self._call(lambda: self._inner.delete(batch))

    def _resumed(
        self, prefix: str, last: str, error: StoreAwayError
    ) -> tuple[Iterator[Listed], Listed | None]:
        first = [error]

        def again() -> tuple[Iterator[Listed], Listed | None]:
            if first:
                raise first.pop()
            found = self._inner.list(prefix, last)
            return found, next(found, None)

        return self._call(again)

    def _call(
        self, request: Callable[[], _Result], hopes: Callable[[StoreError], bool] = is_away
    ) -> _Result:
        began = self._clock.monotonic()
        failures = 0
        while True:
            try:
                return request()
            except StoreError as error:
                if not hopes(error):
                    raise
                failures += 1
                self._wait(Setback(error, failures, self._pause(failures, error)), began)

    def _pause(self, failures: int, error: StoreError) -> float:
        wish = error.retry_after if isinstance(error, StoreAwayError) else 0.0
        return self._backoff.pause(failures, self._clock.jitter(), wish)

    def _wait(self, setback: Setback, began: float) -> None:
        spent = self._clock.monotonic() - began
        error = setback.error
        if spent + setback.pause > self._backoff.budget:
            tries = f"given up after {setback.failures} tries in {spent:.0f} s"
            raise _given_up(error, f"{error} ({tries})") from error
        self._tell(setback)
        if self._clock.wait(setback.pause):
            raise error


def _given_up(error: StoreError, words: str) -> StoreError:
    """Return an error of the same kind."""
    if isinstance(error, StoreAwayError):
        return StoreAwayError(words, error.retry_after)
    return type(error)(words)


if TYPE_CHECKING:
    _conforms: type[Store] = RetryingStore
