import pytest

from reconcile.core.changes import Delete, Hold, HoldReason, Keep, Patch
from reconcile.core.model import Budget, Policy, SessionId, SessionState, UpdateStrategy
from tests.builders import (
    container,
    desired,
    live_session,
    plan,
    pod,
    session,
    session_bodies,
    wanted,
)

ONE = Budget(percent=0, at_least=1)
NONE = Budget(percent=0, at_least=0)


def sessions(count, render=session_bodies, **fields):
    return [
        wanted(*render(f"s{number}"), of=session(f"s{number}", **fields)) for number in range(count)
    ]


def pod_alone(name):
    return [pod(name)]


def new_image(name):
    return [pod(name, containers=[container(image="runner:2")])]


def without_service(name):
    return [each for each in session_bodies(name) if each["kind"] != "Service"]


def objects_of(some):
    return [obj for each in some for obj in live_session(each)]


def named(*numbers):
    return frozenset(f"team-a/s{number}" for number in numbers)


def removed(of_all, stay, policy, **fields):
    """For each session whether its deletes are held, and why."""
    before = sessions(of_all)
    result = plan(desired(*before[:stay], policy=policy, **fields), objects_of(before))
    return {
        each.session.name: {
            change.reason if isinstance(change, Hold) else None for change in each.changes
        }
        for each in result.sessions[stay:]
    }


@pytest.mark.parametrize(
    ("of_all", "stay", "policy", "reason"),
    [
        (8, 6, Policy(), None),
        (8, 5, Policy(), HoldReason.DELETE_BUDGET),
        (2, 1, Policy(), None),
        (2, 1, Policy(deletes=NONE), HoldReason.DELETE_BUDGET),
        (4, 2, Policy(deletes=ONE), HoldReason.DELETE_BUDGET),
        (4, 2, Policy(deletes=ONE, allow_deletes=named(2)), None),
        (4, 1, Policy(deletes=Budget(percent=100)), None),
    ],
)
def test_deletes_over_budget_are_held_all_together(of_all, stay, policy, reason):
    held = removed(of_all, stay, policy)
    assert len(held) == of_all - stay
    assert set(map(frozenset, held.values())) == {frozenset({reason})}


def test_approved_deletes_go_even_over_budget():
    held = removed(5, 2, Policy(deletes=ONE, allow_deletes=named(3)))
    assert held == {
        "s2": {HoldReason.DELETE_BUDGET},
        "s3": {None},
        "s4": {HoldReason.DELETE_BUDGET},
    }


def test_objects_that_are_no_longer_rendered_count_once_a_session():
    before, slim = sessions(2), sessions(2, without_service)
    policy = Policy(deletes=ONE)
    one = plan(desired(slim[0], before[1], policy=policy), objects_of(before))
    both = plan(desired(*slim, policy=policy), objects_of(before))
    assert [type(change) for change in one.changes if not isinstance(change, Keep)] == [Delete]
    holds = [change for change in both.changes if not isinstance(change, Keep)]
    assert [type(hold) for hold in holds] == [Hold, Hold]
    assert {hold.reason for hold in holds} == {HoldReason.DELETE_BUDGET}


def test_stopping_a_session_is_on_no_budget():
    before = sessions(4)
    stopped = sessions(4, state=SessionState.STOPPED)
    policy = Policy(deletes=NONE, restarts=NONE)
    result = plan(desired(*stopped, policy=policy), objects_of(before))
    assert not [change for change in result.changes if isinstance(change, Hold)]


def restarts(count, policy, **fields):
    """For each session whether the restart of its pod is held, and why."""
    before = sessions(count, pod_alone, **fields)
    after = sessions(count, new_image, **fields)
    result = plan(desired(*after, policy=policy), objects_of(before))
    changes = [each.changes[-1] for each in result.sessions]
    return [change.reason if isinstance(change, Hold) else None for change in changes]


