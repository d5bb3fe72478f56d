"""The planner: computes an ordered plan from desired state, live state and foreign objects.

`replan` revises one patch if the live object has changed since the plan was made.
"""

from dataclasses import replace
from functools import partial
from typing import Final

from reconcile.core.changes import (
    Change,
    DeliversPrompt,
    Hold,
    HoldReason,
    Keep,
    LiveRef,
    Patch,
    Plan,
    SessionPlan,
)
from reconcile.core.fields.effects import changes_prompt
from reconcile.core.inventory import BudgetUsage
from reconcile.core.model import (
    DesiredState,
    KubeObject,
    OnConflict,
    Session,
    SessionId,
    build_inputs_ref,
    build_record_ref,
)
from reconcile.core.plan.admission import accept_admitted_values
from reconcile.core.plan.adoption import ForeignObjects
from reconcile.core.plan.live_state import InSync, LiveObject, LiveObjects, LiveState, compare
from reconcile.core.plan.policy import (
    ChangesBySession,
    PolicyContext,
    check_budgets,
    check_policy,
    ends_work,
    hold_all,
    in_scope,
    keep_ended,
    may_end_work,
    prune_hold_reason,
)
from reconcile.core.plan.session_changes import (
    build_owner_reference,
    compare_owner,
    find_ended_pods,
    find_flush,
    forces_replacement,
    plan_desired_session,
    plan_removed_session,
)
from reconcile.core.record import AdmittedValues

NO_BUDGET_USAGE: Final = BudgetUsage()


def make_plan(
    desired: DesiredState,
    live_state: LiveState,
    foreign: ForeignObjects,
    *,
    prune: bool,
    budget_usage: BudgetUsage = NO_BUDGET_USAGE,
) -> Plan:
    """Plan every change; broken sessions have none, so that their objects are not changed.

    `prune` is the user's option. `budget_usage` is the usage of earlier passes.
    """
    rules = PolicyContext(desired.policy, desired.unreadable, prune)
    plans, seen = _plan_sessions(desired, live_state, foreign, rules)
    gated, budget_usage = check_budgets(desired, live_state, plans, budget_usage)
    declared = {wanted.session.id: wanted.session for wanted in desired.sessions}
    ordered = tuple(
        _build_session_plan(
            replace(
                seen.get(session, SessionPlan(session, ())),
                changes=_mark_prompts(session, gated[session], live_state.objects),
            ),
            declared.get(session),
            rules,
        )
        for session in sorted(gated)
    )
    return Plan(desired.policy.installation, desired.revision, ordered, budget_usage)


def _plan_sessions(
    desired: DesiredState, live_state: LiveState, foreign: ForeignObjects, rules: PolicyContext
) -> tuple[ChangesBySession, dict[SessionId, SessionPlan]]:
    """Plan each session separately, before budgets are checked over all of them.

    Returns the changes, and plans without changes, which have what the pods show.
    """
    groups = live_state.group_by_session()
    plans: ChangesBySession = {}
    seen = {}
    for wanted in desired.sessions:
        session = wanted.session.id
        live_objects = groups.get(session, ())
        ended = find_ended_pods(wanted, live_objects)
        flush = find_flush(wanted, live_objects)
        seen[session] = SessionPlan(session, (), ended=ended, flush=flush)
        changes = plan_desired_session(wanted, live_objects, foreign)
        changes = tuple(keep_ended(wanted.session, changes, ended, rules.policy))
        gated = check_policy(wanted, changes, live_state.objects, rules)
        plans[session] = _hold_out_of_scope(session, gated, rules)
    for session, live_objects in groups.items():
        if session not in plans and session not in desired.broken:
            plans[session] = _plan_removal(session, live_objects, rules)
    return plans, seen


def _mark_prompts(
    session: SessionId, changes: tuple[Change, ...], objects: LiveObjects
) -> tuple[Change, ...]:
    """Give the changes of a prompt their effect, if a pod remains that delivers it."""
    inputs = build_inputs_ref(session)
    if any(map(partial(_delivers_prompts, objects=objects), changes)):
        return tuple(_mark_prompt(each) if each.ref == inputs else each for each in changes)
    return changes


def _delivers_prompts(change: Change, objects: LiveObjects) -> bool:
    """Whether a change leaves a pod that delivers new prompts to its work."""
    live_object = objects.get(change.ref)
    is_left = isinstance(change, Keep | Patch | Hold)
    return is_left and live_object is not None and live_object.takes_prompts


def _mark_prompt(change: Change) -> Change:
    match change:
        case Hold(change=Patch() as patch):
            return replace(change, change=_mark_fields(patch))
        case Patch():
            return _mark_fields(change)
        case _:
            return change


def _mark_fields(patch: Patch) -> Patch:
    body = patch.manifest.body
    fields = (
        replace(field, effect=DeliversPrompt()) if changes_prompt(field, body) else field
        for field in patch.fields
    )
    return replace(patch, fields=tuple(fields))


def _build_session_plan(
    plan: SessionPlan, declared: Session | None, rules: PolicyContext
) -> SessionPlan:
    if declared is None:
        return plan
    return replace(
        plan,
        digest=declared.digest,
        may_end_work=may_end_work(declared, rules.policy),
        may_take_over=rules.policy.on_conflict is OnConflict.HEAL,
    )


def _plan_removal(
    session: SessionId, live_objects: list[LiveObject], rules: PolicyContext
) -> tuple[Change, ...]:
    changes = plan_removed_session(live_objects)
    reason = prune_hold_reason(session, rules)
    return _hold_out_of_scope(
        session, changes if reason is None else hold_all(changes, reason), rules
    )


def _hold_out_of_scope(
    session: SessionId, changes: tuple[Change, ...], rules: PolicyContext
) -> tuple[Change, ...]:
    if in_scope(rules.policy, session):
        return changes
    return hold_all(changes, HoldReason.OUT_OF_REALM)


def replan(
    patch: Patch, live: KubeObject, owner_uid: str, admitted: AdmittedValues
) -> Patch | Keep | None:
    """Plan a patch again for the current object, of which admission has changed some values.

    None if the result is more than the plan allowed: another object, one that is being deleted, or
    a change that ends work while the planned one did not.
    """
    metadata = live["metadata"]
    if metadata["uid"] != patch.live.uid or "deletionTimestamp" in metadata:
        return None
    current = LiveRef(metadata["uid"], metadata["resourceVersion"])
    patch = replace(patch, manifest=accept_admitted_values(patch.manifest, live, admitted))
    comparison = compare(patch.manifest, live)
    if patch.ref != build_record_ref(patch.manifest.session):
        owner = build_owner_reference(patch.manifest.session, owner_uid)
        comparison = compare_owner(comparison, metadata.get("ownerReferences") or (), owner)
    if isinstance(comparison, InSync):
        return Keep(patch.ref, current, comparison.digest)
    force = patch.force or comparison.has_conflict
    revised = replace(
        patch, live=current, fields=comparison.fields, operations=comparison.operations, force=force
    )
    allowed = ends_work(patch) or not ends_work(revised)
    return None if any(map(forces_replacement, comparison.fields)) or not allowed else revised
