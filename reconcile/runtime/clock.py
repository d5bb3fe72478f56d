"""The system clock, whose waits end early on a stop, and RFC 3339 times as in Kubernetes."""

import random
import threading
import time
from datetime import UTC, datetime, timedelta


class SystemClock:
    """The clock of the machine."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._monotonic_epoch_ns = time.time_ns() - time.monotonic_ns()
        self._random = random.Random()  # noqa: S311 - not for a secret

    def stop(self) -> None:
        """End all current and later waits."""
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
        """Sleep; return True if a stop ended it early."""
        return self._stopped.wait(seconds)

    def jitter(self) -> float:
        return self._random.random()


_RFC3339_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def utc_now() -> str:
    """Return the time of day, to the second."""
    return datetime.now(UTC).strftime(_RFC3339_FORMAT)


def add_seconds(time: str, seconds: float) -> str:
    """Return the time some seconds after another; before it for a negative number."""
    return (datetime.fromisoformat(time) + timedelta(seconds=seconds)).strftime(_RFC3339_FORMAT)
