"""A thousand sessions on a real API server, compared with kubectl and plain HTTP in one run."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from bench.measure import Cost, command, say
from bench.sessions import write_tree
from bench.targets import Target
from reconcile.adapters.sources.directory import DirectorySource, read_templates
from reconcile.cli.wiring import find_shipped_templates
from reconcile.core.model import LABEL_INSTALLATION
from reconcile.engine.desired import DesiredBuilder
from tests.controlplane.build import current_kubectl
from tests.controlplane.server import ControlPlane

OURS, KUBECTL, PLAIN = "bench-ours", "bench-kubectl", "bench-plain"


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    cost: Cost
    requests: int


class ClusterBench:
    """Measures everything on one server; `home` is the folder for trees, bodies and logs."""

    def __init__(self, plane: ControlPlane, home: Path, count: int) -> None:
        self._plane = plane
        self._home = home
        self._count = count
        self._kubeconfig = str(plane.kubeconfig("admin"))
        self._tree = home / "desired"

    def run(self) -> list[Row]:
        """Apply the same sessions in three ways, then measure no-op passes and diffs."""
        self._prepare()
        return [
            self._row("plain parallel HTTP applies", self._plain),
            self._row("kubectl apply --server-side", lambda: self._kubectl("apply", (0,))),
            self._row("reconcile apply, first", lambda: self._reconcile("apply", (0,))),
            self._row("kubectl diff --server-side", lambda: self._kubectl("diff", (0, 1))),
            self._row("fetch and decode the lists", self._fetch, rounds=3),
            self._row("reconcile, warm no-op pass", self._warm, rounds=4),
            self._row("reconcile diff, cold no-op", lambda: self._reconcile("diff", (0,))),
        ]

    def _prepare(self) -> None:
        say(f"write and render {self._count} sessions")
        write_tree(self._tree, OURS, self._count)
        builder = DesiredBuilder(read_templates(find_shipped_templates()))
        desired = builder.build(DirectorySource(self._tree).read())
        bodies = [dict(m.body) for session in desired.sessions for m in session.manifests]
        for namespace in (OURS, KUBECTL, PLAIN):
            self._plane.kubectl("create", "namespace", namespace)
            items = [_in_namespace(body, namespace) for body in bodies]
            listed = {"apiVersion": "v1", "kind": "List", "items": items}
            (self._home / f"{namespace}.json").write_bytes(orjson.dumps(listed))

    def _row(self, name: str, work: Callable[[], Cost], rounds: int = 1) -> Row:
        say(name)
        mark = self._plane.audit().mark()
        cost = work()
        events = self._plane.audit().since(mark, user="admin")
        return Row(name, cost, len(events) // rounds)

    def _plain(self) -> Cost:
        bodies = str(self._home / f"{PLAIN}.json")
        return self._python("bench.rivals", "apply", self._kubeconfig, bodies)

    def _kubectl(self, verb: str, codes: Sequence[int]) -> Cost:
        arguments = [str(current_kubectl()), "--kubeconfig", self._kubeconfig, verb]
        arguments += ["--server-side", "-f", str(self._home / f"{KUBECTL}.json")]
        return command(arguments, log=self._home / "kubectl.log", codes=codes)

    def _reconcile(self, verb: str, codes: Sequence[int]) -> Cost:
        return self._python(
            "reconcile", verb, str(self._tree), "--kubeconfig", self._kubeconfig, codes=codes
        )

    def _fetch(self) -> Cost:
        labels = orjson.dumps({LABEL_INSTALLATION: "default"}).decode()
        self._python("bench.rivals", "fetch", self._kubeconfig, OURS, labels)
        return self._printed_cost()

    def _warm(self) -> Cost:
        self._python("bench.warm", self._kubeconfig, str(self._tree))
        return self._printed_cost()

    def _python(self, module: str, *arguments: str, codes: Sequence[int] = (0,)) -> Cost:
        log = self._home / "python.log"
        return command([sys.executable, "-m", module, *arguments], log=log, codes=codes)

    def _printed_cost(self) -> Cost:
        last = (self._home / "python.log").read_text().strip().splitlines()[-1]
        return Cost(**orjson.loads(last))


def find_targets(rows: Sequence[Row]) -> list[Target]:
    """Return the targets, with the ratios of this run."""
    plain, apply, ours, diff, fetch, warm, cold = rows
    wall = lambda row: row.cost.wall  # noqa: E731 - read once per line below
    peak = max(row.cost.peak_mib for row in (ours, warm, cold))
    return [
        Target("warm no-op / fetch and decode", wall(warm) / wall(fetch), 2, at_least=False),
        Target("kubectl diff / warm no-op", wall(diff) / wall(warm), 40, at_least=True),
        Target("requests of a warm no-op", warm.requests, 30, at_least=False),
        Target("kubectl diff / cold no-op", wall(diff) / wall(cold), 6, at_least=True),
        Target("kubectl apply / first apply", wall(apply) / wall(ours), 1.2, at_least=True),
        Target("first apply / plain applies", wall(ours) / wall(plain), 1.5, at_least=False),
        Target("peak RSS in MiB", peak, 250 / 1.048576, at_least=False),
    ]


def _in_namespace(body: dict[str, Any], namespace: str) -> dict[str, Any]:
    return {**body, "metadata": {**body["metadata"], "namespace": namespace}}
