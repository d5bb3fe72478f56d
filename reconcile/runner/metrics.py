"""The bridge's metrics: plain numbers, written in Prometheus' text format when they are asked for.

Every series exists from the start, so that an alert on an increase does not miss the first one.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from prometheus_client import Metric

COUNTERS: Final[Mapping[str, tuple[str, str, tuple[str, ...]]]] = {
    "reconcile_bridge_runs": (
        "Runs that ended: well, or not.",
        "result",
        ("finished", "failed"),
    ),
    "reconcile_bridge_prompt_deliveries": (
        "Attempts to deliver a prompt of the session.",
        "result",
        ("delivered", "repeated", "refused", "failed"),
    ),
    "reconcile_bridge_skipped_events": (
        "Events of the runner that were not understood.",
        "reason",
        ("too-large", "invalid-json", "without-type"),
    ),
    "reconcile_bridge_dropped_log_events": (
        "Events that could not be written to .session/events.jsonl.",
        "reason",
        ("unwritable", "overflow"),
    ),
    "reconcile_bridge_credential_requests": (
        "Requests for a credential.",
        "result",
        ("answered", "missing"),
    ),
}
"""Of each counter: its meaning, its label, and the values of the label."""

GAUGES: Final[Mapping[str, str]] = {
    "reconcile_bridge_open_runs": "1 if a run is open.",
    "reconcile_bridge_queued_runs": "Runs that wait for the open one.",
    "reconcile_bridge_silent": "1 if the open run has said nothing for --silent-seconds.",
    "reconcile_bridge_prompt_delivered": "1 if the prompt is delivered, or there is none.",
    "reconcile_bridge_last_event_age_seconds": "Seconds since the last event, or since the start.",
}


class Metrics:
    """Counts what happens; `read_gauges` returns the value of each gauge."""

    def __init__(self, read_gauges: Callable[[], Mapping[str, float]] | None = None) -> None:
        self.read_gauges = read_gauges or dict
        self._counts: Counter[tuple[str, str]] = Counter()

    def count(self, name: str, label: str, number: int = 1) -> None:
        """Add to the counter `reconcile_bridge_<name>`; the label must be one of its values."""
        _, _, labels = COUNTERS[f"reconcile_bridge_{name}"]
        if label not in labels:
            raise ValueError(f"{name} has no label {label}")
        self._counts[f"reconcile_bridge_{name}", label] += number

    def get(self, name: str, label: str) -> int:
        """Return a counter's value."""
        return self._counts[f"reconcile_bridge_{name}", label]

    def collect(self) -> "Iterable[Metric]":
        """Yield all metrics; called by the client library."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        for name, (meaning, label, values) in COUNTERS.items():
            counter = CounterMetricFamily(name, meaning, labels=[label])
            for value in values:
                counter.add_metric([value], self._counts[name, value])
            yield counter
        gauges = self.read_gauges()
        for name, meaning in GAUGES.items():
            yield GaugeMetricFamily(name, meaning, value=gauges.get(name, 0.0))

    def render(self) -> bytes:
        """Write all metrics in Prometheus' text format."""
        from prometheus_client import CollectorRegistry, generate_latest

        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry)
