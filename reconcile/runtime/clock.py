"""The system's time; a stop cuts every wait short.

RFC 3339 times, to the second, as Kubernetes writes them.
"""

import random
import threading
import time
from datetime import UTC, datetime, timedelta


class SystemClock:
    """Time as the machine tells it."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._began = time.time_ns() - time.monotonic_ns()

    def stop(self) -> None:
        """End every wait, now and later."""
        self._stop.set()

    def monotonic(self) -> float:
        return time.monotonic()

    def time_ns(self) -> int:
        return time.time_ns()

    def steady_ns(self) -> int:
        return self._began + time.monotonic_ns()

    def now(self) -> str:
        return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def sleep(self, seconds: float) -> None:
        self._stop.wait(seconds)

    def wait(self, seconds: float) -> bool:
        """Sleep; True where a stop cut it short."""
        return self._stop.wait(seconds)

    def jitter(self) -> float:
        return random.random()  # noqa: S311 - spreads load, keeps no secret


_FORM = "%Y-%m-%dT%H:%M:%SZ"


def utc_now() -> str:
    """The time of day."""
    return datetime.now(UTC).strftime(_FORM)


def later(time: str, seconds: float) -> str:
    """The time some seconds after another, earlier for a negative number."""
    return (datetime.fromisoformat(time) + timedelta(seconds=seconds)).strftime(_FORM)
