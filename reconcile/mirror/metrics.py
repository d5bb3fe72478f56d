"""The facts as metrics; `docs/mirror.md` lists them, and a test compares."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from reconcile.mirror.sidecar.status import Facts, freshness

if TYPE_CHECKING:
    from prometheus_client import Metric

GAUGES = {
    "reconcile_mirror_generation": "Number of the last committed generation.",
    "reconcile_mirror_partial": "1 if that generation lacks files.",
    "reconcile_mirror_fresh": "1 if the snapshot is fresh enough, as /readyz has it.",
    "reconcile_mirror_commit_timestamp_seconds": "When the snapshot was last equal, since 1970.",
    "reconcile_mirror_write_timestamp_seconds": "Last write to the workspace, since 1970.",
    "reconcile_mirror_behind_seconds": "For how long something is not committed; 0 if all is.",
    "reconcile_mirror_store_reachable": "1 if the store answered last time.",
    "reconcile_mirror_fenced": "1 if another pod has taken the workspace over.",
    "reconcile_mirror_entries": "Entries of the workspace in the last pass.",
    "reconcile_mirror_restless_files": "Files that changed while they were read, last time.",
    "reconcile_mirror_unreadable_files": "Files that may not be read, last time.",
    "reconcile_mirror_skipped_entries": "Entries that no snapshot takes, last time.",
    "reconcile_mirror_beyond_entries": "Entries beyond --max-files that are not stored, at least.",
    "reconcile_mirror_pass_seconds": "How long the last pass took.",
}
COUNTERS = {
    "reconcile_mirror_passes": "Passes, failed ones included.",
    "reconcile_mirror_failures": "Passes that failed.",
    "reconcile_mirror_commits": "Generations that this process has committed.",
    "reconcile_mirror_sent_bytes": "Bytes of packs and blobs that were stored.",
    "reconcile_mirror_restored_bytes": "Bytes that hydrate has brought.",
    "reconcile_mirror_restored_files": "Files that hydrate has written.",
    "reconcile_mirror_held_seconds": "Seconds that requests waited for --bandwidth, all together.",
}


def values(facts: Facts, now: int, stale_after: float) -> dict[str, float]:
    """Return each metric's value by name."""
    behind = (now - facts.behind_since) / 1e9 if facts.behind_since else 0.0
    return {
        "reconcile_mirror_generation": facts.generation,
        "reconcile_mirror_partial": facts.partial,
        "reconcile_mirror_fresh": freshness(facts, now, stale_after).fresh,
        "reconcile_mirror_commit_timestamp_seconds": facts.committed / 1e9,
        "reconcile_mirror_write_timestamp_seconds": facts.written / 1e9,
        "reconcile_mirror_behind_seconds": behind,
        "reconcile_mirror_store_reachable": facts.reachable,
        "reconcile_mirror_fenced": facts.phase == "fenced",
        "reconcile_mirror_entries": facts.files,
        "reconcile_mirror_restless_files": facts.restless,
        "reconcile_mirror_unreadable_files": facts.unreadable,
        "reconcile_mirror_skipped_entries": facts.skipped,
        "reconcile_mirror_beyond_entries": facts.beyond,
        "reconcile_mirror_pass_seconds": facts.seconds,
        "reconcile_mirror_passes": facts.passes,
        "reconcile_mirror_failures": facts.failures,
        "reconcile_mirror_commits": facts.commits,
        "reconcile_mirror_sent_bytes": facts.sent,
        "reconcile_mirror_restored_bytes": facts.restored,
        "reconcile_mirror_restored_files": facts.restored_files,
        "reconcile_mirror_held_seconds": facts.held,
    }


class FactCollector:
    """Gives prometheus-client the facts when it is asked for them, and keeps no copy."""

    def __init__(self, current: Callable[[], dict[str, float]]) -> None:
        self._current = current

    def collect(self) -> "Iterable[Metric]":
        from prometheus_client.core import (
            CounterMetricFamily,
            GaugeMetricFamily,
        )

        found = self._current()
        for name, meaning in GAUGES.items():
            yield GaugeMetricFamily(name, meaning, value=found[name])
        for name, meaning in COUNTERS.items():
            yield CounterMetricFamily(name, meaning, value=found[name])


def exposition(current: Callable[[], dict[str, float]]) -> bytes:
    """Write all metrics in Prometheus' text format."""
    from prometheus_client import (
        CollectorRegistry,
        generate_latest,
    )

    registry = CollectorRegistry()
    registry.register(FactCollector(current))
    return generate_latest(registry)
