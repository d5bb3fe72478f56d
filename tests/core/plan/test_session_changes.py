import pytest

from reconcile.core.changes import (
    ABSENT,
    Create,
    Delete,
    DeleteReason,
    Drift,
    FieldChange,
    ForcesReplace,
    Hold,
    HoldReason,
    Keep,
    MetadataOnly,
    Patch,
    Replace,
)
from reconcile.core.model import Policy, SessionState, UpdateStrategy
from reconcile.core.plan.adoption import ForeignObjects
from reconcile.core.plan.session_changes import UNKNOWN_UID, build_owner_reference
from tests.builders import (
    NAME,
    body,
    config_map,
    container,
    in_phase,
    live_ref,
    live_session,
    pod,
    service,
    session,
    session_id,
    taken_over,
    terminating,
    uid_of,
    wanted,
)
from tests.core.plan.session_plans import RECREATE, changes

SECRET = body("Secret", "keys", data={"a": "MQ=="})
ACCOUNT = body("ServiceAccount", NAME)
POLICY = body("NetworkPolicy", NAME, "networking.k8s.io/v1", spec={"podSelector": {}})
CLAIM = body("PersistentVolumeClaim", NAME, spec={"accessModes": ["ReadWriteOnce"]})
ROUTE = body("Route", NAME, "route.example.com/v1", spec={})
GRANT = body("Grant", NAME, "grants.example.com/v1", spec={})
ALL = (pod(), ROUTE, GRANT, service(), POLICY, CLAIM, config_map(), SECRET, ACCOUNT)


def shown(changes):
    return [f"{type(change).__name__} {change.ref.kind} {change.ref.name}" for change in changes]


def only(changes, kind):
    (change,) = (each for each in changes if each.ref.kind == kind)
    return change


def test_a_new_session_is_created_record_first_and_pod_last():
    assert shown(changes([wanted(*ALL)])) == [
        "Create ConfigMap session-fix-login",
        "Create ServiceAccount fix-login",
        "Create Secret keys",
        "Create ConfigMap fix-login-inputs",
        "Create PersistentVolumeClaim fix-login",
        "Create NetworkPolicy fix-login",
        "Create Service fix-login",
        "Create Grant fix-login",
        "Create Route fix-login",
        "Create Pod fix-login-runner",
    ]


def test_a_session_that_is_as_wanted_is_kept():
    of = wanted(*ALL)
    kept = changes([of], live_session(of))
    assert kept == tuple(Keep(m.ref, live_ref(m.ref), m.digest) for m in of.manifests)


def test_a_removed_session_ends_pod_first_and_record_last():
    objects = live_session(wanted(*ALL))[::-1]
    deletes = changes([], objects, policy=Policy(allow_empty=True))
    assert shown(deletes) == [
        "Delete Pod fix-login-runner",
        "Delete Grant fix-login",
        "Delete Route fix-login",
        "Delete Service fix-login",
        "Delete NetworkPolicy fix-login",
        "Delete PersistentVolumeClaim fix-login",
        "Delete ConfigMap fix-login-inputs",
        "Delete Secret keys",
        "Delete ServiceAccount fix-login",
        "Delete ConfigMap session-fix-login",
    ]
    for delete in deletes:
        assert isinstance(delete, Delete)
        assert delete.reason is DeleteReason.SESSION_REMOVED
        assert delete.live == live_ref(delete.ref)


def test_a_stopped_session_loses_its_pod_first_and_keeps_the_rest():
    before = wanted(pod(), service())
    after = wanted(pod(), service(type="NodePort"), of=session(state=SessionState.STOPPED))
    stop, *others = changes([after], live_session(before))
    assert isinstance(stop, Delete)
    assert (stop.ref.kind, stop.reason) == ("Pod", DeleteReason.SESSION_STOPPED)
    assert shown(others) == ["Patch ConfigMap session-fix-login", "Patch Service fix-login"]


def test_a_stopped_session_without_a_pod_has_nothing_to_do():
    of = wanted(*ALL, of=session(state=SessionState.STOPPED))
    assert {type(change) for change in changes([of], live_session(of))} == {Keep}


def test_what_no_template_renders_any_more_goes_last():
    before = wanted(pod(), service(), config_map())
    dropped = changes([wanted(pod(containers=[container(image="runner:2")]))], live_session(before))
    assert shown(dropped) == [
        "Keep ConfigMap session-fix-login",
        "Hold Pod fix-login-runner",
        "Delete Service fix-login",
        "Delete ConfigMap fix-login-inputs",
    ]
    assert {d.reason for d in dropped if isinstance(d, Delete)} == {DeleteReason.NOT_RENDERED}


def test_another_pod_of_a_stopped_session_is_stopped_too():
    before = wanted(pod(), pod("second"))
    after = wanted(of=session(state=SessionState.STOPPED))
    stops = [each for each in changes([after], live_session(before)) if isinstance(each, Delete)]
    assert {stop.reason for stop in stops} == {DeleteReason.SESSION_STOPPED}
    assert shown(stops) == ["Delete Pod fix-login-runner", "Delete Pod second"]


