"""The plan against another revision: what an in-sync server would make of it."""

import pytest

from reconcile.core.changes import (
    Create,
    Delete,
    DeleteReason,
    FieldChange,
    ForcesReplace,
    Hold,
    HoldReason,
    Keep,
    Patch,
    Replace,
)
from reconcile.core.inventory import BudgetUsage
from reconcile.core.manifest import build_manifest
from reconcile.core.model import Policy, SessionState
from reconcile.core.plan.offline import find_lost_namespaces, plan_offline, simulate_live
from tests.builders import (
    body,
    config_map,
    container,
    desired,
    manifest,
    pod,
    service,
    session,
    session_id,
    wanted,
)

A, B = session("a"), session("b")


def tree(*sessions, **fields):
    """A revision whose namespaces are those of its sessions."""
    return desired(*sessions, **{"namespaces": frozenset({"team-a"}), **fields})


def one(before, after, *, of=A):
    """The changes when one rendered object becomes another."""
    old, new = tree(wanted(before, of=of)), tree(wanted(after, of=of))
    changes = plan_offline(old, new, prune=True).changes
    return tuple(change for change in changes if not isinstance(change, Keep))


def kinds(plan):
    return [(type(change).__name__, change.ref.name) for change in plan.changes]


def test_equal_sides_have_no_changes():
    revision = tree(wanted(of=A), wanted(of=B))
    assert plan_offline(revision, revision, prune=True).sessions == ()


def test_a_new_session_is_created():
    plan = plan_offline(tree(), tree(wanted(of=A)), prune=True)
    assert {type(change) for change in plan.changes} == {Create}
    assert len(plan.changes) == 4


def test_a_session_that_is_gone_is_ended_pod_first_record_last():
    generous = Policy(allow_deletes=frozenset({"team-a/a"}))
    old = tree(wanted(of=A), wanted(of=B))
    plan = plan_offline(old, tree(wanted(of=B), policy=generous), prune=True)
    assert kinds(plan) == [
        ("Delete", "a-runner"),
        ("Delete", "a"),
        ("Delete", "a-inputs"),
        ("Delete", "session-a"),
    ]


def test_what_the_budget_has_used_is_not_remembered():
    old = tree(wanted(of=A), wanted(of=B))
    assert plan_offline(old, tree(wanted(of=B)), prune=True).budget_usage == BudgetUsage()


def test_a_change_that_ends_running_work_is_held():
    before, after = pod("p"), pod("p", hostname="x")
    change = one(before, after)[-1]
    assert isinstance(change, Hold)
    assert change.reason is HoldReason.RUNNING_WORK
    assert isinstance(change.change, Replace)


def test_a_session_that_is_stopped_loses_its_pod():
    stopped = session("a", state=SessionState.STOPPED)
    plan = plan_offline(tree(wanted(of=A)), tree(wanted(of=stopped)), prune=True)
    (change,) = (c for c in plan.changes if isinstance(c, Delete))
    assert change.reason is DeleteReason.SESSION_STOPPED


def test_what_is_rendered_no_more_is_deleted():
    old, new = tree(wanted(pod(), service(), of=A)), tree(wanted(pod(), of=A))
    (change,) = (c for c in plan_offline(old, new, prune=True).changes if isinstance(c, Delete))
    assert change.reason is DeleteReason.NOT_RENDERED
    (held,) = (c for c in plan_offline(old, new, prune=False).changes if isinstance(c, Hold))
    assert held.reason is HoldReason.NO_PRUNE


def test_a_session_that_was_broken_is_created_and_one_that_is_broken_stays():
    broken = tree(broken=frozenset({A.id}), unreadable=frozenset({"team-a"}))
    good = tree(wanted(of=A))
    assert {type(change) for change in plan_offline(broken, good, prune=True).changes} == {Create}
    assert plan_offline(good, broken, prune=True).changes == ()


def test_nothing_is_pruned_in_a_namespace_with_a_broken_file():
    new = tree(broken=frozenset({B.id}), unreadable=frozenset({"team-a"}))
    changes = plan_offline(tree(wanted(of=A)), new, prune=True).changes
    assert {change.reason for change in changes} == {HoldReason.UNREADABLE}


def test_what_was_made_for_another_installation_has_its_names():
    other = Policy(installation="other")
    new = tree(wanted(of=A, installation="other"), policy=other)
    changes = plan_offline(tree(wanted(of=A)), new, prune=True).changes
    assert isinstance(changes[0].change, Create)
    assert {change.reason for change in changes} == {HoldReason.TAKEN}


