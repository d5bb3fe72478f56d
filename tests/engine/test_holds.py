"""Each reason for a hold says what releases it: doing just that releases it, and nothing less."""

from dataclasses import dataclass

import pytest

from reconcile.core.changes import Commit, Drift, Hold, HoldReason, Patch
from reconcile.core.model import ANNOTATION_ADOPT
from reconcile.engine.reconciler import ReconcilerOptions
from tests.builders import ref_of
from tests.engine.installation import EmbeddedInstallation, declared, settled
from tests.session_files import policy_text, session_text

OTHER = "llmSettings: {model: other}"
RECREATE = f"update: {{strategy: Recreate}}\n{OTHER}"
NAMES = ("one", "two", "three", "four")
CLAIM = (
    "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: one-data}\n"
    "spec: {accessModes: [%s], resources: {requests: {storage: 1Gi}}}\n"
)


@dataclass(frozen=True)
class Case:
    """How a hold comes about, and the ways out that its message names, each by its words."""

    arrange: object
    ways: dict


def reasons(world):
    """Why something is held now."""
    return {c.reason for c in world.plan(folders=["team-a"]).plan.changes if isinstance(c, Hold)}


def file(text, name="one"):
    return lambda world: world.files.update({f"team-a/{name}.yaml": session_text(name, text)})


def policy(*lines):
    return lambda world: world.files.update({"policy.yaml": policy_text(*lines)})


def at_work(*names, spec=OTHER):
    world = settled(*(names or ("one",)))
    world.cluster.tick(60)
    for name in names or ("one",):
        world.add(name, spec)
    return world


def restarts():
    world = at_work(*NAMES, spec=RECREATE)
    policy("budgets: {restarts: {percent: 25}}")(world)
    return world


def deletes():
    world = settled(*NAMES)
    policy("budgets: {deletes: {percent: 25}}")(world)
    for name in ("one", "two"):
        del world.files[f"team-a/{name}.yaml"]
    return world


def nothing_left():
    world = settled()
    del world.files["team-a/one.yaml"]
    return world


def broken():
    world = settled("one", "two")
    del world.files["team-a/one.yaml"]
    world.files["team-a/two.yaml"] = "kind: ["
    return world


def not_pruned():
    world = settled("one", "two")
    del world.files["team-a/one.yaml"]
    world.options = ReconcilerOptions(prune=False)
    return world


def prune(world):
    world.options = ReconcilerOptions(prune=True)


def outside():
    world = settled("one").add("two", namespace="team-b")
    world.apply()
    del world.files["team-a/one.yaml"]
    policy("namespaces: [team-b]")(world)
    return world


def conflict():
    world = settled()
    policy("onConflict: report")(world)
    set_port(1)(world)
    return world


def set_port(port):
    operation = {"op": "replace", "path": "/spec/ports/0/port", "value": port}
    return lambda world: world.edit("Service", "session-one", operation)


def change_back(world):
    port = EmbeddedInstallation().add("one")  # what the template asks for
    manifests = port.desired().sessions[0].manifests
    [service] = [each for each in manifests if each.kind.name == "Service"]
    set_port(service.body["spec"]["ports"][0]["port"])(world)


def taken():
    world = declared()
    body = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "session-one", "namespace": "team-a"},
        "spec": {"ports": [{"port": 1}]},
    }
    world.cluster.create(body, "stranger")
    return world


def rename(world):
    del world.files["team-a/one.yaml"]
    world.add("another")


def adopt(installation="default"):
    annotations = {ANNOTATION_ADOPT: installation}
    operation = {"op": "add", "path": "/metadata/annotations", "value": annotations}
    return lambda world: world.edit("Service", "session-one", operation)


def unfit():
    world = declared()
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "one-inputs",
            "namespace": "team-a",
            "annotations": {ANNOTATION_ADOPT: "default"},
        },
        "data": {"a": "b"},
        "immutable": True,
    }
    world.cluster.create(body, "stranger")
    return world


def terminating():
    world = settled(exit_s=60)
    world.cluster.tick(60)
    world.remove("Pod", "one-runner")
    return world


def kept_by_finalizer():
    world = settled("one", "two")
    add = {"op": "add", "path": "/metadata/finalizers", "value": ["example.org/hold"]}
    world.edit("ConfigMap", "one-inputs", add)
    world.remove("ConfigMap", "one-inputs")
    return world


def let_go(world):
    world.edit("ConfigMap", "one-inputs", {"op": "remove", "path": "/metadata/finalizers"})


def resized():
    world = at_work(spec="initialPrompt: work")
    world.resize("one-runner", "1")
    return world


def with_data():
    world = EmbeddedInstallation(
        templates={**EmbeddedInstallation().templates, "claim.yaml.j2": CLAIM % "ReadWriteOnce"}
    )
    policy()(world)
    world.add("one").apply()
    templates = {**world.templates, "claim.yaml.j2": CLAIM % "ReadOnlyMany"}
    again = EmbeddedInstallation(templates=templates, files=world.files)
    again.cluster = world.cluster
    return again


