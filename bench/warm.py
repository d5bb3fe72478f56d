"""A pass of the loop, with filled caches: `python -m bench.warm KUBECONFIG TREE`."""

import sys
from pathlib import Path

import orjson

from bench.measure import function
from reconcile.adapters.kube.connect import connect
from reconcile.adapters.sources.directory import DirectorySource, read_templates
from reconcile.cli.wiring import find_shipped_templates
from reconcile.core.changes import Keep
from reconcile.engine.desired import DesiredBuilder
from reconcile.engine.reconciler import Reconciler, ReconcilerOptions
from reconcile.runtime.clock import SystemClock


def main(arguments: list[str]) -> None:
    """Make one pass to fill the caches, then measure three more complete passes."""
    kubeconfig, tree = arguments
    source = DirectorySource(Path(tree))
    builder = DesiredBuilder(read_templates(find_shipped_templates()))
    reconciler = Reconciler(connect(kubeconfig, None), SystemClock(), ReconcilerOptions())
    live_state = reconciler.plan(builder.build(source.read()), {}).live_state

    def once() -> None:
        nonlocal live_state
        planned = reconciler.plan(builder.build(source.read()), live_state.objects)
        assert planned.plan.changes, "the tree is empty"
        assert all(isinstance(change, Keep) for change in planned.plan.changes)
        live_state = planned.live_state

    print(orjson.dumps(function(once, times=3)).decode())


if __name__ == "__main__":
    main(sys.argv[1:])
