"""Budgets: how many sessions one revision may delete from or restart, over the whole tree."""

from collections.abc import Callable, Iterable, Mapping

from reconcile.core.budget_usage import Spent
from reconcile.core.changes import Change, Delete, DeleteReason, HoldReason
from reconcile.core.model import Budget, Desired, SessionId
from reconcile.core.plan.live_state import Sight
from reconcile.core.plan.policy import ends_work, has_work, hold_where, is_prune

Plans = dict[SessionId, tuple[Change, ...]]


def gate_budgets(desired: Desired, sight: Sight, plans: Plans, spent: Spent) -> tuple[Plans, Spent]:
    """Hold a whole kind of change where it is over budget; what is approved by name counts not.

    `spent` is what earlier passes have used; what comes back has this one's share as well.
    """
    policy = desired.policy
    if not (desired.sessions or desired.broken or policy.allow_empty):
        plans = hold_where(plans, _removed(plans), HoldReason.LAST_SESSIONS)
    now = spent.at(desired.revision, sight.living)
    deleted = _sessions(plans, is_prune) - _named(policy.allow_deletes, plans)
    if _over(policy.deletes, now.deletes | _names(deleted), now.living):
        plans = hold_where(plans, deleted, HoldReason.DELETE_BUDGET)
    else:
        now = now.deleting(_names(deleted))
    restarted = _sessions(plans, lambda change: _restarts(change, sight))
    restarted -= _named(policy.allow_restarts, plans)
    if _over(policy.restarts, now.restarts | _names(restarted), now.living):
        plans = hold_where(plans, restarted, HoldReason.RESTART_BUDGET)
    else:
        now = now.restarting(_names(restarted))
    return plans, now if deleted or restarted else spent


def _sessions(plans: Plans, matches: Callable[[Change], bool]) -> set[SessionId]:
    return {session for session, changes in plans.items() if any(map(matches, changes))}


def _names(sessions: Iterable[SessionId]) -> frozenset[str]:
    return frozenset(map(str, sessions))


def _over(budget: Budget, sessions: frozenset[str], living: int) -> bool:
    return len(sessions) > budget.limit(living)


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
