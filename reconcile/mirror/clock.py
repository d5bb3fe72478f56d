"""Time as the mirror sees it, so that tests need not wait."""

from typing import Protocol


class Clock(Protocol):
    """Real in the program, scripted in tests."""

    def monotonic(self) -> float:
        """Return seconds since some moment; they never go back."""
        ...

    def time_ns(self) -> int:
        """Return nanoseconds since 1970; they may jump when the machine's clock is set."""
        ...

    def steady_ns(self) -> int:
        """Return nanoseconds since 1970 as they were told at the start, without later jumps."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...

    def jitter(self) -> float:
        """Return a random number from 0 up to 1."""
        ...


class Stopwatch:
    """A moment from which on something is timed, whatever happens to the machine's clock.

    The clock may be set back, and monotonic time stands still while a machine sleeps. So what
    counts is whichever says that more time has gone by.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wall_start = clock.time_ns()
        self._monotonic_start = clock.monotonic()

    def elapsed(self) -> float:
        """Return how long ago that was, at least."""
        wall = (self._clock.time_ns() - self._wall_start) / 1e9
        return max(wall, self._clock.monotonic() - self._monotonic_start)
