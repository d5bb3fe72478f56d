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

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...

    def jitter(self) -> float:
        """Return a random number from 0 up to 1."""
        ...
