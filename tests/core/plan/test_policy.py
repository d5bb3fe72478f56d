import pytest

from reconcile.core.changes import (
    Create,
    Delete,
    DeleteReason,
    Hold,
    HoldReason,
    Keep,
    Patch,
    Replace,
    RestartsContainer,
)
from reconcile.core.model import OnConflict, Policy, SessionState, UpdateStrategy
from reconcile.core.plan.adoption import ForeignObjects
from reconcile.core.plan.policy import ends_work, hold_change, in_scope, is_prune
from tests.builders import (
    body,
    config_map,
    container,
    desired,
    live_session,
    plan,
    pod,
    service,
    session,
    session_id,
    taken_over,
    wanted,
)

NAMED = frozenset({str(session_id())})
REPORT = Policy(on_conflict=OnConflict.REPORT)
RECREATE = session(strategy=UpdateStrategy.RECREATE)


def moved(of=None):
    return wanted(pod(nodeName="n"), of=of)


def with_image(of=None):
    return wanted(pod(containers=[container(image="runner:2")]), of=of)


def claim(**spec):
    return body("PersistentVolumeClaim", "work", spec=spec)


def last(of, objects=(), **fields):
    """The change of a session's last object."""
    return plan(desired(of, **fields), objects).changes[-1]


def edited(objects, **data):
    """Another manager has edited the last object, a ConfigMap."""
    *others, files = objects
    files["data"] |= data
    return [*others, taken_over(files, {"f:data": {f"f:{name}": {} for name in data}})]


@pytest.mark.parametrize("change", [moved, with_image])
def test_running_work_is_not_ended(change):
    hold = last(change(), live_session(wanted(pod())))
    assert isinstance(hold, Hold)
    assert hold.reason is HoldReason.RUNNING_WORK
    assert ends_work(hold.change)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_session_that_has_ended_is_not_restarted(phase):
    hold = last(with_image(), live_session(wanted(pod()), pod_phase=phase))
    assert isinstance(hold, Hold)
    assert isinstance(hold.change, Replace)
    assert hold.reason is HoldReason.RUNNING_WORK


@pytest.mark.parametrize(
    ("of", "policy"),
    [(RECREATE, Policy()), (None, Policy(allow_restarts=NAMED))],
    ids=["by its author", "by the policy"],
)
@pytest.mark.parametrize(("change", "kind"), [(moved, Replace), (with_image, Patch)])
def test_running_work_is_ended_where_that_is_allowed(of, policy, change, kind):
    before = wanted(pod(), of=of)
    assert isinstance(last(change(of), live_session(before), policy=policy), kind)


@pytest.mark.parametrize(("change", "kind"), [(moved, Replace), (with_image, Patch)])
def test_a_pod_that_never_started_has_no_work_to_lose(change, kind):
    objects = live_session(wanted(pod()), pod_phase="Pending")
    assert isinstance(last(change(), objects), kind)


@pytest.mark.parametrize(
    "after",
    [
        pod(metadata={"labels": {"a": "1"}}),
        pod(activeDeadlineSeconds=60),
        pod(initContainers=[{"name": "init", "image": "init:2"}]),
    ],
)
def test_what_ends_no_work_is_done_at_once(after):
    before = pod()
    if "initContainers" in after["spec"]:
        before = pod(initContainers=[{"name": "init", "image": "init:1"}])
    assert isinstance(last(wanted(after), live_session(wanted(before))), Patch)


def test_replacing_another_kind_than_a_pod_ends_no_work():
    before, after = (wanted(config_map(data={"a": value}, immutable=True)) for value in ("1", "2"))
    replace = last(after, live_session(before))
    assert isinstance(replace, Replace)
    assert not ends_work(replace)


def test_where_the_policy_is_to_report_drift_is_held_and_so_is_what_comes_after():
    of = wanted(config_map(data={"a": "1"}), pod())
    record, files, _ = live_session(of)
    objects = edited([record, files], a="x")
    _, hold, waits = plan(desired(of, policy=REPORT), objects).changes
    assert isinstance(hold, Hold)
    assert isinstance(hold.change, Patch)
    assert hold.reason is HoldReason.CONFLICT
    assert waits == Hold(Create(of.manifests[2]), HoldReason.WAITS_FOR_OWNER)
    assert isinstance(plan(desired(of), objects).changes[1], Patch)


def test_where_the_policy_is_to_report_commits_are_carried_out():
    before, after = (wanted(config_map(data={"a": value})) for value in ("1", "2"))
    assert isinstance(last(after, live_session(before), policy=REPORT), Patch)


@pytest.mark.parametrize(
    ("policy", "reason"), [(Policy(), HoldReason.DATA_LOSS), (Policy(allow_deletes=NAMED), None)]
)
def test_data_is_not_deleted_to_replace_its_claim_unless_approved_by_name(policy, reason):
    before, after = wanted(claim(storageClassName="a")), wanted(claim(storageClassName="b"))
    change = last(after, live_session(before), policy=policy)
    assert isinstance(change, Hold if reason else Replace)
    assert reason is None or change.reason is reason


def test_a_pod_does_not_wait_for_a_claim_that_is_kept():
    before, after = wanted(claim(storageClassName="a")), wanted(claim(storageClassName="b"), pod())
    assert isinstance(last(after, live_session(before)), Create)


