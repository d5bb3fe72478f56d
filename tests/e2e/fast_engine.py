"""Passes with an engine of the test's own: short time-outs, few tries, waits that are recorded."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from reconcile.adapters.kube.connect import ConnectOptions, connect
from reconcile.adapters.kube.transport import ConnectTimeouts
from reconcile.adapters.sources.directory import DirectorySource, read_templates
from reconcile.cli.wiring import find_shipped_templates
from reconcile.core.changes import Keep, Status
from reconcile.core.errors import ClusterError
from reconcile.core.model import DesiredState
from reconcile.engine.desired import DesiredBuilder
from reconcile.engine.reconciler import PassPlan, Reconciler, ReconcilerOptions
from reconcile.engine.retry import RetryBackoff, RetryingCluster
from reconcile.runtime.backoff import Backoff
from reconcile.runtime.clock import SystemClock

SHORT_S = 0.6
"""How long an answer is awaited where none may ever come; on a slow machine that costs a try."""

PATIENCE_S = 30.0
SHORTEST_S = 0.01


class Clock(SystemClock):
    """Waits in an instant and remembers for how long it was to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        super().sleep(min(seconds, SHORTEST_S))


_MADE = threading.local()


def _builder() -> DesiredBuilder:
    """One for each thread: compiling templates is most of what a small tree costs."""
    if not hasattr(_MADE, "builder"):
        _MADE.builder = DesiredBuilder(read_templates(find_shipped_templates()))
    made: DesiredBuilder = _MADE.builder
    return made


@dataclass(frozen=True, slots=True)
class Engine:
    """A reconciler for one tree.

    `tries` is how often a request is sent before it has failed, each time for `silence_s` seconds.
    """

    kubeconfig: Path
    tree: Path
    tries: int = 1
    silence_s: float = PATIENCE_S
    clock: Clock = field(default_factory=Clock)

    def desired(self) -> DesiredState:
        """Read and render the tree."""
        return _builder().build(DirectorySource(self.tree).read())

    @contextlib.contextmanager
    def reconciler(self) -> Iterator[Reconciler]:
        """Connect, for as long as the block lasts."""
        options = ConnectOptions(
            timeouts=ConnectTimeouts(connect=self.silence_s, read=self.silence_s)
        )
        cluster = connect(str(self.kubeconfig), None, options)
        retrying = RetryingCluster(
            cluster, self.clock, RetryBackoff(self.tries, Backoff(initial=0.01, maximum=30.0))
        )
        try:
            yield Reconciler(retrying, self.clock, ReconcilerOptions(concurrency=2))
        finally:
            cluster.close()

    def passes(self) -> bool:
        """Make one pass; whether all was read and all that was to be done is done."""
        with self.reconciler() as reconciler, contextlib.suppress(ClusterError):
            planned = reconciler.plan(self.desired(), {})
            done = list(reconciler.apply(planned))
            failed = [o for each in done for o in each.outcomes if o.status is Status.FAILED]
            return not (planned.problems or failed or any(each.failures for each in done))
        return False

    def plan(self) -> PassPlan:
        """Plan and change nothing."""
        with self.reconciler() as reconciler:
            return reconciler.plan(self.desired(), {})

    def left(self) -> list[object]:
        """List what there is to do, and what could not be read."""
        planned = self.plan()
        return [*planned.problems, *(c for c in planned.plan.changes if not isinstance(c, Keep))]

    def is_settled(self) -> bool:
        """Whether there is nothing to do."""
        return self.left() == []
