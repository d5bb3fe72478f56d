"""Delays between attempts, for every client that retries."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff: delays double from `initial` to at most `maximum` seconds.

    Half of each delay is random, so that clients that failed at the same time do not return at the
    same time.
    """

    initial: float
    maximum: float

    def delay(self, failures: int, jitter: float, minimum: float = 0.0) -> float:
        """Return the seconds to wait after `failures` failures in a row, at least 1.

        `jitter` is a random number from 0 to 1; `minimum` is the server's Retry-After.
        """
        # The exponent is bounded, since a float overflows after a thousand failures.
        ceiling = min(self.maximum, self.initial * 2.0 ** min(failures - 1, 64))
        return max(minimum, ceiling * (0.5 + jitter / 2))
