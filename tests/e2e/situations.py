"""Situations in which a pass is interrupted, and what must hold at the end.

Each test case has its own installation; many of them share one namespace.
"""

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from tests.controlplane.audit import Mark
from tests.e2e import site as sites
from tests.e2e.fast_engine import Engine
from tests.e2e.site import Object, Site, session_document

PARTS = 6
"""The objects of a session: Record, inputs, account, network policy, service, pod."""


@dataclass(frozen=True, slots=True)
class ServerInstallation:
    """One installation with two sessions in a namespace that it shares with others."""

    site: Site
    tree: Path
    name: str

    def session(self, name: str, folder: str = "", **spec: Any) -> None:
        file = self.tree / (folder or self.site.namespace) / f"{name}.yaml"
        sites.write(file, session_document(f"{self.name}-{name}", **spec))

    def policy(self, **more: Any) -> None:
        budgets = {"deletes": {"percent": 100}, "restarts": {"percent": 100}}
        spec = {"installation": self.name, "budgets": budgets, "namespaces": [self.site.namespace]}
        spec |= more
        policy = {"apiVersion": sites.API, "kind": "Policy", "spec": spec}
        sites.write(self.tree / "policy.yaml", policy)
        image = {"spec": {"image": sites.OWN_IMAGE}}
        defaults = {"apiVersion": sites.API, "kind": "SessionDefaults", **image}
        sites.write(self.tree / "defaults.yaml", defaults)

    def engine(self, tries: int = 6) -> Engine:
        return Engine(self.site.kubeconfig, self.tree, tries)

    def settle(self) -> None:
        assert self.engine().passes()

    def objects(self) -> dict[str, Object]:
        return self.site.ours(self.name)


def first(world: ServerInstallation) -> None:
    """No object exists yet."""
    world.session("a")
    world.session("b", initialPrompt="Do it")


def update(world: ServerInstallation) -> None:
    """Both sessions exist and change: one in place, the other has its pod replaced."""
    first(world)
    world.settle()
    world.session("a", displayName="Renamed", network={"allowFrom": [{"namespace": "x"}]})
    world.session("b", initialPrompt="Do something else")


def removal(world: ServerInstallation) -> None:
    """One of two sessions is removed."""
    first(world)
    world.settle()
    (world.tree / world.site.namespace / "b.yaml").unlink()


SITUATIONS = {"a first apply": first, "an update": update, "a removal": removal}

Situation: TypeAlias = Callable[[ServerInstallation], None]
InstallationFactory: TypeAlias = Callable[[Situation], ServerInstallation]


def maker(site: Site, folder: Path) -> InstallationFactory:
    """Return a factory of installations, each with its own name."""
    numbers = itertools.count()

    def make(situation: Situation) -> ServerInstallation:
        name = f"w{next(numbers)}"
        world = ServerInstallation(site, folder / name, name)
        world.policy()
        situation(world)
        return world

    return make


def assert_complete(world: ServerInstallation, before: dict[str, Object]) -> None:
    after = world.objects()
    sessions = len(list((world.tree / world.site.namespace).glob("*.yaml")))
    assert len(after) == PARTS * sessions + 1, sorted(after)
    for name in before.keys() & after.keys() - {f"Pod/{world.name}-b-runner"}:
        assert after[name]["metadata"]["uid"] == before[name]["metadata"]["uid"], name


def assert_nothing_was_made_twice(site: Site, mark: Mark, *, replaced: bool) -> None:
    made = Counter(
        (event.resource, event.name)
        for event in site.plane.audit().since(mark, user=site.user)
        if event.code == 201
    )
    assert made, "nothing was made"
    most = 2 if replaced else 1
    repeated = [each for each, count in made.items() if count > (most if each[0] == "pods" else 1)]
    assert repeated == []
