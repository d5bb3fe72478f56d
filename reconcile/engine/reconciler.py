"""One pass: live state, plan, apply. `diff` stops after the plan, `apply` carries it out."""

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, replace

from reconcile.core.changes import Keep, Outcome, Plan, Status
from reconcile.core.errors import Problem
from reconcile.core.inventory import Inventory, InventoryCopy
from reconcile.core.model import DesiredState, ObjectRef, SessionId
from reconcile.core.plan.adoption import find_missing_manifests
from reconcile.core.plan.live_state import LiveObjects, LiveState, observe
from reconcile.core.plan.planner import make_plan
from reconcile.core.record import RecordStatus, parse_record_status
from reconcile.engine.applier import SessionApplier
from reconcile.engine.dry_run import DryRun, DryRunResult
from reconcile.engine.inventory import InventoryStore, build_inventory, find_budget_usage
from reconcile.engine.live_reader import LiveReader
from reconcile.engine.ports import Clock, Cluster
from reconcile.engine.scheduler import Scheduler


@dataclass(frozen=True, slots=True)
class ReconcilerOptions:
    """The operator's choices: whether to prune, and how many sessions are worked on at a time."""

    prune: bool = True
    concurrency: int = 16


@dataclass(frozen=True, slots=True)
class PassPlan:
    """A plan and what it was made from.

    `problems` are the namespaces of which live state is not known. `copies` are the inventories
    found; `unreadable` is what they name where something could not be looked at.
    """

    desired: DesiredState
    live_state: LiveState
    plan: Plan
    problems: tuple[Problem, ...]
    copies: Mapping[str, InventoryCopy]
    unreadable: Inventory

    @property
    def wanted_inventory(self) -> Inventory:
        """The kinds and namespaces of all that is wanted."""
        return build_inventory((m.kind, m.ref) for w in self.desired.sessions for m in w.manifests)

    @property
    def live_inventory(self) -> Inventory:
        """The kinds and namespaces of all that lives or may live."""
        return self.unreadable | build_inventory(
            (s.kind, s.ref) for s in self.live_state.objects.values()
        )

    def remaining_inventory(self, deleted: Set[ObjectRef]) -> Inventory:
        """The kinds and namespaces still in use when some objects are gone."""
        living = build_inventory(
            (s.kind, s.ref) for s in self.live_state.objects.values() if s.ref not in deleted
        )
        return self.unreadable | self.wanted_inventory | living


@dataclass(frozen=True, slots=True)
class SessionResult:
    """How one session ended; `failures` are those that belong to no single change."""

    session: SessionId
    outcomes: tuple[Outcome, ...]
    failures: tuple[str, ...]


class Reconciler:
    """Makes passes over one cluster; keeps nothing between them."""

    def __init__(self, cluster: Cluster, clock: Clock, options: ReconcilerOptions) -> None:
        self._cluster = cluster
        self._clock = clock
        self._options = options

    def plan(self, desired: DesiredState, previous: LiveObjects) -> PassPlan:
        """Read live state and decide; `previous` is the sight of an earlier pass, or empty."""
        reader = LiveReader(self._cluster, desired)
        seen = observe(desired, reader.read_objects(), previous)
        strangers = reader.find_foreign_objects(
            find_missing_manifests(_without_unreadable(desired, reader.failures), seen)
        )
        desired = _without_unreadable(desired, reader.failures)
        sight = LiveState(
            {ref: s for ref, s in seen.objects.items() if ref.namespace not in reader.failures}
        )
        spent = find_budget_usage(reader.copies.values(), desired.revision)
        plan = make_plan(desired, sight, strangers, prune=self._options.prune, budget_usage=spent)
        if reader.failures:
            plan = replace(plan, budget_usage=plan.budget_usage.without_total())
        return PassPlan(
            desired=desired,
            live_state=sight,
            plan=plan,
            problems=tuple(problem for _, problem in sorted(reader.failures.items())),
            copies=reader.copies,
            unreadable=reader.inventory if reader.failures else Inventory(),
        )

    def dry_run(self, planned: PassPlan) -> DryRunResult:
        """Ask the server what it would make of the plan, and change nothing."""
        return DryRun(self._cluster, planned.plan).run(self._options.concurrency)

    def apply(self, planned: PassPlan) -> Iterator[SessionResult]:
        """Carry out a plan and yield each session as it ends; those with nothing to do are not.

        The inventory is widened first, so that whatever happens later is found again; where that
        fails nothing is done. It is narrowed last: ClusterError where that fails.
        """
        plan = planned.plan
        keeper = InventoryStore(
            self._cluster, plan.installation, dict(planned.copies), plan.budget_usage
        )
        keeper.add(planned.live_inventory | planned.wanted_inventory)
        runs = list(self._build_appliers(planned))
        told = set()
        for run in runs:
            if reason := keeper.failures.get(run.plan.session.namespace):
                told.add(run.plan.session.namespace)
                yield SessionResult(run.plan.session, (), (reason,))
        able = (run for run in runs if run.plan.session.namespace not in told)
        schedule = Scheduler(able, self._clock, self._options.concurrency)
        gone: set[ObjectRef] = set()
        for run in schedule.run():
            gone.update(o.change.ref for o in run.outcomes if o.status is Status.DELETED)
            yield SessionResult(run.plan.session, tuple(run.outcomes), tuple(run.failures))
        keeper.prune(planned.remaining_inventory(gone), told)

    def _build_appliers(self, planned: PassPlan) -> Iterable[SessionApplier]:
        notes = _read_statuses(planned.live_state)
        for plan in planned.plan.sessions:
            note = notes.get(plan.session, RecordStatus())
            quiet = all(isinstance(change, Keep) for change in plan.changes)
            if note.pending or note.failed or not quiet:
                yield SessionApplier(
                    self._cluster,
                    self._clock,
                    plan,
                    planned.plan.revision,
                    note,
                    planned.desired.policy.mask,
                )


def _without_unreadable(desired: DesiredState, failures: Mapping[str, Problem]) -> DesiredState:
    """Leave out the sessions of namespaces that could not be read; they count as broken."""
    lost = {wanted.session.id for wanted in desired.sessions} - {
        wanted.session.id
        for wanted in desired.sessions
        if wanted.session.id.namespace not in failures
    }
    return replace(
        desired,
        sessions=tuple(w for w in desired.sessions if w.session.id not in lost),
        broken=desired.broken | lost,
    )


def _read_statuses(live_state: LiveState) -> dict[SessionId, RecordStatus]:
    return {
        sighting.session: parse_record_status(sighting.record_status)
        for sighting in live_state.objects.values()
        if sighting.record_status
    }
