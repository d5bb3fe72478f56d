import copy

import pytest

from reconcile.core.model import (
    LABEL_INSTALLATION,
    LABEL_SESSION,
    RECORD_STATUS_KEY,
    SessionId,
    build_record_ref,
)
from reconcile.core.plan.live_state import (
    InSync,
    LiveState,
    OutOfSync,
    Undeclared,
    has_foreign_controller,
)
from tests.builders import (
    NAME,
    NAMESPACE,
    config_map,
    desired,
    in_phase,
    live,
    live_ref,
    live_session,
    live_state_of,
    manifest,
    pod,
    session,
    session_id,
    terminating,
    wanted,
)

REPLICA_SET = {"kind": "ReplicaSet", "name": "r", "uid": "u", "controller": True}


def only(live_state):
    (live_object,) = live_state.objects.values()
    return live_object


def test_a_pod_is_seen_with_all_that_the_planner_needs():
    of = wanted(pod())
    obj = terminating(live_session(of)[1])
    live_object = only(live_state_of(desired(of), [obj]))
    assert live_object.ref == of.manifests[1].ref
    assert live_object.kind == of.manifests[1].kind
    assert live_object.live == live_ref(live_object.ref)
    assert live_object.session == session_id()
    assert [owner["name"] for owner in live_object.owners] == [build_record_ref(session_id()).name]
    assert live_object.is_terminating
    assert live_object.has_started
    assert live_object.phase == "Running"
    assert live_object.record_status == ""
    assert live_object.comparison == InSync(of.manifests[1].digest)


def test_only_pods_run():
    of = wanted(config_map())
    for live_object in live_state_of(desired(of), live_session(of)).objects.values():
        assert (live_object.has_started, live_object.phase, live_object.is_terminating) == (
            False,
            "",
            False,
        )


@pytest.mark.parametrize(("phase", "started"), [("Pending", False), ("Succeeded", True)])
def test_a_pod_that_never_started_differs_from_one_that_did(phase, started):
    of = wanted(pod())
    live_object = only(live_state_of(desired(of), live_session(of, pod_phase=phase)[1:]))
    assert (live_object.phase, live_object.has_started) == (phase, started)


def test_a_pod_without_status_is_seen():
    of = wanted(pod())
    assert only(live_state_of(desired(of), [live(of.manifests[1])])).phase == ""


def test_the_status_is_read_from_the_record_alone():
    of = wanted(config_map(data={RECORD_STATUS_KEY: "mine"}))
    record, other = live_session(of)
    record["data"][RECORD_STATUS_KEY] = "note"
    notes = {
        s.ref: s.record_status for s in live_state_of(desired(of), [record, other]).objects.values()
    }
    assert notes == {of.manifests[0].ref: "note", of.manifests[1].ref: ""}


def test_different_and_undeclared_objects_have_different_comparisons():
    before = wanted(pod(), config_map())
    after = wanted(pod(nodeName="n"))
    comparisons = {
        s.ref.name: s.comparison
        for s in live_state_of(desired(after), live_session(before)).objects.values()
    }
    assert comparisons[f"{NAME}-inputs"] == Undeclared()
    assert isinstance(comparisons[f"{NAME}-runner"], OutOfSync)


def test_the_session_of_an_unwanted_object_is_the_one_on_its_label():
    obj = live(manifest(config_map("x"), session("other")))
    assert only(live_state_of(desired(), [obj])).session == SessionId(NAMESPACE, "other")


def test_the_session_of_a_wanted_object_is_the_one_that_wants_it():
    of = wanted(config_map())
    obj = live(of.manifests[1])
    obj["metadata"]["labels"][LABEL_SESSION] = "edited"
    live_object = only(live_state_of(desired(of), [obj]))
    assert live_object.session == session_id()
    assert isinstance(live_object.comparison, OutOfSync)


def unlabelled(obj, label):
    del obj["metadata"]["labels"][label]
    return obj


def relabelled(obj, label, value):
    obj["metadata"]["labels"][label] = value
    return obj


