"""The planner: desired state, live state and strangers in, an ordered plan out.

What becomes of a patch when the live object turned out to be another than the planned one.
"""

from dataclasses import replace
from typing import Final

from reconcile.core.budget_usage import Spent
from reconcile.core.changes import Change, HoldReason, Keep, LiveRef, Patch, Plan, SessionPlan
from reconcile.core.model import Desired, KubeObject, OnConflict, Session, SessionId, record_of
from reconcile.core.plan.adoption import Strangers
from reconcile.core.plan.live_state import Same, Sight, Sighting, judge
from reconcile.core.plan.policy import (
    Rules,
    ends_work,
    gate_budgets,
    gate_session,
    hold_all,
    in_realm,
    may_end_work,
    prune_reason,
)
from reconcile.core.plan.session_changes import (
    is_forced,
    judge_owner,
    owner_reference,
    removed_changes,
    wanted_changes,
)

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


def revise(patch: Patch, live: KubeObject, owner_uid: str) -> Patch | Keep | None:
    """Plan a patch again for the object as it is now.

    None where that would be more than the plan allowed: another object, one that is being deleted,
    or a change that ends work while the planned one did not.
    """
    metadata = live["metadata"]
    if metadata["uid"] != patch.live.uid or "deletionTimestamp" in metadata:
        return None
    at = LiveRef(metadata["uid"], metadata["resourceVersion"])
    verdict = judge(patch.manifest, live)
    if patch.ref != record_of(patch.manifest.session):
        owner = owner_reference(patch.manifest.session, owner_uid)
        verdict = judge_owner(verdict, metadata.get("ownerReferences") or (), owner)
    if isinstance(verdict, Same):
        return Keep(patch.ref, at, verdict.digest)
    force = patch.force or verdict.contested
    revised = replace(
        patch, live=at, fields=verdict.fields, operations=verdict.operations, force=force
    )
    allowed = ends_work(patch) or not ends_work(revised)
    return None if any(map(is_forced, verdict.fields)) or not allowed else revised
