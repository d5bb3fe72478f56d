"""Budgets are a revision's, not a pass's."""

from dataclasses import replace

from reconcile.core.changes import Delete, Hold, HoldReason
from reconcile.core.inventory import BudgetUsage
from reconcile.core.model import Budget, Policy
from reconcile.core.plan.adoption import ForeignObjects
from reconcile.core.plan.planner import make_plan
from tests.builders import desired, live_session, live_state_of, session, session_bodies, wanted

POLICY = Policy(deletes=Budget(percent=25, at_least=1))


def four():
    return [wanted(*session_bodies(name), of=session(name)) for name in ("a", "b", "c", "d")]


def planned(kept, living, usage=None):
    of = replace(desired(*kept, policy=POLICY), revision="r1")
    objects = [obj for each in living for obj in live_session(each)]
    return make_plan(
        of,
        live_state_of(of, objects),
        ForeignObjects(),
        prune=True,
        budget_usage=usage or BudgetUsage(),
    )


def held(plan):
    return {c.reason for c in plan.changes if isinstance(c, Hold)}


def test_a_pass_names_the_sessions_that_it_ends():
    a, *rest = four()
    plan = planned(rest, [a, *rest])
    assert any(isinstance(change, Delete) for change in plan.changes)
    assert plan.budget_usage == BudgetUsage("r1", 4, frozenset({str(a.session.id)}))


def test_a_later_pass_of_the_same_revision_does_not_begin_with_a_fresh_budget():
    a, b, *rest = four()
    first = planned([b, *rest], [a, b, *rest])
    second = planned(rest, [b, *rest], first.budget_usage)
    assert held(second) == {HoldReason.DELETE_BUDGET}
    assert second.budget_usage == first.budget_usage


def test_a_pass_that_was_cut_off_may_go_on_with_what_it_was_allowed():
    a, *rest = four()
    first = planned(rest, [a, *rest])
    assert not held(planned(rest, [a, *rest], first.budget_usage))


def test_a_pass_that_ends_no_session_keeps_the_usage_of_an_earlier_revision():
    before = BudgetUsage("r0", 9, frozenset({"team-a/z"}))
    assert planned(four(), four(), before).budget_usage == before