CASES = {
    HoldReason.RUNNING_WORK: Case(
        at_work,
        {
            "`update.strategy: Recreate`": file(RECREATE),
            "`state: Stopped`": file(f"state: Stopped\n{OTHER}"),
            "`allowRestarts`": policy("allowRestarts: [team-a/one]"),
        },
    ),
    HoldReason.RESTART_BUDGET: Case(
        restarts,
        {
            "raise `budgets.restarts`": policy("budgets: {restarts: {percent: 100}}"),
            "`allowRestarts`": policy(
                "budgets: {restarts: {percent: 25}}",
                f"allowRestarts: [{', '.join(f'team-a/{name}' for name in NAMES)}]",
            ),
        },
    ),
    HoldReason.DELETE_BUDGET: Case(
        deletes,
        {
            "raise `budgets.deletes`": policy("budgets: {deletes: {percent: 50}}"),
            "`allowDeletes`": policy(
                "budgets: {deletes: {percent: 25}}", "allowDeletes: [team-a/one, team-a/two]"
            ),
        },
    ),
    HoldReason.LAST_SESSIONS: Case(
        nothing_left, {"`allowEmpty: true`": policy("allowEmpty: true", "budgets: {}")}
    ),
    HoldReason.UNREADABLE: Case(broken, {"correct it": file(OTHER, "two")}),
    HoldReason.NO_PRUNE: Case(not_pruned, {"run with --prune": prune}),
    HoldReason.OUT_OF_REALM: Case(
        outside, {"listed in policy.yaml": policy("namespaces: [team-a, team-b]")}
    ),
    HoldReason.CONFLICT: Case(
        conflict,
        {"change it back": change_back, "`onConflict: heal`": policy("onConflict: heal")},
    ),
    HoldReason.TAKEN: Case(
        taken,
        {
            "another name": rename,
            "remove that object": lambda world: world.remove("Service", "session-one"),
            "adopt={installation}`": adopt(),
        },
    ),
    HoldReason.CANNOT_ADOPT: Case(
        unfit,
        {
            "remove that object": lambda world: world.remove("ConfigMap", "one-inputs"),
            "another name": rename,
        },
    ),
    HoldReason.TERMINATING: Case(
        terminating, {"when it is gone": lambda world: world.cluster.tick(1000)}
    ),
    HoldReason.FINALIZER: Case(
        kept_by_finalizer,
        {"let the controller that set it finish": let_go, "`metadata.finalizers`": let_go},
    ),
    HoldReason.DATA_LOSS: Case(with_data, {"`allowDeletes`": policy("allowDeletes: [team-a/one]")}),
    HoldReason.RESIZED: Case(
        resized,
        {
            "change them back": lambda world: world.resize("one-runner", "500m"),
            "declare them": file(
                'initialPrompt: work\nrunner: {resources: {requests: {cpu: "1"}}}'
            ),
            "`state: Stopped`": file("initialPrompt: work\nstate: Stopped"),
        },
    ),
    HoldReason.WAITS_FOR_OWNER: Case(
        taken,
        {"comes before it": lambda world: world.remove("Service", "session-one")},
    ),
}


def test_every_reason_has_its_ways_out():
    # Only an apply knows whether a pod has to wait, and what the server refuses: see
    # test_ended_work and test_patch.
    assert CASES.keys() == set(HoldReason) - {HoldReason.BACK_OFF, HoldReason.REFUSED}


@pytest.mark.parametrize("reason", CASES)
def test_a_hold_has_its_reason_and_stays_while_nothing_is_done(reason):
    world = CASES[reason].arrange()
    assert reason in reasons(world)
    assert reason in reasons(world)


@pytest.mark.parametrize(
    ("reason", "words"), [(reason, words) for reason, case in CASES.items() for words in case.ways]
)
def test_what_the_message_says_releases_the_hold(reason, words):
    assert words in reason.value
    world = CASES[reason].arrange()
    CASES[reason].ways[words](world)
    assert reason not in reasons(world)


def test_an_annotation_for_another_installation_adopts_nothing():
    world = taken()
    adopt("another")(world)
    assert HoldReason.TAKEN in reasons(world)
    assert ref_of("Service", "session-one") in {
        change.ref for change in world.plan().plan.changes if isinstance(change, Hold)
    }


@pytest.mark.parametrize("on_conflict", ["heal", "report"])
def test_earlier_values_of_an_adopted_object_are_neither_drift_nor_conflict(on_conflict):
    world = taken()
    policy(f"onConflict: {on_conflict}")(world)
    adopt()(world)
    operation = {"op": "replace", "path": "/spec/type", "value": "NodePort"}
    world.edit("Service", "session-one", operation)
    [patch] = [c for c in world.plan().plan.changes if isinstance(c, Patch)]
    assert patch.adopts
    assert "spec.type" in {field.path for field in patch.fields}
    assert {field.cause for field in patch.fields} == {Commit()}


def test_drift_keeps_its_manager_and_time_in_a_change_that_is_held():
    world = at_work(spec="initialPrompt: work")
    operation = {"op": "replace", "path": "/spec/containers/0/image", "value": "other:1"}
    world.edit("Pod", "one-runner", operation)
    [hold] = [c for c in world.plan().plan.changes if isinstance(c, Hold)]
    assert hold.reason is HoldReason.RUNNING_WORK
    [field] = hold.change.fields
    assert field.cause == Drift("stranger", "2026-01-31T12:01:00Z")