def controlled(obj, *owners):
    obj["metadata"]["ownerReferences"] = list(owners)
    return obj


NOT_OURS = {
    "another installation's": lambda obj: relabelled(obj, LABEL_INSTALLATION, "other"),
    "without an installation": lambda obj: unlabelled(obj, LABEL_INSTALLATION),
    "a copy by another controller": lambda obj: controlled(obj, REPLICA_SET),
}


@pytest.mark.parametrize("spoil", NOT_OURS.values(), ids=NOT_OURS)
@pytest.mark.parametrize("bodies", [(pod(), config_map()), (pod(),)])
def test_what_is_not_ours_is_not_seen_whether_wanted_or_not(spoil, bodies):
    obj = spoil(live(manifest(config_map())))
    assert live_state_of(desired(wanted(*bodies)), [obj]) == LiveState()


@pytest.mark.parametrize("labels", [None, {LABEL_INSTALLATION: "default"}])
def test_what_belongs_to_no_session_is_not_seen(labels):
    obj = live(manifest(config_map("x")))
    obj["metadata"]["labels"] = labels
    assert live_state_of(desired(), [obj]) == LiveState()


@pytest.mark.parametrize(
    ("owners", "foreign"),
    [
        (None, False),
        ([{**REPLICA_SET, "controller": False}], False),
        ([{"kind": "ConfigMap", "name": "session-a", "uid": "u", "controller": True}], False),
        ([{"kind": "ConfigMap", "name": "a", "uid": "u", "controller": True}], True),
        ([{"kind": "Secret", "name": "session-a", "uid": "u", "controller": True}], True),
        ([REPLICA_SET], True),
    ],
)
def test_every_controller_but_a_record_is_foreign(owners, foreign):
    assert has_foreign_controller({"ownerReferences": owners}) is foreign


def test_objects_are_grouped_by_session_in_the_order_in_which_they_were_read():
    objects = [
        live(manifest(config_map(name), session(owner)))
        for name, owner in [("1", "b"), ("2", "a"), ("3", "b")]
    ]
    groups = live_state_of(desired(), objects).group_by_session()
    assert {str(key): [s.ref.name for s in seen] for key, seen in groups.items()} == {
        "team-a/b": ["1", "3"],
        "team-a/a": ["2"],
    }


def garbled(obj):
    """An object with the same version but other content, so that a comparison would differ."""
    result = copy.deepcopy(obj)
    result["metadata"].pop("labels")
    return result


def test_what_has_not_changed_since_is_not_compared_again():
    of = desired(wanted(pod(), config_map()))
    objects = live_session(of.sessions[0])
    memo = live_state_of(of, objects).objects
    assert live_state_of(of, map(garbled, objects), memo).objects == memo


def test_undeclared_objects_are_remembered_too():
    objects = live_session(wanted(pod(), config_map()))
    memo = live_state_of(desired(), objects).objects
    assert live_state_of(desired(), map(garbled, objects), memo).objects == memo


@pytest.mark.parametrize(
    ("then", "now", "version"),
    [
        (wanted(pod()), wanted(pod()), "2"),
        (wanted(pod()), wanted(pod(nodeName="n")), "1"),
        (wanted(config_map()), wanted(pod()), "1"),
        (wanted(pod(nodeName="m")), wanted(pod(nodeName="n")), "1"),
    ],
    ids=["another version", "another manifest", "wanted now", "different before"],
)
def test_an_object_that_may_have_changed_is_compared_again(then, now, version):
    memo = live_state_of(desired(then), live_session(wanted(pod()))).objects
    objects = live_session(wanted(pod()), resource_version=version)
    assert live_state_of(desired(now), objects, memo) == live_state_of(desired(now), objects)


def test_a_pod_that_is_no_longer_wanted_is_compared_again():
    objects = [in_phase(each, "Failed") for each in live_session(wanted(pod()))[1:]]
    memo = live_state_of(desired(wanted(pod())), objects).objects
    assert only(live_state_of(desired(), objects, memo)).comparison == Undeclared()
