"""Budgets: how many sessions one revision may delete from or restart, over the whole tree."""

from collections.abc import Mapping

from reconcile.core.changes import Change, Delete, DeleteReason, HoldReason
from reconcile.core.model import Budget, Desired, SessionId
from reconcile.core.plan.gates import ends_work, has_work, hold_where, is_prune
from reconcile.core.plan.sight import Sight

Plans = dict[SessionId, tuple[Change, ...]]


def gate_budgets(desired: Desired, sight: Sight, plans: Plans) -> Plans:
    """Hold a whole kind of change where it is over budget; what is approved by name counts not."""
    policy = desired.policy
    living = len({sighting.session for sighting in sight.objects.values()})
    if not (desired.sessions or desired.broken or policy.allow_empty):
        plans = hold_where(plans, _removed(plans), HoldReason.LAST_SESSIONS)
    deleted = {s for s, c in plans.items() if any(map(is_prune, c))} - _named(
        policy.allow_deletes, plans
    )
    if _over(policy.deletes, len(deleted), living):
        plans = hold_where(plans, deleted, HoldReason.DELETE_BUDGET)
    restarted = {s for s, c in plans.items() if any(_restarts(x, sight) for x in c)} - _named(
        policy.allow_restarts, plans
    )
    if _over(policy.restarts, len(restarted), living):
        plans = hold_where(plans, restarted, HoldReason.RESTART_BUDGET)
    return plans


def _over(budget: Budget, count: int, living: int) -> bool:
    return count > budget.limit(living)


def _named(names: frozenset[str], plans: Mapping[SessionId, object]) -> set[SessionId]:
    return {session for session in plans if str(session) in names}


def _removed(plans: Plans) -> set[SessionId]:
    return {
        session
        for session, changes in plans.items()
        if any(
            isinstance(change, Delete) and change.reason is DeleteReason.SESSION_REMOVED
            for change in changes
        )
    }


def _restarts(change: Change, sight: Sight) -> bool:
    return ends_work(change) and has_work(change.ref, sight.objects)