@pytest.mark.parametrize(
    ("policy", "reasons"),
    [
        (Policy(restarts=Budget(percent=100)), [None] * 4),
        (Policy(), [HoldReason.RESTART_BUDGET] * 4),
        (
            Policy(allow_restarts=named(0)),
            [None, *[HoldReason.RESTART_BUDGET] * 3],
        ),
        (Policy(allow_restarts=named(0, 1, 2)), [None] * 4),
        (Policy(restarts=NONE, allow_restarts=named(0, 1, 2, 3)), [None] * 4),
        (Policy(restarts=Budget(percent=75)), [HoldReason.RESTART_BUDGET] * 4),
    ],
)
def test_restarts_over_budget_are_held_all_together(policy, reasons):
    assert restarts(4, policy, strategy=UpdateStrategy.RECREATE) == reasons


def test_what_is_held_for_another_reason_is_on_no_budget():
    assert restarts(4, Policy(allow_restarts=named(0))) == [
        None,
        *[HoldReason.RUNNING_WORK] * 3,
    ]


def test_pods_that_never_started_are_on_no_budget():
    before = sessions(3, pod_alone, strategy=UpdateStrategy.RECREATE)
    after = sessions(3, new_image, strategy=UpdateStrategy.RECREATE)
    objects = [obj for each in before for obj in live_session(each, pod_phase="Pending")]
    result = plan(desired(*after, policy=Policy(restarts=NONE)), objects)
    assert {type(each.changes[-1]) for each in result.sessions} == {Patch}


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (Policy(), HoldReason.LAST_SESSIONS),
        (Policy(allow_deletes=named(0)), HoldReason.LAST_SESSIONS),
        (Policy(allow_empty=True), None),
    ],
)
def test_the_last_sessions_go_only_if_that_is_meant(policy, reason):
    assert removed(1, 0, policy) == {"s0": {reason}}


def test_the_budget_counts_for_the_last_sessions_too():
    held = removed(2, 0, Policy(allow_empty=True))
    assert held == {name: {HoldReason.DELETE_BUDGET} for name in ("s0", "s1")}


def test_a_broken_session_counts_as_existing():
    broken = frozenset({SessionId("team-a", "broken")})
    assert removed(1, 0, Policy(), broken=broken) == {"s0": {None}}


def in_namespaces(**counts):
    return [
        wanted(*session_bodies(f"s{number}"), of=session(f"s{number}", namespace=namespace))
        for namespace, count in counts.items()
        for number in range(count)
    ]


def held_namespaces(before, after, policy):
    result = plan(desired(*after, policy=policy), objects_of(before))
    holds = [each for each in result.sessions if any(isinstance(c, Hold) for c in each.changes)]
    return {each.session.namespace for each in holds}


@pytest.mark.parametrize(
    ("before", "after", "held"),
    [
        ({"a": 8, "b": 8}, {"a": 6, "b": 6}, set()),
        ({"a": 8, "b": 8}, {"a": 0, "b": 7}, {"a"}),
        ({"a": 500, "b": 8}, {"a": 0, "b": 7}, {"a"}),
        ({"a": 500, "b": 8}, {"a": 0, "b": 5}, {"a", "b"}),
        ({"a": 8, "b": 8, "c": 8}, {"a": 4, "b": 4, "c": 7}, {"a", "b"}),
        ({"a": 4, "b": 4}, {"a": 2, "b": 2}, {"a", "b"}),
    ],
)
def test_the_namespaces_with_the_most_deletes_are_held_until_the_rest_fits(before, after, held):
    """So a tenant who makes objects that look like sessions stops no other namespace."""
    existing, stay = in_namespaces(**before), in_namespaces(**after)
    assert held_namespaces(existing, stay, Policy()) == held


def test_sessions_that_a_tenant_has_made_do_not_raise_the_budget_of_restarts():
    others = sessions(4, pod_alone, strategy=UpdateStrategy.RECREATE)
    changed = sessions(4, new_image, strategy=UpdateStrategy.RECREATE)
    forged = in_namespaces(forged=400)
    assert held_namespaces([*others, *forged], changed, Policy()) == {"team-a", "forged"}
