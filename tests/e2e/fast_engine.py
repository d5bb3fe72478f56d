"""Passes with an engine configured for tests: short timeouts, few attempts, recorded waits."""

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
from tests.clocks import ShortSleepClock

SHORT_TIMEOUT_SECONDS = 0.6
"""The timeout where a response may never come; on a slow machine it may cost an attempt."""

LONG_TIMEOUT_SECONDS = 30.0

_CACHE = threading.local()


def _builder() -> DesiredBuilder:
    """One for each thread, since compiling templates is most of the cost of a small tree."""
    if not hasattr(_CACHE, "builder"):
        _CACHE.builder = DesiredBuilder(read_templates(find_shipped_templates()))
    builder: DesiredBuilder = _CACHE.builder
    return builder


@dataclass(frozen=True, slots=True)
class Engine:
    """A reconciler for one tree.

    A request is sent up to `tries` times, each time with a timeout of `silence_s` seconds.
    """

    kubeconfig: Path
    tree: Path
    tries: int = 1
    silence_s: float = LONG_TIMEOUT_SECONDS
    clock: ShortSleepClock = field(default_factory=ShortSleepClock)

    def desired(self) -> DesiredState:
        """Read and render the tree."""
        return _builder().build(DirectorySource(self.tree).read())

    @contextlib.contextmanager
    def reconciler(self) -> Iterator[Reconciler]:
        """Connect for the duration of the block."""
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
        """Make one pass; returns whether everything was read and every change succeeded."""
        with self.reconciler() as reconciler, contextlib.suppress(ClusterError):
            planned = reconciler.plan(self.desired(), {})
            done = list(reconciler.apply(planned))
            failed = [o for each in done for o in each.outcomes if o.status is Status.FAILED]
            return not (planned.problems or failed or any(each.failures for each in done))
        return False

    def plan(self) -> PassPlan:
        """Plan without changing anything."""
        with self.reconciler() as reconciler:
            return reconciler.plan(self.desired(), {})

    def left(self) -> list[object]:
        """List the pending changes, and the problems of reading."""
        planned = self.plan()
        return [*planned.problems, *(c for c in planned.plan.changes if not isinstance(c, Keep))]

    def is_settled(self) -> bool:
        """Whether there are no pending changes."""
        return self.left() == []
