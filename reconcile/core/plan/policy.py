"""What may not be done now: each gate turns wanted changes into held ones, and says why.

Budgets: how many sessions one revision may delete from or restart, over the whole tree.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import assert_never

from reconcile.core.budget_usage import Spent
from reconcile.core.changes import (
    Action,
    Change,
    Create,
    Delete,
    DeleteReason,
    Drift,
    Hold,
    HoldReason,
    Keep,
    Patch,
    Replace,
    RestartsContainer,
)
from reconcile.core.model import (
    Budget,
    Desired,
    ObjectRef,
    OnConflict,
    Policy,
    Session,
    SessionId,
    Strategy,
    Wanted,
)
from reconcile.core.plan.live_state import Memo, Sight

_BLOCKING = frozenset(
    {
        HoldReason.TAKEN,
        HoldReason.CANNOT_ADOPT,
        HoldReason.TERMINATING,
        HoldReason.CONFLICT,
    }
)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the gates go by: policy, places where nothing is pruned, and the operator's choice."""

    policy: Policy
    unreadable: frozenset[str]
    prune: bool


def held(change: Change, reason: HoldReason) -> Hold:
    """Withhold a change that writes."""
    assert not isinstance(change, Keep | Hold)
    return Hold(change, reason)


def is_prune(change: Change) -> bool:
    """Tell whether a change deletes something because it is no longer declared."""
    return isinstance(change, Delete) and change.reason is not DeleteReason.SESSION_STOPPED


def ends_work(change: Change) -> bool:
    """Tell whether a change ends what runs in a pod, though the session is still wanted."""
    match change:
        case Replace(manifest):
            return manifest.kind.name == "Pod"
        case Patch(fields=fields):
            return any(isinstance(field.effect, RestartsContainer) for field in fields)
        case _:
            return False


def gate_session(
    wanted: Wanted, changes: Iterable[Change], objects: Memo, rules: Rules
) -> tuple[Change, ...]:
    """Hold what the session's own strategy, the policy and the state of its objects forbid."""
    gated = []
    blocked = False
    for change in changes:
        reason = _reason(wanted, change, objects, rules)
        result: Change = change if reason is None else held(change, reason)
        if blocked and isinstance(result, Create | Patch | Replace):
            result = Hold(result, HoldReason.WAITS_FOR_OWNER)
        blocked = blocked or (isinstance(result, Hold) and result.reason in _BLOCKING)
        gated.append(result)
    return tuple(gated)


def _reason(wanted: Wanted, change: Change, objects: Memo, rules: Rules) -> HoldReason | None:
    session = wanted.session
    match change:
        case Create() | Keep() | Hold():
            return None
        case Delete():
            return prune_reason(session.id, rules) if is_prune(change) else None
        case Patch() | Replace():
            if _reports(change, rules.policy):
                return HoldReason.CONFLICT
            if _loses_data(change, rules.policy):
                return HoldReason.DATA_LOSS
            return _work_reason(wanted, change, objects, rules.policy)
        case _:
            assert_never(change)


def prune_reason(session: SessionId, rules: Rules) -> HoldReason | None:
    """Say why nothing may be pruned in this session's namespace, if so."""
    if not rules.unreadable.isdisjoint({"", session.namespace}):
        return HoldReason.UNREADABLE
    return None if rules.prune else HoldReason.NO_PRUNE


def _reports(change: Patch | Replace, policy: Policy) -> bool:
    if policy.on_conflict is OnConflict.HEAL:
        return False
    takes_over = isinstance(change, Patch) and change.force and not change.adopts
    return takes_over or any(isinstance(field.cause, Drift) for field in change.fields)


def _loses_data(change: Patch | Replace, policy: Policy) -> bool:
    return (
        isinstance(change, Replace)
        and change.manifest.kind.name == "PersistentVolumeClaim"
        and str(change.manifest.session) not in policy.allow_deletes
    )


def _work_reason(
    wanted: Wanted, change: Patch | Replace, objects: Memo, policy: Policy
) -> HoldReason | None:
    allowed = may_end_work(wanted.session, policy)
    if allowed or not ends_work(change) or not has_work(change.ref, objects):
        return None
    return HoldReason.RUNNING_WORK


def may_end_work(session: Session, policy: Policy) -> bool:
    """Tell whether the author or the policy allows this session's running work to be ended."""
    return session.strategy is Strategy.RECREATE or str(session.id) in policy.allow_restarts


def has_work(ref: ObjectRef, objects: Memo) -> bool:
    """Tell whether a pod has begun its work; one that never started loses nothing.

    A stranger that is to be adopted has not been looked at, and may well be at work.
    """
    sighting = objects.get(ref)
    return sighting is None or sighting.started


def in_realm(policy: Policy, session: SessionId) -> bool:
    """Tell whether the policy lets the session's namespace be touched."""
    return not policy.namespaces or session.namespace in policy.namespaces


def hold_all(changes: Iterable[Change], reason: HoldReason) -> tuple[Change, ...]:
    """Withhold everything that would write."""
    return tuple(
        Hold(change, reason) if isinstance(change, Action) else change for change in changes
    )


def hold_where(
    plans: Mapping[SessionId, tuple[Change, ...]],
    sessions: Iterable[SessionId],
    reason: HoldReason,
) -> dict[SessionId, tuple[Change, ...]]:
    """Withhold everything in some sessions that matches a budget's kind of change."""
    chosen = set(sessions)
    matches = is_prune if reason in _PRUNE_REASONS else ends_work
    return {
        session: tuple(
            held(change, reason) if session in chosen and matches(change) else change
            for change in changes
        )
        for session, changes in plans.items()
    }


_PRUNE_REASONS = frozenset({HoldReason.DELETE_BUDGET, HoldReason.LAST_SESSIONS})


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