def test_an_object_that_goes_over_to_another_session_is_patched():
    shared = config_map("shared")
    old, new = tree(wanted(shared, of=A)), tree(wanted(shared, of=B))
    changes = {change.ref.name: change for change in plan_offline(old, new, prune=True).changes}
    assert isinstance(changes["shared"], Patch)
    assert "metadata.ownerReferences" in {field.path for field in changes["shared"].fields}


def test_a_namespace_that_nothing_names_any_more_is_not_found():
    old, new = tree(wanted(of=A)), tree(namespaces=frozenset())
    assert find_lost_namespaces(old, new) == {"team-a"}
    assert plan_offline(old, new, prune=True).changes == ()
    listed = tree(namespaces=frozenset(), policy=Policy(namespaces=frozenset({"team-a"})))
    assert find_lost_namespaces(old, listed) == frozenset()


def test_any_namespace_in_use_leads_to_the_others():
    there = session("there", namespace="team-b")
    old, new = tree(wanted(of=A), wanted(of=there)), tree(wanted(of=A))
    assert find_lost_namespaces(old, new) == frozenset()
    assert "there-runner" in {c.ref.name for c in plan_offline(old, new, prune=True).changes}


PORT = {"name": "agui", "port": 80, "targetPort": 80, "protocol": "TCP"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (pod(), pod(restartPolicy="Always")),
        (pod(), pod(serviceAccountName="default")),
        (pod(), pod(enableServiceLinks=True, terminationGracePeriodSeconds=30)),
        (pod(), pod(containers=[container(imagePullPolicy="IfNotPresent")])),
        (pod(), pod(hostNetwork=False)),
        (service(ports=[{"name": "agui", "port": 80}]), service(ports=[PORT])),
        (service(), service(type="ClusterIP", sessionAffinity="None")),
        (
            body("Secret", "s", data={"a": "YQ=="}),
            body("Secret", "s", type="Opaque", data={"a": "YQ=="}),
        ),
    ],
)
def test_writing_down_what_the_server_fills_in_changes_the_digest_annotation_alone(before, after):
    assert one(before, after) == ()


def test_a_field_that_is_given_up_is_removed():
    (change,) = one(config_map(data={"a": "1", "b": "2"}), config_map(data={"a": "1"}))
    assert isinstance(change, Patch)
    assert [field.path for field in change.fields] == ["data.b"]


def test_an_address_of_ones_own_needs_another_service():
    (change,) = one(service(), service(clusterIP="10.0.0.9"))
    assert isinstance(change, Replace)
    (field,) = [each for each in change.fields if isinstance(each.effect, ForcesReplace)]
    assert isinstance(field, FieldChange)
    assert field.before == "(allotted by the server)"


def test_tolerations_can_be_added_and_not_taken_away():
    more = pod(tolerations=[{"key": "a", "operator": "Exists"}])
    (added,) = one(pod(), more)
    assert isinstance(added, Patch)
    (taken,) = one(more, pod())
    assert isinstance(taken.change, Replace)


def test_a_deadline_can_be_shortened_and_not_lengthened():
    assert isinstance(one(pod(activeDeadlineSeconds=9), pod(activeDeadlineSeconds=5))[0], Patch)
    (longer,) = one(pod(activeDeadlineSeconds=5), pod(activeDeadlineSeconds=9))
    assert isinstance(longer.change, Replace)


@pytest.mark.parametrize(
    "nonsense",
    [
        {"spec": "text"},
        {"spec": {"containers": "text"}},
        {"spec": {"containers": ["text"]}},
        {"spec": {"containers": [], "tolerations": [1]}},
    ],
)
def test_a_body_that_every_server_refuses_is_compared_as_rendered(nonsense):
    odd = build_manifest({**body("Pod", "p"), **nonsense}, A, "default", "t")
    live = simulate_live(odd)
    assert live["spec"] == nonsense["spec"]
    assert live["metadata"]["uid"]


def test_simulating_live_objects_changes_no_manifest():
    of = manifest(pod())
    before = of.digest, str(of.body)
    simulate_live(of)
    assert (of.digest, str(of.body)) == before


def test_the_record_has_no_owner_and_owns_all_others():
    record, *others = wanted(of=A).manifests
    assert "ownerReferences" not in simulate_live(record)["metadata"]
    uid = simulate_live(record)["metadata"]["uid"]
    for other in others:
        (owner,) = simulate_live(other)["metadata"]["ownerReferences"]
        assert owner["uid"] == uid


def test_sessions_come_in_order():
    new = tree(wanted(of=B), wanted(of=A))
    sessions = plan_offline(tree(), new, prune=True).sessions
    assert [each.session for each in sessions] == [session_id("a"), session_id("b")]