def test_a_patch_names_the_very_object_its_fields_and_the_operations():
    before, after = wanted(service()), wanted(service(type="NodePort"))
    patch = only(changes([after], live_session(before)), "Service")
    assert isinstance(patch, Patch)
    assert patch.manifest == after.manifests[1]
    assert patch.live == live_ref(patch.ref)
    assert [field.path for field in patch.fields] == ["spec.type"]
    assert len(patch.operations) == 2
    assert (patch.force, patch.adopts) == (False, False)


def test_what_another_manager_holds_is_taken_by_force():
    of = wanted(config_map())
    record, files = live_session(of)
    files["data"]["INITIAL_PROMPT"] = "x"
    taken_over(files, {"f:data": {"f:INITIAL_PROMPT": {}}})
    _, patch = changes([of], [record, files])
    assert isinstance(patch, Patch)
    assert patch.force


@pytest.mark.parametrize("strategy", list(UpdateStrategy))
def test_a_field_that_cannot_change_replaces_the_object_and_is_named(strategy):
    before = wanted(pod(), of=session(strategy=strategy))
    after = wanted(pod(nodeName="n", metadata={"labels": {"a": "1"}}), of=before.session)
    pending = [in_phase(each, "Pending") for each in live_session(before)[1:]]
    replace = only(changes([after], [*live_session(before)[:1], *pending]), "Pod")
    assert isinstance(replace, Replace)
    assert [f.path for f in replace.fields if isinstance(f.effect, ForcesReplace)] == [
        "spec.nodeName"
    ]
    assert len(replace.fields) == 2


@pytest.mark.parametrize(
    ("phase", "kind"), [("Running", Patch), ("Succeeded", Replace), ("Failed", Replace)]
)
def test_a_new_image_patches_a_running_pod_and_replaces_one_that_has_ended(phase, kind):
    before = wanted(pod(), of=RECREATE)
    after = wanted(
        pod(containers=[container(image="runner:2")], metadata={"labels": {"a": "1"}}), of=RECREATE
    )
    change = only(changes([after], live_session(before, pod_phase=phase)), "Pod")
    assert isinstance(change, kind)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_has_ended_is_as_wanted_until_its_session_changes(phase):
    of = wanted(pod())
    kept = only(changes([of], live_session(of, pod_phase=phase)), "Pod")
    assert isinstance(kept, Keep)


def test_an_object_that_lost_its_owner_gets_it_back():
    of = wanted(config_map())
    record, files = live_session(of)
    del files["metadata"]["ownerReferences"]
    kept, patch = changes([of], [record, files])
    owner = build_owner_reference(session_id(), uid_of(of.manifests[0].ref))
    assert isinstance(kept, Keep)
    assert isinstance(patch, Patch)
    assert patch.fields == (
        FieldChange("metadata.ownerReferences", ABSENT, [owner], MetadataOnly(), Drift()),
    )


def test_where_the_record_is_gone_everything_is_given_to_the_new_one():
    of = wanted(config_map())
    _, files = live_session(of)
    create, patch = changes([of], [files])
    assert isinstance(create, Create)
    assert isinstance(patch, Patch)
    assert patch.fields[0].after == [build_owner_reference(session_id(), UNKNOWN_UID)]


def test_an_object_that_is_being_deleted_is_waited_for_and_what_comes_after_waits_too():
    of = wanted(service(), pod())
    record, svc, runner = live_session(of)
    held = changes([of], [record, terminating(svc)])
    assert held[1:] == (
        Hold(Create(of.manifests[1]), HoldReason.TERMINATING),
        Hold(Create(of.manifests[2]), HoldReason.WAITS_FOR_OWNER),
    )
    assert isinstance(changes([of], [record, terminating(svc), runner])[2], Keep)


def test_a_pod_that_is_being_deleted_is_deleted_before_its_record_all_the_same():
    of = wanted(pod())
    record, runner = live_session(of)
    deletes = changes([], [record, terminating(runner)], policy=Policy(allow_empty=True))
    assert shown(deletes) == ["Delete Pod fix-login-runner", "Delete ConfigMap session-fix-login"]


def test_a_name_that_is_taken_is_held_and_so_is_what_comes_after_but_not_what_came_before():
    of = wanted(config_map(), service(), pod())
    foreign = ForeignObjects(conflicts=frozenset({of.manifests[2].ref}))
    assert changes([of], [], foreign) == (
        Create(of.manifests[0]),
        Create(of.manifests[1]),
        Hold(Create(of.manifests[2]), HoldReason.TAKEN),
        Hold(Create(of.manifests[3]), HoldReason.WAITS_FOR_OWNER),
    )


def test_what_is_no_longer_wanted_does_not_wait_for_what_is_held():
    before, after = wanted(service()), wanted(pod())
    foreign = ForeignObjects(conflicts=frozenset({after.manifests[1].ref}))
    assert shown(changes([after], live_session(before), foreign)) == [
        "Keep ConfigMap session-fix-login",
        "Hold Pod fix-login-runner",
        "Delete Service fix-login",
    ]
