"""The policy and the budgets: each check turns forbidden changes into held ones with a reason.

A budget limits how many sessions one revision may delete or restart, over the whole tree.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import assert_never

from reconcile.core.changes import (
    Action,
    Change,
    Create,
    Delete,
    DeleteReason,
    Drift,
    EndedPod,
    ForcesReplace,
    Hold,
    HoldReason,
    Keep,
    Patch,
    Replace,
    RestartsContainer,
)
from reconcile.core.fields.effects import is_container_resource
from reconcile.core.inventory import BudgetUsage
from reconcile.core.manifest import compute_work_digest
from reconcile.core.model import (
    Budget,
    DesiredSession,
    DesiredState,
    ObjectRef,
    OnConflict,
    Policy,
    Session,
    SessionId,
    UpdateStrategy,
)
from reconcile.core.plan.live_state import START_FAILURE, LiveObjects, LiveState

_BLOCKING_REASONS = frozenset(
    {
        HoldReason.TAKEN,
        HoldReason.CANNOT_ADOPT,
        HoldReason.TERMINATING,
        HoldReason.FINALIZER,
        HoldReason.CONFLICT,
    }
)


@dataclass(frozen=True, slots=True)
class PolicyContext:
    """The policy, the namespaces where nothing is pruned, and the user's option `--prune`."""

    policy: Policy
    unreadable: frozenset[str]
    prune: bool


def hold_change(change: Change, reason: HoldReason) -> Hold:
    """Hold a change that writes."""
    assert not isinstance(change, Keep | Hold)
    return Hold(change, reason)


def is_prune(change: Change) -> bool:
    """Whether a change deletes an object because it is not declared any more."""
    return isinstance(change, Delete) and change.reason is not DeleteReason.SESSION_STOPPED


def ends_work(change: Change) -> bool:
    """Whether a change ends running work of a session that is still wanted."""
    match change:
        case Replace(manifest):
            return manifest.kind.name == "Pod"
        case Patch(fields=fields):
            restarts = (
                each.effect for each in fields if isinstance(each.effect, RestartsContainer)
            )
            return any(effect.ends_work for effect in restarts)
        case _:
            return False


def check_policy(
    wanted: DesiredSession, changes: Iterable[Change], objects: LiveObjects, rules: PolicyContext
) -> tuple[Change, ...]:
    """Hold what the session's strategy, the policy and the state of its objects forbid."""
    checked = []
    blocked = False
    for change in changes:
        reason = _hold_reason(wanted, change, objects, rules)
        result: Change = change if reason is None else hold_change(change, reason)
        if blocked and isinstance(result, Create | Patch | Replace):
            result = Hold(result, HoldReason.WAITS_FOR_OWNER)
        blocked = blocked or (isinstance(result, Hold) and result.reason in _BLOCKING_REASONS)
        checked.append(result)
    return tuple(checked)


def _hold_reason(
    wanted: DesiredSession, change: Change, objects: LiveObjects, rules: PolicyContext
) -> HoldReason | None:
    session = wanted.session
    match change:
        case Create() | Keep() | Hold():
            return None
        case Delete():
            return prune_hold_reason(session.id, rules) if is_prune(change) else None
        case Patch() | Replace():
            if _undoes_resize(change, objects):
                return HoldReason.RESIZED
            if _is_reported_conflict(change, rules.policy):
                return HoldReason.CONFLICT
            if _loses_data(change, rules.policy):
                return HoldReason.DATA_LOSS
            return _work_hold_reason(wanted, change, objects, rules.policy)
        case _:
            assert_never(change)


def prune_hold_reason(session: SessionId, rules: PolicyContext) -> HoldReason | None:
    """Return why nothing may be pruned in this session's namespace; None if pruning is allowed."""
    if not rules.unreadable.isdisjoint({"", session.namespace}):
        return HoldReason.UNREADABLE
    return None if rules.prune else HoldReason.NO_PRUNE


