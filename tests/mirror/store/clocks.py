"""A clock that does not really wait."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class FakeClock:
    """Each wait advances it; after `stops` waits the process is to stop."""

    time: float = 0.0
    stops: int = 1000
    waits: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.time

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        if len(self.waits) >= self.stops:
            return True
        self.time += seconds
        return False

    def jitter(self) -> float:
        return 1.0
