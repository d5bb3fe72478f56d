"""The clocks of the mirror, as protocols: tests use a clock that does not wait."""

from typing import Protocol


class Clock(Protocol):
    """The time, waits, and randomness for them."""

    def monotonic(self) -> float:
        """Return seconds since some moment; they never go back."""
        ...

    def time_ns(self) -> int:
        """Return nanoseconds since 1970; they may jump when the machine's clock is set."""
        ...

    def steady_ns(self) -> int:
        """Return nanoseconds since 1970 as of the start, without the jumps since then."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...

    def jitter(self) -> float:
        """Return a random number from 0 up to 1."""
        ...


class RetryClock(Protocol):
    """The time as retries and the bandwidth limit need it: its waits can be interrupted."""

    def monotonic(self) -> float:
        """Return seconds since some moment; they never go back."""
        ...

    def wait(self, seconds: float) -> bool:
        """Wait; returns True, at once, where the process must not wait any longer."""
        ...

    def jitter(self) -> float:
        """Return a random number from 0 up to 1."""
        ...


class Stopwatch:
    """Measures time from its creation, whatever happens to the machine's clock.

    The clock may be set back, and monotonic time stands still while a machine sleeps. So the larger
    of the two differences counts.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wall_start = clock.time_ns()
        self._monotonic_start = clock.monotonic()

    def elapsed(self) -> float:
        """Return the seconds since the creation, at least."""
        wall = (self._clock.time_ns() - self._wall_start) / 1e9
        return max(wall, self._clock.monotonic() - self._monotonic_start)
