"""One pass: live state, plan, apply. `diff` stops after the plan, `apply` carries it out."""

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, replace

from reconcile.core.changes import Delete, Keep, Outcome, Plan, SessionPlan, Status
from reconcile.core.errors import Problem
from reconcile.core.inventory import Inventory, InventoryCopy, find_confirmed_usage
from reconcile.core.model import DesiredState, ObjectRef, SessionId
from reconcile.core.plan.adoption import find_missing_manifests
from reconcile.core.plan.live_state import LiveObjects, LiveState
from reconcile.core.plan.planner import make_plan
from reconcile.core.record import RecordStatus, has_flush_news, parse_record_status
from reconcile.engine.applier import SessionApplier
from reconcile.engine.deletions import Deletions
from reconcile.engine.dry_run import DryRun, DryRunResult
from reconcile.engine.inventory import InventoryStore, build_inventory
from reconcile.engine.live_reader import find_foreign_objects, read_live_state
from reconcile.engine.ports import Clock, Cluster
from reconcile.engine.record_writer import RecordWriter
from reconcile.engine.scheduler import Scheduler


@dataclass(frozen=True, slots=True)
class ReconcilerOptions:
    """Whether to prune, and how many sessions are applied at the same time."""

    prune: bool = True
    concurrency: int = 16


@dataclass(frozen=True, slots=True)
class PassPlan:
    """A plan and what it was made from.

    `problems` are the namespaces whose live state is not known, `unreadable` their names. `copies`
    are the inventories found, and `warnings` what was not believed of them.
    """

    desired: DesiredState
    live_state: LiveState
    plan: Plan
    problems: tuple[Problem, ...]
    copies: Mapping[str, InventoryCopy]
    unreadable: frozenset[str]
    warnings: tuple[Problem, ...]

    @property
    def wanted_inventory(self) -> Inventory:
        """The kinds and namespaces of all desired objects."""
        return build_inventory((m.kind, m.ref) for w in self.desired.sessions for m in w.manifests)

    @property
    def added_inventory(self) -> Inventory:
        """The kinds and namespaces of all objects that exist, may exist, or are desired."""
        live = build_inventory((s.kind, s.ref) for s in self.live_state.objects.values())
        return live | Inventory(frozenset(), self.unreadable) | self.wanted_inventory

    def remaining_inventory(self, deleted: Set[ObjectRef]) -> Inventory:
        """The kinds and namespaces that are still in use once these objects are deleted."""
        remaining = build_inventory(
            (s.kind, s.ref) for s in self.live_state.objects.values() if s.ref not in deleted
        )
        unknown = Inventory(frozenset(), self.unreadable)
        return unknown | self.wanted_inventory | remaining


@dataclass(frozen=True, slots=True)
class SessionResult:
    """How one session ended; `failures` are those that belong to no change."""

    session: SessionId
    outcomes: tuple[Outcome, ...]
    failures: tuple[str, ...]