def _is_reported_conflict(change: Patch | Replace, policy: Policy) -> bool:
    if policy.on_conflict is OnConflict.HEAL:
        return False
    takes_over = isinstance(change, Patch) and change.force and not change.adopts
    drift = (field for field in change.fields if isinstance(field.cause, Drift))
    return takes_over or any(field is not START_FAILURE for field in drift)


def _undoes_resize(change: Patch | Replace, objects: LiveObjects) -> bool:
    """Whether a pod would be replaced only since it was resized, and no commit asks for that.

    Whatever resizes pods would resize the new one too: it would be replaced in each pass.
    """
    live_object = objects.get(change.ref)
    forced = [each.field_path for each in change.fields if isinstance(each.effect, ForcesReplace)]
    has_drift = live_object is not None and live_object.has_drift
    return isinstance(change, Replace) and has_drift and all(map(is_container_resource, forced))


def _loses_data(change: Patch | Replace, policy: Policy) -> bool:
    return (
        isinstance(change, Replace)
        and change.manifest.kind.name == "PersistentVolumeClaim"
        and str(change.manifest.session) not in policy.allow_deletes
    )


def _work_hold_reason(
    wanted: DesiredSession, change: Patch | Replace, objects: LiveObjects, policy: Policy
) -> HoldReason | None:
    allowed = may_end_work(wanted.session, policy)
    if allowed or not ends_work(change) or not has_work(change.ref, objects):
        return None
    return HoldReason.RUNNING_WORK


def may_end_work(session: Session, policy: Policy) -> bool:
    """Whether the author or the policy allows this session's running work to be ended."""
    return session.strategy is UpdateStrategy.RECREATE or str(session.id) in policy.allow_restarts


def has_work(ref: ObjectRef, objects: LiveObjects) -> bool:
    """Whether a pod has started its work; a pod that never started loses nothing.

    A foreign pod that is to be adopted has not been read completely, so it counts as started.
    """
    live_object = objects.get(ref)
    return live_object is None or live_object.has_started


def keep_ended(
    session: Session, changes: Iterable[Change], ended: Iterable[EndedPod], policy: Policy
) -> Iterator[Change]:
    """Let work that has ended stay ended when its pod is gone.

    A pod is created again only if it is declared otherwise than the one that has ended, in more
    than labels and annotations, and its session may be restarted.
    """
    digests = {each.name: each.digest for each in ended}
    for change in changes:
        match change:
            case Create(manifest) if manifest.kind.name == "Pod" and change.ref.name in digests:
                same = {compute_work_digest(manifest), manifest.digest}
                if digests[change.ref.name] not in same:
                    is_allowed = may_end_work(session, policy)
                    yield change if is_allowed else Hold(change, HoldReason.RUNNING_WORK)
            case _:
                yield change


def in_scope(policy: Policy, session: SessionId) -> bool:
    """Whether the policy allows changes in the session's namespace."""
    return not policy.namespaces or session.namespace in policy.namespaces


def hold_all(changes: Iterable[Change], reason: HoldReason) -> tuple[Change, ...]:
    """Hold all changes that write."""
    return tuple(
        Hold(change, reason) if isinstance(change, Action) else change for change in changes
    )


def hold_matching(
    plans: Mapping[SessionId, tuple[Change, ...]],
    sessions: Iterable[SessionId],
    reason: HoldReason,
) -> dict[SessionId, tuple[Change, ...]]:
    """Hold the changes of some sessions that a budget counts."""
    chosen = set(sessions)
    matches = is_prune if reason in _PRUNE_REASONS else ends_work
    return {
        session: tuple(
            hold_change(change, reason) if session in chosen and matches(change) else change
            for change in changes
        )
        for session, changes in plans.items()
    }


_PRUNE_REASONS = frozenset({HoldReason.DELETE_BUDGET, HoldReason.LAST_SESSIONS})


