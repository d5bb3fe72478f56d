"""Asks the server what it would make of a plan's objects, by a dry run that changes nothing."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from reconcile.core.changes import (
    Change,
    Create,
    Hold,
    HoldReason,
    Keep,
    Patch,
    Plan,
    Replace,
    SessionPlan,
)
from reconcile.core.errors import (
    Absence,
    ClusterError,
    ConflictError,
    DeniedError,
    ForbiddenError,
    NotFoundError,
    Problem,
    UnavailableError,
)
from reconcile.core.model import Manifest, ObjectRef, record_of
from reconcile.core.plan.dry_run import Admission, NotTried, Refused, admitted, admitted_new
from reconcile.core.record import Note
from reconcile.core.report.view import manifest_of
from reconcile.engine.applier import body_to_apply, dry_run, elsewhere, with_metadata
from reconcile.engine.live_reader import granting
from reconcile.engine.ports import Cluster

_OCCUPIED = frozenset({HoldReason.TAKEN, HoldReason.TERMINATING})
"""Held creates whose name belongs to another object, which a trial must not be merged into."""

_SILENT = "the server could not be asked"


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What the server would say, in the order of the plan.

    `problems` are what kept it from being asked: a right that is missing, a server that is away.
    """

    admission: tuple[Admission, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class _Trial:
    """An object that is wanted; `owner_uid` is empty where its Record is not there yet."""

    manifest: Manifest
    change: Change
    owner_uid: str


@dataclass(slots=True)
class Rehearsal:
    """One plan, tried on few threads.

    `accounts` are the service accounts that the plan creates: no pod of theirs is let in before.
    `absent` are namespaces found not to be there, `problems` what could not be asked, by what it
    was; `away` is set once the server did not answer in spite of all patience.
    """

    cluster: Cluster
    plan: Plan
    accounts: frozenset[ObjectRef] = frozenset()
    absent: set[str] = field(default_factory=set)
    problems: dict[tuple[str, str, str], Problem] = field(default_factory=dict)
    away: bool = False

    def run(self, threads: int) -> Rehearsed:
        """Try everything that is wanted, held changes too; never raises a ClusterError."""
        self.accounts = frozenset(_new_accounts(self.plan.changes))
        with ThreadPoolExecutor(threads) as pool:
            found = [*pool.map(self._session, self.plan.sessions)]
        problems = tuple(problem for _, problem in sorted(self.problems.items()))
        return Rehearsed(tuple(each for session in found for each in session), problems)

    def _session(self, session: SessionPlan) -> list[Admission]:
        return [self._try(trial) for trial in _trials(session)]

    def _try(self, trial: _Trial) -> Admission:
        ref = trial.manifest.ref
        if why := self._obstacle(trial):
            return NotTried(ref, why)
        try:
            return self._ask(trial)
        except ClusterError as error:
            return self._failed(trial, error)

    def _failed(self, trial: _Trial, error: ClusterError) -> Admission:
        ref = trial.manifest.ref
        match error:
            case NotFoundError():
                return self._missing(ref, error)
            case ConflictError():
                return NotTried(ref, f"it has changed since the plan was made ({error})")
            case DeniedError():
                return Refused(ref, str(error))
            case UnavailableError() | ForbiddenError():
                return self._unasked(trial, error)
            case _:
                return Refused(ref, str(error))

    def _obstacle(self, trial: _Trial) -> str:
        """Say why it need not or must not be tried; empty if nothing speaks against it."""
        if self.away:
            return _SILENT
        if trial.manifest.ref.namespace in self.absent:
            return _yet(Absence.NAMESPACE)
        if isinstance(trial.change, Hold) and trial.change.reason is HoldReason.OUT_OF_REALM:
            return "the namespace is not listed in policy.yaml"
        account = _account_of(trial.manifest)
        return f"{account} does not exist yet" if account in self.accounts else ""

    def _ask(self, trial: _Trial) -> Admission:
        manifest, change = trial.manifest, trial.change
        body = body_to_apply(manifest, Note(), trial.owner_uid)
        wanted = change.change if isinstance(change, Hold) else change
        if isinstance(wanted, Patch):
            # Whether it may take fields over is decided already; this asks what admission says.
            body = with_metadata(body, {"uid": wanted.live.uid})
            answer = dry_run(self.cluster, body, force=True)
            return admitted(manifest.kind, manifest.ref, body, answer)
        if isinstance(wanted, Replace) or _is_occupied(change):
            body = elsewhere(body)
        answer = dry_run(self.cluster, body)
        return admitted_new(manifest.kind, manifest.ref, body, answer)

    def _missing(self, ref: ObjectRef, error: NotFoundError) -> NotTried:
        if error.absence is Absence.NAMESPACE:
            self.absent.add(ref.namespace)
        if error.absence is Absence.OBJECT:
            return NotTried(ref, f"something that it needs does not exist yet ({error})")
        return NotTried(ref, _yet(error.absence))

    def _unasked(self, trial: _Trial, error: UnavailableError | ForbiddenError) -> NotTried:
        kind, ref = trial.manifest.kind, trial.manifest.ref
        message = f"{kind.name} could not be tried on the server: {error}{granting(kind, error)}"
        # Each right is named once, and a server that is away is away for all.
        key = ("", "", "")
        if isinstance(error, ForbiddenError) and error.verb:
            key = (ref.namespace, kind.name, error.verb)
        self.problems.setdefault(key, Problem(ref.namespace, 0, 0, "", message))
        self.away = self.away or isinstance(error, UnavailableError)
        return NotTried(ref, f"the right to `{key[2]}` it is missing" if key[2] else _SILENT)


def _yet(absence: Absence) -> str:
    return f"{absence.value} yet"


def _trials(session: SessionPlan) -> Iterator[_Trial]:
    owner_uid = _owner_uid(session)
    for change in session.changes:
        manifest = manifest_of(change)
        if manifest is not None:
            yield _Trial(manifest, change, owner_uid)


def _owner_uid(session: SessionPlan) -> str:
    """Find the UID of the session's Record, if it is there and stays."""
    for change in session.changes:
        wanted = change.change if isinstance(change, Hold) else change
        if isinstance(wanted, Keep | Patch) and wanted.ref == record_of(session.session):
            return wanted.live.uid
    return ""


def _new_accounts(changes: Iterable[Change]) -> Iterator[ObjectRef]:
    for change in changes:
        wanted = change.change if isinstance(change, Hold) else change
        is_new = isinstance(wanted, Create) and not _is_occupied(change)
        if is_new and wanted.ref.kind == "ServiceAccount":
            yield wanted.ref


def _is_occupied(change: Change) -> bool:
    return isinstance(change, Hold) and change.reason in _OCCUPIED


def _account_of(manifest: Manifest) -> ObjectRef | None:
    if manifest.kind.name != "Pod":
        return None
    name = (manifest.body.get("spec") or {}).get("serviceAccountName")
    return ObjectRef("", "ServiceAccount", manifest.ref.namespace, name) if name else None