class Reconciler:
    """Makes passes over one cluster; has no state between passes."""

    def __init__(self, cluster: Cluster, clock: Clock, options: ReconcilerOptions) -> None:
        self._cluster = cluster
        self._clock = clock
        self._options = options

    def plan(self, desired: DesiredState, previous: LiveObjects) -> PassPlan:
        """Read live state and plan; `previous` are the objects of an earlier pass, or empty."""
        read = read_live_state(self._cluster, desired, previous)
        missing = find_missing_manifests(
            _without_unreadable(desired, read.failures), read.live_state
        )
        foreign = find_foreign_objects(self._cluster, missing)
        failures = {**read.failures, **foreign.failures}
        desired = _without_unreadable(desired, failures)
        live_state = _readable_part(read.live_state, failures)
        stored = [copy.budget_usage for copy in read.copies.values()]
        used = find_confirmed_usage(stored, desired.revision)
        prune = self._options.prune
        plan = make_plan(desired, live_state, foreign.objects, prune=prune, budget_usage=used)
        if failures:
            plan = replace(plan, budget_usage=plan.budget_usage.without_total())
        return PassPlan(
            desired=desired,
            live_state=live_state,
            plan=plan,
            problems=tuple(problem for _, problem in sorted(failures.items())),
            copies=read.copies,
            unreadable=frozenset(failures),
            warnings=read.warnings,
        )

    def dry_run(self, planned: PassPlan) -> DryRunResult:
        """Send all that `apply` would write to the server as dry runs, which change nothing."""
        deleted = {each.ref for each in planned.plan.changes if isinstance(each, Delete)}
        inventories = self._build_inventory_store(planned).list_writes(
            planned.added_inventory, planned.remaining_inventory(deleted)
        )
        dry_run = DryRun(self._cluster, planned.plan, inventories)
        return dry_run.run(self._options.concurrency)

    def apply(self, planned: PassPlan) -> Iterator[SessionResult]:
        """Carry out a plan and yield the result of each session as soon as it has ended.

        Sessions that need no write come first. The inventory is widened before anything is created,
        so that a later pass finds everything again; where that fails, nothing is done. It is
        narrowed last: ClusterError where that fails.
        """
        plan = planned.plan
        inventory = self._build_inventory_store(planned)
        inventory.add(planned.added_inventory)
        statuses = _read_statuses(planned.live_state)
        pending: list[SessionPlan] = []
        for session in plan.sessions:
            if _needs_write(session, statuses.get(session.session)):
                pending.append(session)
            else:
                yield _build_unchanged_result(session)
        reported = set()
        for session in pending:
            if reason := inventory.failures.get(session.session.namespace):
                reported.add(session.session.namespace)
                yield SessionResult(session.session, (), (reason,))
        appliers = (
            self._build_applier(session, planned, statuses.get(session.session, RecordStatus()))
            for session in pending
            if session.session.namespace not in reported
        )
        deleted: set[ObjectRef] = set()
        for done in Scheduler(appliers, self._clock, self._options.concurrency).run():
            deleted.update(o.change.ref for o in done.outcomes if o.status is Status.DELETED)
            yield SessionResult(done.plan.session, tuple(done.outcomes), tuple(done.failures))
        inventory.prune(planned.remaining_inventory(deleted), reported)

    def _build_inventory_store(self, planned: PassPlan) -> InventoryStore:
        return InventoryStore(
            self._cluster,
            planned.plan.installation,
            planned.desired.metadata,
            dict(planned.copies),
            planned.plan.budget_usage,
            planned.unreadable,
        )

    def _build_applier(
        self, session: SessionPlan, planned: PassPlan, status: RecordStatus
    ) -> SessionApplier:
        revision, mask = planned.plan.revision, planned.desired.policy.mask
        record = RecordWriter(self._cluster, self._clock, session, revision, status, mask)
        deletions = Deletions(self._cluster, self._clock, record.see_flush)
        return SessionApplier(self._cluster, session, record, deletions)


def _needs_write(session: SessionPlan, status: RecordStatus | None) -> bool:
    """Whether anything changes, or the Record says what is not true any more."""
    if status is not None and (status.pending or status.failed):
        return True
    known = status or RecordStatus()
    has_news = session.ended != known.ended or has_flush_news(known.flush, session.flush)
    if session.digest and has_news:
        return True
    return not all(isinstance(change, Keep) for change in session.changes)


def _build_unchanged_result(session: SessionPlan) -> SessionResult:
    unchanged = tuple(Outcome(change, Status.UNCHANGED) for change in session.changes)
    return SessionResult(session.session, unchanged, ())


def _readable_part(live_state: LiveState, failures: Mapping[str, Problem]) -> LiveState:
    objects = live_state.objects.items()
    return LiveState({ref: each for ref, each in objects if ref.namespace not in failures})


def _without_unreadable(desired: DesiredState, failures: Mapping[str, Problem]) -> DesiredState:
    """Leave out the sessions of namespaces that could not be read; they count as broken."""
    sessions = {wanted.session.id for wanted in desired.sessions}
    lost = {session for session in sessions if session.namespace in failures}
    return replace(
        desired,
        sessions=tuple(w for w in desired.sessions if w.session.id not in lost),
        broken=desired.broken | lost,
    )


def _read_statuses(live_state: LiveState) -> dict[SessionId, RecordStatus]:
    return {
        live_object.session: parse_record_status(live_object.record_status)
        for live_object in live_state.objects.values()
        if live_object.record_status
    }
