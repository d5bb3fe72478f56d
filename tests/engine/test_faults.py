"""Whichever single request fails, and however: the next passes end where they should."""

import contextlib
from collections import defaultdict
from dataclasses import dataclass

import pytest

from reconcile.core.errors import ClusterError, ConflictError, UnavailableError
from reconcile.engine.retry import RetryBackoff, RetryingCluster
from tests.builders import ref_of_object
from tests.engine.fakes import nth
from tests.engine.installation import EmbeddedInstallation, declared, is_quiet, settled
from tests.session_files import policy_text

AWAY = UnavailableError("it is away")
CONFLICT = ConflictError("another client was faster")
CHANGED = """\
displayName: One
initialPrompt: changed
runner: {port: 9000}
update: {strategy: Recreate}
network: {allowFrom: [{namespace: ui}]}
"""


def with_foreign_objects(world):
    """Add foreign objects: one of another client, and a session of another installation."""
    metadata = {"name": "theirs", "namespace": "team-a"}
    world.cluster.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}, "them")
    other = EmbeddedInstallation()
    other.cluster = world.cluster
    other.files["policy.yaml"] = policy_text().replace("default", "second")
    other.add("their-own").apply()
    return world


def first():
    return with_foreign_objects(declared("one"))


def update():
    return with_foreign_objects(settled("one", exit_s=1)).add("one", CHANGED)


def removal():
    world = with_foreign_objects(settled("one", "two", exit_s=1))
    world.add("three", namespace="team-b").apply()
    del world.files["team-a/two.yaml"], world.files["team-b/three.yaml"]
    return world


@dataclass
class Scenario:
    """`replaced` are the objects that get a new UID; all others keep theirs."""

    make: object
    replaced: tuple = ()


SCENARIOS = {
    "first apply": Scenario(first),
    "update": Scenario(update, ("Pod one-runner",)),
    "removal": Scenario(removal),
}


class KilledError(BaseException):
    """The program ends right here, as by SIGKILL."""


FAULTS = {
    "killed before": (KilledError(), False),
    "killed after": (KilledError(), True),
    "unavailable before": (AWAY, False),
    "unavailable after": (AWAY, True),
    "conflict": (CONFLICT, False),
}


def foreign_objects(world):
    ours = {obj["metadata"]["uid"] for obj in world.ours()}
    return [obj for obj in world.objects() if obj["metadata"]["uid"] not in ours]


def everything(world):
    return sorted(str(ref_of_object(obj)) for obj in world.objects())


def undisturbed(scenario):
    """What lives in the end, and how many requests that takes."""
    world = scenario.make()
    world.apply()
    calls = len(world.seen.log)
    assert is_quiet(world.plan().plan)
    return everything(world), calls


def check(world, scenario, final, seen, at):
    """All is there, once."""
    assert is_quiet(world.plan().plan), at
    assert everything(world) == final, at
    uids = defaultdict(set)
    for cluster in seen:
        for ref, each in cluster.uids.items():
            uids[ref] |= each
    for ref, each in uids.items():
        limit = 2 if f"{ref.kind} {ref.name}" in scenario.replaced else 1
        assert len(each) <= limit, (at, ref)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_repeated_pass_ends_in_the_desired_state(name, fault):
    scenario = SCENARIOS[name]
    error, late = FAULTS[fault]
    final, calls = undisturbed(scenario)
    assert calls >= 15
    for number in range(calls):
        world = scenario.make()
        before = foreign_objects(world)
        with contextlib.suppress(ClusterError, KilledError):
            world.apply(nth(number, error, late=late))
        seen = [world.seen]
        for _ in range(2):
            world.cluster.tick(100)
            passed = world.apply()
            seen.append(world.seen)
        at = (name, fault, number, str(seen[0].log[number]))
        assert not passed.bad, at
        check(world, scenario, final, seen, at)
        assert foreign_objects(world) == before, at


@pytest.mark.parametrize("fault", ["unavailable before", "unavailable after"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_with_retries_one_pass_is_enough(name, fault):
    scenario = SCENARIOS[name]
    error, late = FAULTS[fault]
    final, calls = undisturbed(scenario)
    for number in range(calls):
        world = scenario.make()
        passed = world.apply(
            nth(number, error, late=late),
            wrap=lambda cluster: RetryingCluster(cluster, world.clock, RetryBackoff()),  # noqa: B023
        )
        at = (name, fault, number, str(world.seen.log[number]))
        assert not passed.bad, at
        assert not passed.failures, at
        check(world, scenario, final, [world.seen], at)
