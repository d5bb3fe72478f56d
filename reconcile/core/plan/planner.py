"""The planner: desired state, live state and strangers in, an ordered plan out."""

from typing import Final

from reconcile.core.budget_usage import Spent
from reconcile.core.changes import Change, HoldReason, Plan, SessionPlan
from reconcile.core.model import Desired, OnConflict, Session, SessionId
from reconcile.core.plan.adoption import Strangers
from reconcile.core.plan.budgets import gate_budgets
from reconcile.core.plan.live_state import Sight, Sighting
from reconcile.core.plan.policy import (
    Rules,
    gate_session,
    hold_all,
    in_realm,
    may_end_work,
    prune_reason,
)
from reconcile.core.plan.session_changes import removed_changes, wanted_changes

NOTHING_SPENT: Final = Spent()


def make_plan(
    desired: Desired,
    sight: Sight,
    strangers: Strangers,
    *,
    prune: bool,
    spent: Spent = NOTHING_SPENT,
) -> Plan:
    """Decide every change; sessions that are broken have none, so that they stay as they are.

    `prune` is the operator's choice. `spent` is what earlier passes have used of the budgets.
    """
    rules = Rules(desired.policy, desired.unreadable, prune)
    plans = _ungated(desired, sight, strangers, rules)
    gated, spent = gate_budgets(desired, sight, plans, spent)
    declared = {wanted.session.id: wanted.session for wanted in desired.sessions}
    ordered = tuple(
        _session_plan(session, gated[session], declared.get(session), rules)
        for session in sorted(gated)
    )
    return Plan(desired.policy.installation, desired.revision, ordered, spent)


def _ungated(
    desired: Desired, sight: Sight, strangers: Strangers, rules: Rules
) -> dict[SessionId, tuple[Change, ...]]:
    """Decide each session by itself, before budgets look at all of them."""
    groups = sight.by_session()
    plans: dict[SessionId, tuple[Change, ...]] = {}
    for wanted in desired.sessions:
        session = wanted.session.id
        changes = wanted_changes(wanted, groups.get(session, ()), strangers)
        gated = gate_session(wanted, changes, sight.objects, rules)
        plans[session] = _in_realm(session, gated, rules)
    for session, sightings in groups.items():
        if session not in plans and session not in desired.broken:
            plans[session] = _removed(session, sightings, rules)
    return plans


def _session_plan(
    session: SessionId, changes: tuple[Change, ...], declared: Session | None, rules: Rules
) -> SessionPlan:
    if declared is None:
        return SessionPlan(session, changes)
    return SessionPlan(
        session,
        changes,
        digest=declared.digest,
        may_end_work=may_end_work(declared, rules.policy),
        may_take_over=rules.policy.on_conflict is OnConflict.HEAL,
    )


def _removed(session: SessionId, sightings: list[Sighting], rules: Rules) -> tuple[Change, ...]:
    changes = removed_changes(sightings)
    reason = prune_reason(session, rules)
    return _in_realm(session, changes if reason is None else hold_all(changes, reason), rules)


def _in_realm(session: SessionId, changes: tuple[Change, ...], rules: Rules) -> tuple[Change, ...]:
    if in_realm(rules.policy, session):
        return changes
    return hold_all(changes, HoldReason.OUT_OF_REALM)
