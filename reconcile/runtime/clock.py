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
        self._stopped = threading.Event()
        self._monotonic_epoch_ns = time.time_ns() - time.monotonic_ns()

    def stop(self) -> None:
        """End every wait, now and later."""
        self._stopped.set()

    def monotonic(self) -> float:
        return time.monotonic()

    def time_ns(self) -> int:
        return time.time_ns()

    def steady_ns(self) -> int:
        return self._monotonic_epoch_ns + time.monotonic_ns()

    def now(self) -> str:
        return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def sleep(self, seconds: float) -> None:
        self._stopped.wait(seconds)

    def wait(self, seconds: float) -> bool:
        """Sleep; True where a stop cut it short."""
        return self._stopped.wait(seconds)

    def jitter(self) -> float:
        return random.random()  # noqa: S311 - spreads load, keeps no secret


_RFC3339_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def utc_now() -> str:
    """The time of day."""
    return datetime.now(UTC).strftime(_RFC3339_FORMAT)


def add_seconds(time: str, seconds: float) -> str:
    """The time some seconds after another, earlier for a negative number."""
    return (datetime.fromisoformat(time) + timedelta(seconds=seconds)).strftime(_RFC3339_FORMAT)
