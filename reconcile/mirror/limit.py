"""How long something may go on: until a time, or until somebody asks for an end."""

import math
from collections.abc import Callable

from reconcile.mirror.clock import Clock


class OverError(Exception):
    """The limit is reached; what was begun is not finished."""


def _nobody() -> bool:
    return False


class Limit:
    """Asked often by whatever may take long.

    Args:
        clock: Whose time counts.
        ends: When it is over, on the clock's monotonic time.
        asked: Whether somebody wants an end now.
    """

    def __init__(
        self, clock: Clock, ends: float = math.inf, asked: Callable[[], bool] = _nobody
    ) -> None:
        self._clock = clock
        self.ends = ends
        self._asked = asked

    def over(self) -> bool:
        """Tell whether it is time to stop."""
        return self._asked() or self._clock.monotonic() >= self.ends

    def check(self) -> None:
        """Raise OverError if it is time to stop."""
        if self.over():
            raise OverError

    def within(self, seconds: float) -> "Limit":
        """Return the same limit, or one so many seconds from now if that is earlier."""
        ends = min(self.ends, self._clock.monotonic() + seconds)
        return Limit(self._clock, ends, self._asked)

    def less(self, seconds: float) -> "Limit":
        """Return the same limit that much earlier: to leave time for what comes after."""
        return Limit(self._clock, self.ends - seconds, self._asked)
