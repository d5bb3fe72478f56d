"""The system's time; a stop cuts every wait short."""

import random
import threading
import time
from datetime import UTC, datetime


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
