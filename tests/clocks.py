"""The clocks of tests: a fake one whose time moves by waiting, a real one with short sleeps."""

import math
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from reconcile.engine.ports import Clock as EngineClock
from reconcile.mirror.clock import Clock as MirrorClock
from reconcile.mirror.clock import RetryClock
from reconcile.runtime.clock import SystemClock

NOON = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC).timestamp()
"""A moment in Unix time, for tests that assert times of day."""

SHORTEST_SECONDS = 0.01


class FakeClock:
    """Time that moves only when something waits, or when a test changes `seconds`.

    Attributes:
        seconds: The monotonic time.
        wall_offset: By how many seconds Unix time is ahead of the monotonic time.
        waits: Every wait in seconds, in order.
        stop_after: The number of the wait at which `wait` reports that the process is to stop.
        during_sleep: Called at the end of each `sleep`, for what happens while the caller waits.
    """

    def __init__(
        self,
        start: float = 0.0,
        *,
        wall_offset: float = 0.0,
        jitter: float = 1.0,
        stop_after: float = math.inf,
    ) -> None:
        self.seconds = start
        self.wall_offset = wall_offset
        self.waits: list[float] = []
        self.stop_after = stop_after
        self.during_sleep: Callable[[], object] = lambda: None
        self._jitter = jitter
        self._lock = threading.Lock()

    def monotonic(self) -> float:
        with self._lock:
            return self.seconds

    def time_ns(self) -> int:
        return int((self.monotonic() + self.wall_offset) * 1e9)

    def steady_ns(self) -> int:
        return int(self.monotonic() * 1e9)

    def now(self) -> str:
        moment = datetime.fromtimestamp(self.monotonic() + self.wall_offset, UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")

    def sleep(self, seconds: float) -> None:
        self.wait(seconds)
        self.during_sleep()

    def wait(self, seconds: float) -> bool:
        with self._lock:
            self.waits.append(seconds)
            if len(self.waits) >= self.stop_after:
                return True
            self.seconds += seconds
        return False

    def jitter(self) -> float:
        return self._jitter


class ShortSleepClock(SystemClock):
    """The system's time; every sleep is short, and its requested length is recorded."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        super().sleep(min(seconds, SHORTEST_SECONDS))


if TYPE_CHECKING:
    _engine: type[EngineClock] = FakeClock
    _mirror: type[MirrorClock] = FakeClock
    _store: type[RetryClock] = FakeClock