ChangesBySession = dict[SessionId, tuple[Change, ...]]


def check_budgets(
    desired: DesiredState, live_state: LiveState, plans: ChangesBySession, budget_usage: BudgetUsage
) -> tuple[ChangesBySession, BudgetUsage]:
    """Hold the deletes or restarts of the namespaces that exceed the budget.

    Sessions that are approved by name are not counted. `budget_usage` is the usage of earlier
    passes; the returned one includes this pass.
    """
    policy = desired.policy
    if not (desired.sessions or desired.broken or policy.allow_empty):
        plans = hold_matching(plans, _removed_sessions(plans), HoldReason.LAST_SESSIONS)
    existing = live_state.session_counts
    now = budget_usage.for_revision(desired.revision, existing.total())
    deleted = _find_sessions(plans, is_prune) - _approved_sessions(policy.allow_deletes, plans)
    counted = BudgetCheck(policy.deletes, now.deletes, now.total_sessions, existing)
    over = counted.find_excess(deleted)
    plans = hold_matching(plans, deleted & over, HoldReason.DELETE_BUDGET)
    now = now.with_deletes(_session_names(deleted - over))
    restarted = _find_sessions(plans, lambda change: _restarts(change, live_state))
    restarted -= _approved_sessions(policy.allow_restarts, plans)
    counted = BudgetCheck(policy.restarts, now.restarts, now.total_sessions, existing)
    over = counted.find_excess(restarted, {session.namespace for session in over})
    plans = hold_matching(plans, restarted & over, HoldReason.RESTART_BUDGET)
    now = now.with_restarts(_session_names(restarted - over))
    return plans, now if deleted or restarted else budget_usage


@dataclass(frozen=True, slots=True)
class BudgetCheck:
    """A budget, the sessions that earlier passes have used, and how many there are in all.

    `existing` has the number of live sessions by namespace.
    """

    budget: Budget
    used: frozenset[str]
    total_sessions: int
    existing: Counter[str]

    def find_excess(
        self, wanted: Set[SessionId], ignored: Set[str] = frozenset()
    ) -> set[SessionId]:
        """Return the sessions that the budget does not allow.

        Namespaces are left out, those with the most sessions first, until the rest fits. Their live
        sessions do not count for the rest either, nor those in `ignored` namespaces: objects that
        a tenant has made look like ours must neither use up nor raise the budget of others.
        """
        counts = Counter(session.namespace for session in wanted)
        remaining, left_out = set(wanted), set(ignored)
        while remaining and not self._allows(remaining, left_out):
            most = max(counts[session.namespace] for session in remaining)
            left_out |= {each.namespace for each in remaining if counts[each.namespace] == most}
            remaining = {each for each in remaining if counts[each.namespace] < most}
        return set(wanted) - remaining

    def _allows(self, sessions: Set[SessionId], left_out: Set[str]) -> bool:
        others = sum(self.existing[namespace] for namespace in left_out)
        limit = self.budget.limit(max(0, self.total_sessions - others))
        return len(self.used | _session_names(sessions)) <= limit


def _find_sessions(plans: ChangesBySession, matches: Callable[[Change], bool]) -> set[SessionId]:
    return {session for session, changes in plans.items() if any(map(matches, changes))}


def _session_names(sessions: Iterable[SessionId]) -> frozenset[str]:
    return frozenset(map(str, sessions))


def _approved_sessions(names: frozenset[str], plans: Mapping[SessionId, object]) -> set[SessionId]:
    return {session for session in plans if str(session) in names}


def _removed_sessions(plans: ChangesBySession) -> set[SessionId]:
    return {
        session
        for session, changes in plans.items()
        if any(
            isinstance(change, Delete) and change.reason is DeleteReason.SESSION_REMOVED
            for change in changes
        )
    }


def _restarts(change: Change, live_state: LiveState) -> bool:
    return ends_work(change) and has_work(change.ref, live_state.objects)
