"""One pass: live state, plan, apply. `diff` stops after the plan, `apply` carries it out."""

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, replace

from reconcile.core.changes import Keep, Outcome, Plan, Status
from reconcile.core.errors import Problem
from reconcile.core.inventory import Copy, Inventory
from reconcile.core.model import Desired, ObjectRef, SessionId
from reconcile.core.plan.adoption import missing
from reconcile.core.plan.live_state import Memo, Sight, observe
from reconcile.core.plan.planner import make_plan
from reconcile.core.record import Note, parse_note
from reconcile.engine.applier import SessionRun
from reconcile.engine.dry_run import Rehearsal, Rehearsed
from reconcile.engine.inventory import Bookkeeper, inventory_of, spent_by
from reconcile.engine.live_reader import LiveReader
from reconcile.engine.ports import Clock, Cluster
from reconcile.engine.scheduler import Schedule


@dataclass(frozen=True, slots=True)
class Options:
    """The operator's choices: whether to prune, and how many sessions are worked on at a time."""

    prune: bool = True
    concurrency: int = 16


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan and what it was made from.

    `problems` are the namespaces of which live state is not known. `copies` are the inventories
    found; `unread` is what they name where something could not be looked at.
    """

    desired: Desired
    sight: Sight
    plan: Plan
    problems: tuple[Problem, ...]
    copies: Mapping[str, Copy]
    unread: Inventory

    @property
    def wanted(self) -> Inventory:
        """The kinds and namespaces of all that is wanted."""
        return inventory_of((m.kind, m.ref) for w in self.desired.sessions for m in w.manifests)

    @property
    def inventory(self) -> Inventory:
        """The kinds and namespaces of all that lives or may live."""
        return self.unread | inventory_of((s.kind, s.ref) for s in self.sight.objects.values())

    def left(self, gone: Set[ObjectRef]) -> Inventory:
        """The kinds and namespaces still in use when some objects are gone."""
        living = inventory_of(
            (s.kind, s.ref) for s in self.sight.objects.values() if s.ref not in gone
        )
        return self.unread | self.wanted | living


@dataclass(frozen=True, slots=True)
class SessionDone:
    """How one session ended; `failures` are those that belong to no single change."""

    session: SessionId
    outcomes: tuple[Outcome, ...]
    failures: tuple[str, ...]


class Reconciler:
    """Makes passes over one cluster; keeps nothing between them."""

    def __init__(self, cluster: Cluster, clock: Clock, options: Options) -> None:
        self._cluster = cluster
        self._clock = clock
        self._options = options

    def plan(self, desired: Desired, memo: Memo) -> Planned:
        """Read live state and decide; `memo` is the sight of an earlier pass, or empty."""
        reader = LiveReader(self._cluster, desired)
        seen = observe(desired, reader.objects(), memo)
        strangers = reader.strangers(missing(_known(desired, reader.failures), seen))
        desired = _known(desired, reader.failures)
        sight = Sight(
            {ref: s for ref, s in seen.objects.items() if ref.namespace not in reader.failures}
        )
        spent = spent_by(reader.copies.values(), desired.revision)
        plan = make_plan(desired, sight, strangers, prune=self._options.prune, spent=spent)
        if reader.failures:
            plan = replace(plan, spent=plan.spent.without_base())
        return Planned(
            desired=desired,
            sight=sight,
            plan=plan,
            problems=tuple(problem for _, problem in sorted(reader.failures.items())),
            copies=reader.copies,
            unread=reader.inventory if reader.failures else Inventory(),
        )

    def rehearse(self, planned: Planned) -> Rehearsed:
        """Ask the server what it would make of the plan, and change nothing."""
        return Rehearsal(self._cluster, planned.plan).run(self._options.concurrency)

    def apply(self, planned: Planned) -> Iterator[SessionDone]:
        """Carry out a plan and yield each session as it ends; those with nothing to do are not.

        The inventory is widened first, so that whatever happens later is found again; where that
        fails nothing is done. It is narrowed last: ClusterError where that fails.
        """
        plan = planned.plan
        keeper = Bookkeeper(self._cluster, plan.installation, dict(planned.copies), plan.spent)
        keeper.widen(planned.inventory | planned.wanted)
        runs = list(self._runs(planned))
        told = set()
        for run in runs:
            if reason := keeper.failed.get(run.plan.session.namespace):
                told.add(run.plan.session.namespace)
                yield SessionDone(run.plan.session, (), (reason,))
        able = (run for run in runs if run.plan.session.namespace not in told)
        schedule = Schedule(able, self._clock, self._options.concurrency)
        gone: set[ObjectRef] = set()
        for run in schedule.run():
            gone.update(o.change.ref for o in run.outcomes if o.status is Status.DELETED)
            yield SessionDone(run.plan.session, tuple(run.outcomes), tuple(run.failures))
        keeper.narrow(planned.left(gone), told)

    def _runs(self, planned: Planned) -> Iterable[SessionRun]:
        notes = _notes(planned.sight)
        for plan in planned.plan.sessions:
            note = notes.get(plan.session, Note())
            quiet = all(isinstance(change, Keep) for change in plan.changes)
            if note.pending or note.failed or not quiet:
                yield SessionRun(
                    self._cluster,
                    self._clock,
                    plan,
                    planned.plan.revision,
                    note,
                    planned.desired.policy.mask,
                )


def _known(desired: Desired, failures: Mapping[str, Problem]) -> Desired:
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


def _notes(sight: Sight) -> dict[SessionId, Note]:
    return {
        sighting.session: parse_note(sighting.note)
        for sighting in sight.objects.values()
        if sighting.note
    }
