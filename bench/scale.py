"""Whether cost grows only linearly with the number of sessions, on the embedded cluster."""

import gc
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.measure import function, say
from bench.sessions import write_tree
from reconcile.adapters.embedded.cluster import EmbeddedCluster
from reconcile.adapters.sources.directory import DirectorySource, read_templates
from reconcile.cli.wiring import find_shipped_templates
from reconcile.engine.desired import DesiredBuilder
from reconcile.engine.reconciler import Reconciler, ReconcilerOptions
from reconcile.runtime.clock import SystemClock


@dataclass(frozen=True)
class ScaleRow:
    """Seconds for one number of sessions: read and render, first apply, cold and warm no-op."""

    sessions: int
    build: float
    apply: float
    cold: float
    warm: float


def measure(count: int) -> ScaleRow:
    """Measure one size."""
    say(f"{count} sessions on the embedded cluster")
    gc.collect()
    with tempfile.TemporaryDirectory() as folder:
        write_tree(Path(folder) / "desired", "bench", count)
        source = DirectorySource(Path(folder) / "desired")
        builder = DesiredBuilder(read_templates(find_shipped_templates()))
        build = function(lambda: builder.build(source.read()))
        desired = builder.build(source.read())
    reconciler = Reconciler(EmbeddedCluster(), SystemClock(), ReconcilerOptions(concurrency=1))
    first = reconciler.plan(desired, {})
    apply = function(lambda: list(reconciler.apply(first)))
    cold = function(lambda: reconciler.plan(desired, {}))
    live_state = reconciler.plan(desired, {}).live_state
    warm = function(lambda: reconciler.plan(desired, live_state.objects))
    return ScaleRow(count, build.wall, apply.wall, cold.wall, warm.wall)
