"""A changed prompt is delivered to work that runs, and the plan says so only where that is true."""

import pytest

from reconcile.core.changes import (
    DeliversPrompt,
    Hold,
    HoldReason,
    InPlace,
    Keep,
    MetadataOnly,
    Patch,
    Replace,
)
from reconcile.core.manifest import compute_work_digest
from reconcile.core.model import (
    ANNOTATION_INPUTS_DIGEST,
    Budget,
    Policy,
    SessionState,
    UpdateStrategy,
)
from reconcile.core.plan.offline import plan_offline
from tests.builders import (
    config_map,
    container,
    desired,
    in_phase,
    live_session,
    manifest,
    plan,
    pod,
    session,
    taken_over,
    terminating,
    wanted,
)

RECREATE = session(strategy=UpdateStrategy.RECREATE)
STOPPED = session(state=SessionState.STOPPED)
NO_RESTARTS = Policy(restarts=Budget(0, 0))
PROMPT, MODEL = {"INITIAL_PROMPT": "one"}, {"LLM_MODEL": "a"}
BRIDGE = {"name": "bridge", "image": "reconcile:1"}
DIGEST_PATH = f"metadata.annotations[{ANNOTATION_INPUTS_DIGEST}]"


def inputs(data, digest="a", *, of=None, bridge=BRIDGE, native=True, **spec):
    """A session with these inputs and a pod, with a bridge or without."""
    containers = [container()]
    if bridge and native:
        spec["initContainers"] = [bridge | {"restartPolicy": "Always"}]
    elif bridge:
        containers.append(bridge)
    annotated = {"annotations": {ANNOTATION_INPUTS_DIGEST: digest}}
    made = pod(metadata=annotated, containers=containers, **spec)
    return wanted(config_map(data=data), made, of=of)


def effects(plan):
    """The effect of each changed field of the inputs, by its path, held or not."""
    for change in plan.changes:
        wanted_change = change.change if isinstance(change, Hold) else change
        if change.ref.name == "fix-login-inputs" and isinstance(wanted_change, Patch):
            return {field.path: field.effect for field in wanted_change.fields}
    return {}


def pod_change(plan):
    [change] = [each for each in plan.changes if each.ref.kind == "Pod"]
    return change


DELIVERED = {"data.INITIAL_PROMPT": DeliversPrompt()}
IN_PLACE = {"data.INITIAL_PROMPT": InPlace()}
BEFORE = inputs(PROMPT)
AFTER = inputs({"INITIAL_PROMPT": "two"}, "b")


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("policy", [Policy(), NO_RESTARTS])
def test_a_new_prompt_is_delivered_without_a_hold_and_without_a_budget(native, policy):
    before = inputs(PROMPT, native=native)
    after = inputs({"INITIAL_PROMPT": "two"}, "b", native=native)
    made = plan(desired(after, policy=policy), live_session(before))
    assert effects(made) == DELIVERED
    assert not any(isinstance(change, Hold | Replace) for change in made.changes)
    patch = pod_change(made)
    assert [(field.path, field.effect) for field in patch.fields] == [(DIGEST_PATH, MetadataOnly())]
    pointer = f"/metadata/annotations/{ANNOTATION_INPUTS_DIGEST.replace('/', '~1')}"
    assert {"op": "replace", "path": pointer, "value": "b"} in patch.operations
    assert made.budget_usage.restarts == frozenset()


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (PROMPT, {"LONG_PROMPT": "x"}, {"INITIAL_PROMPT", "LONG_PROMPT"}),
        (PROMPT, PROMPT | {"ACTIVE_WORKFLOW_GIT_URL": "u"}, {"ACTIVE_WORKFLOW_GIT_URL"}),
        (PROMPT | {"ACTIVE_WORKFLOW_PATH": "p"}, PROMPT, {"ACTIVE_WORKFLOW_PATH"}),
        (
            {"ACTIVE_WORKFLOW_BRANCH": "a"},
            {"ACTIVE_WORKFLOW_BRANCH": "b"},
            {"ACTIVE_WORKFLOW_BRANCH"},
        ),
        (MODEL, MODEL | PROMPT, {"INITIAL_PROMPT"}),
        (PROMPT, MODEL, set()),
        (PROMPT | MODEL, PROMPT | {"LLM_MODEL": "b", "REPOS_JSON": "[]", "TIMEOUT": "1"}, set()),
        (MODEL, {}, set()),
    ],
)
def test_prompt_and_workflow_are_delivered_and_other_inputs_change_in_place(
    before, after, expected
):
    found = effects(plan(desired(inputs(after)), live_session(inputs(before))))
    assert found
    delivered = {path for path, effect in found.items() if effect == DeliversPrompt()}
    assert delivered == {f"data.{key}" for key in expected}
    assert {effect for path, effect in found.items() if path not in delivered} <= {InPlace()}


def test_inputs_that_had_none_are_delivered_as_a_whole():
    [record, files, made] = live_session(inputs({}))
    del files["data"]
    assert effects(plan(desired(BEFORE), [record, files, made])) == {"data": DeliversPrompt()}


def test_metadata_of_the_inputs_is_no_prompt():
    labelled = inputs(PROMPT, of=session(labels={"a": "1"}))
    found = effects(plan(desired(labelled), live_session(BEFORE)))
    assert found == {"metadata.labels.a": MetadataOnly()}


def test_another_config_map_has_no_prompt():
    def made(text):
        other = config_map("fix-login-other", data={"INITIAL_PROMPT": text})
        return wanted(other, pod(initContainers=[BRIDGE]))

    found = plan(desired(made("two")), live_session(made("one")))
    [patch] = [change for change in found.changes if isinstance(change, Patch)]
    assert [field.effect for field in patch.fields] == [InPlace()]