def test_a_claim_grows_without_loss():
    before, after = (
        wanted(claim(resources={"requests": {"storage": size}})) for size in ("1Gi", "2Gi")
    )
    assert isinstance(last(after, live_session(before)), Patch)


PRUNES = {
    "unreadable namespace": ({"unreadable": frozenset({"team-a"})}, True, HoldReason.UNREADABLE),
    "unreadable tree": ({"unreadable": frozenset({""})}, True, HoldReason.UNREADABLE),
    "no prune": ({}, False, HoldReason.NO_PRUNE),
    "both": ({"unreadable": frozenset({""})}, False, HoldReason.UNREADABLE),
    "another namespace": ({"unreadable": frozenset({"team-b"})}, True, None),
}


@pytest.mark.parametrize(("fields", "prune", "reason"), PRUNES.values(), ids=PRUNES)
def test_nothing_is_pruned_if_that_is_unsafe_or_switched_off(fields, prune, reason):
    gone, stays = wanted(pod()), wanted(pod("other"), of=session("other"))
    less = wanted(config_map("less"), of=session("less"))
    objects = [
        *live_session(gone),
        *live_session(stays),
        *live_session(wanted(config_map("less"), service("less"), of=less.session)),
    ]
    policy = Policy(allow_deletes=frozenset({"team-a/fix-login", "team-a/less"}))
    result = plan(desired(stays, less, policy=policy, **fields), objects, prune=prune)
    prunes = [each for each in result.changes if not isinstance(each, Keep)]
    assert len(prunes) == 3
    for prune_ in prunes:
        assert isinstance(prune_, Hold if reason else Delete)
        assert reason is None or prune_.reason is reason


def test_a_session_is_stopped_even_where_nothing_is_pruned():
    of = wanted(service(), of=session(state=SessionState.STOPPED))
    stop, *_ = plan(
        desired(of, unreadable=frozenset({"team-a"})), live_session(wanted(pod())), prune=False
    ).changes
    assert isinstance(stop, Delete)
    assert not is_prune(stop)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (DeleteReason.SESSION_REMOVED, True),
        (DeleteReason.NOT_RENDERED, True),
        (DeleteReason.SESSION_STOPPED, False),
    ],
)
def test_every_delete_but_a_stop_is_a_prune(reason, expected):
    objects = live_session(wanted(pod()))
    delete = plan(desired(policy=Policy(allow_empty=True)), objects).changes[0]
    assert isinstance(delete, Delete)
    assert is_prune(Delete(delete.ref, delete.kind, delete.live, reason)) is expected
    assert not is_prune(Create(wanted().manifests[0]))


@pytest.mark.parametrize(
    ("namespaces", "inside"),
    [(frozenset(), True), (frozenset({"team-a"}), True), (frozenset({"team-b"}), False)],
)
def test_the_scope_is_what_the_policy_lists_or_everything(namespaces, inside):
    assert in_scope(Policy(namespaces=namespaces), session_id()) is inside


def test_outside_the_scope_nothing_is_written():
    policy = Policy(namespaces=frozenset({"team-b"}))
    before = wanted(pod(), service())
    gone = wanted(config_map("gone"), of=session("gone"))
    objects = [*live_session(before)[:2], *live_session(gone)]
    result = plan(desired(wanted(pod(), service(type="NodePort")), policy=policy), objects)
    assert [type(change) for change in result.changes] == [Keep, Hold, Hold, Hold, Hold]
    holds = [change for change in result.changes if isinstance(change, Hold)]
    assert {hold.reason for hold in holds} == {HoldReason.OUT_OF_REALM}
    assert [type(hold.change) for hold in holds] == [Patch, Create, Delete, Delete]


def test_outside_the_scope_an_earlier_hold_reason_stays():
    of = wanted(pod())
    foreign = ForeignObjects(conflicts=frozenset({of.manifests[1].ref}))
    policy = Policy(namespaces=frozenset({"team-b"}))
    _, hold = plan(desired(of, policy=policy), [], foreign).changes
    assert isinstance(hold, Hold)
    assert hold.reason is HoldReason.TAKEN


def test_what_writes_nothing_cannot_be_held():
    of = wanted(pod())
    keep = plan(desired(of), live_session(of)).changes[0]
    with pytest.raises(AssertionError):
        hold_change(keep, HoldReason.NO_PRUNE)


def sidecar_image(image, *, native):
    sync = {"name": "sync", "image": image, **({"restartPolicy": "Always"} if native else {})}
    containers = [container()] if native else [container(), sync]
    return pod(containers=containers, **({"initContainers": [sync]} if native else {}))


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("phase", ["Running", "Succeeded"])
def test_another_image_of_the_mirror_ends_no_work(native, phase):
    before = wanted(sidecar_image("mirror:1", native=native))
    after = wanted(sidecar_image("mirror:2", native=native))
    [patch] = [
        change
        for change in plan(desired(after), live_session(before, pod_phase=phase)).changes
        if not isinstance(change, Keep)
    ]
    assert isinstance(patch, Patch)
    assert [field.effect for field in patch.fields] == [RestartsContainer("sync")]
    assert not ends_work(patch)
