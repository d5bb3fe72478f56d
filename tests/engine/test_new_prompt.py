"""A new prompt for a running session: patched in place, and known to the pod's annotation."""

import pytest

from reconcile.core.changes import DeliversPrompt, Hold, Keep, Status
from reconcile.core.model import ANNOTATION_INPUTS_DIGEST, ANNOTATION_RECORD_UID
from tests.builders import ref_of
from tests.engine.installation import is_quiet, settled
from tests.session_files import policy_text

POD = "Pod team-a/one-runner"
INPUTS = "ConfigMap team-a/one-inputs"
TEMPLATES = {
    "inputs.yaml.j2": (
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ names.inputs | tojson }}}\n"
        "data: {INITIAL_PROMPT: {{ session.spec.initialPrompt | tojson }}}\n"
    ),
    "pod.yaml.j2": (
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {{ names.pod | tojson }}\n  annotations:\n"
        f"    {ANNOTATION_INPUTS_DIGEST}: {{{{ session.spec.initialPrompt | sha256 }}}}\n"
        "spec:\n  restartPolicy: Never\n  containers:\n"
        "  - {name: runner, image: 'r:1'}\n  - {name: bridge, image: 'b:1'}\n"
    ),
}
RECREATE = "update: {strategy: Recreate}\ninitialPrompt: other"


def working():
    world = settled(templates=TEMPLATES)
    world.cluster.tick(60)
    return world


def digest_in(world):
    return world.get("Pod", "one-runner")["metadata"]["annotations"][ANNOTATION_INPUTS_DIGEST]


def test_it_is_patched_in_place_and_the_pod_goes_on():
    world = working()
    before = world.get("Pod", "one-runner")
    passed = world.add("one", "initialPrompt: other").apply()
    assert sorted(passed.of(Status.CONFIGURED)) == [INPUTS, POD]
    [patch] = [o.change for o in passed.outcomes if str(o.change.ref) == INPUTS]
    assert [field.effect for field in patch.fields] == [DeliversPrompt()]
    pod = world.get("Pod", "one-runner")
    assert pod["metadata"]["uid"] == before["metadata"]["uid"]
    assert digest_in(world) != before["metadata"]["annotations"][ANNOTATION_INPUTS_DIGEST]
    assert ANNOTATION_RECORD_UID in pod["metadata"]["annotations"]
    assert is_quiet(world.plan().plan)


def test_the_inputs_are_patched_before_the_annotation_that_announces_them():
    world = working()
    world.add("one", "initialPrompt: other").apply()
    writes = [write for write in world.seen.writes if "session-one" not in write]
    assert writes == ["apply ConfigMap one-inputs", "apply Pod one-runner"]


def finished(*policy):
    world = working()
    world.files["policy.yaml"] = policy_text(*policy)
    world.cluster.finish(ref_of("Pod", "one-runner"), 0)
    world.apply()
    return world


def test_work_that_has_ended_does_not_begin_again_for_a_prompt():
    world = finished()
    passed = world.add("one", "initialPrompt: other").apply()
    [hold] = [o.change for o in passed.outcomes if isinstance(o.change, Hold)]
    assert str(hold.ref) == POD
    world.remove("Pod", "one-runner")
    passed = world.apply()
    assert not passed.of(Status.CREATED)
    world.add("one", "initialPrompt: work").apply()
    assert all(isinstance(change, Keep) for change in world.plan().plan.changes)


@pytest.mark.parametrize("is_gone", [True, False])
def test_work_that_has_ended_begins_again_for_a_prompt_if_it_may(*, is_gone):
    world = finished()
    if is_gone:
        world.remove("Pod", "one-runner")
        world.apply()
    passed = world.add("one", RECREATE).apply()
    assert passed.of(Status.CREATED if is_gone else Status.REPLACED) == [POD]
    assert is_quiet(world.plan().plan)