def test_without_a_bridge_nothing_is_delivered():
    after = inputs({"INITIAL_PROMPT": "two"}, bridge=None)
    assert effects(plan(desired(after), live_session(inputs(PROMPT, bridge=None)))) == IN_PLACE
    held = plan(desired(AFTER), live_session(inputs(PROMPT, bridge=None)))
    assert isinstance(pod_change(held), Hold)
    assert effects(held) == IN_PLACE


def test_a_pod_that_stays_as_it_must_not_be_replaced_delivers_the_prompt():
    after = inputs({"INITIAL_PROMPT": "two"}, "b", nodeName="n")
    made = plan(desired(after), live_session(BEFORE))
    hold = pod_change(made)
    assert (type(hold.change), hold.reason) == (Replace, HoldReason.RUNNING_WORK)
    assert effects(made) == DELIVERED


def test_a_pod_that_is_replaced_or_stopped_delivers_no_more():
    after = inputs({"INITIAL_PROMPT": "two"}, "b", nodeName="n", of=RECREATE)
    made = plan(desired(after), live_session(BEFORE))
    assert isinstance(pod_change(made), Replace)
    assert effects(made) == IN_PLACE
    stopped = inputs({"INITIAL_PROMPT": "two"}, "b", of=STOPPED)
    assert effects(plan(desired(stopped), live_session(BEFORE))) == IN_PLACE


def test_a_pod_that_waits_for_its_start_or_ends_reads_no_new_prompt():
    [record, files, made] = live_session(BEFORE)
    for each in (in_phase(made, "Pending"), terminating(made)):
        assert effects(plan(desired(AFTER), [record, files, each])) == IN_PLACE
    assert effects(plan(desired(AFTER), [record, files])) == IN_PLACE


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_new_inputs_of_work_that_has_ended_need_a_new_pod(phase):
    live = live_session(BEFORE, pod_phase=phase)
    held = plan(desired(AFTER), live)
    hold = pod_change(held)
    assert (type(hold.change), hold.reason) == (Replace, HoldReason.RUNNING_WORK)
    assert effects(held) == IN_PLACE
    again = inputs({"INITIAL_PROMPT": "two"}, "b", of=RECREATE)
    assert isinstance(pod_change(plan(desired(again), live)), Replace)


def test_so_do_those_of_a_runner_that_has_ended_before_its_sidecars():
    [record, files, made] = live_session(inputs(PROMPT, restartPolicy="Never"))
    ended = {**in_phase(made, "Succeeded")["status"], "phase": "Running"}
    after = inputs({"INITIAL_PROMPT": "two"}, "b", restartPolicy="Never")
    found = plan(desired(after), [record, files, {**made, "status": ended}])
    assert isinstance(pod_change(found), Hold)
    assert effects(found) == IN_PLACE


def test_a_digest_that_another_client_changes_begins_no_ended_work_again():
    [record, files, made] = live_session(BEFORE, pod_phase="Succeeded")
    made["metadata"]["annotations"][ANNOTATION_INPUTS_DIGEST] = "x"
    owned = {"f:metadata": {"f:annotations": {f"f:{ANNOTATION_INPUTS_DIGEST}": {}}}}
    change = pod_change(plan(desired(BEFORE), [record, files, taken_over(made, owned)]))
    assert isinstance(change, Patch)
    assert [field.effect for field in change.fields] == [MetadataOnly()]


def test_work_that_has_ended_is_known_by_its_inputs_too():
    [_, _, before] = BEFORE.manifests
    [_, _, after] = AFTER.manifests
    assert compute_work_digest(before) != compute_work_digest(after)
    labelled = inputs(PROMPT, of=session(labels={"a": "1"})).manifests[2]
    assert compute_work_digest(before) == compute_work_digest(labelled)
    assert compute_work_digest(manifest(pod())) == compute_work_digest(manifest(pod()))


def edited(text):
    """The live objects, of whose inputs another client has changed the prompt."""
    [record, files, made] = live_session(BEFORE)
    files["data"]["INITIAL_PROMPT"] = text
    return [record, taken_over(files, {"f:data": {"f:INITIAL_PROMPT": {}}}), made]


def test_a_prompt_that_is_put_back_has_been_delivered_before():
    assert effects(plan(desired(BEFORE), edited("theirs"))) == IN_PLACE


def test_a_held_change_of_the_inputs_keeps_its_effect():
    policy = Policy(namespaces=frozenset({"team-b"}))
    found = plan(desired(AFTER, policy=policy), live_session(BEFORE))
    assert all(isinstance(change, Keep | Hold) for change in found.changes)
    assert effects(found) == DELIVERED


def test_a_deleted_config_map_of_inputs_is_created_again():
    [record, _, made] = live_session(BEFORE)
    found = plan(desired(BEFORE), [record, made])
    assert {type(change).__name__ for change in found.changes} == {"Keep", "Create"}


def test_the_plan_without_a_cluster_says_the_same():
    found = plan_offline(
        desired(BEFORE, namespaces=frozenset({"team-a"})),
        desired(AFTER, namespaces=frozenset({"team-a"})),
        prune=True,
    )
    assert effects(found) == DELIVERED
    assert [field.path for field in pod_change(found).fields] == [DIGEST_PATH]


def test_nothing_is_planned_again_once_the_prompt_has_changed():
    found = plan(desired(AFTER), live_session(AFTER))
    assert all(isinstance(change, Keep) for change in found.changes)
