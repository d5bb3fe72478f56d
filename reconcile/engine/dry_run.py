"""Sends a plan's objects to the server as dry runs, which change nothing."""

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
    AdmissionDeniedError,
    ClusterError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    NotFoundReason,
    Problem,
    UnavailableError,
)
from reconcile.core.model import Manifest, ObjectRef, build_record_ref
from reconcile.core.plan.dry_run import (
    AdmissionResult,
    RefusedObject,
    UntriedObject,
    compare_dry_run,
    compare_dry_run_of_new,
)
from reconcile.core.record import RecordStatus
from reconcile.core.report.view import find_desired_manifest
from reconcile.engine.applier import apply_dry_run, build_body, under_free_name, with_metadata
from reconcile.engine.live_reader import permission_hint
from reconcile.engine.ports import Cluster

_NAME_TAKEN = frozenset({HoldReason.TAKEN, HoldReason.TERMINATING})
"""Held creates whose name belongs to another object, into which a dry run must not merge."""

_UNAVAILABLE = "the server did not answer"


@dataclass(frozen=True, slots=True)
class DryRunResult:
    """The results of the dry runs, in the order of the plan.

    `problems` say what prevented dry runs: a missing permission, an unavailable server.
    """

    admission: tuple[AdmissionResult, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A desired object; `owner_uid` is empty if its Record does not exist yet."""

    manifest: Manifest
    change: Change
    owner_uid: str


@dataclass(slots=True)
class DryRun:
    """The dry run of one plan, on a few threads.

    `new_accounts` are the service accounts that the plan creates: their pods are not admitted
    before. `missing_namespaces` do not exist. `problems` are keyed by namespace, kind and verb.
    `is_unavailable` is set once the server did not answer in spite of all retries.
    """

    cluster: Cluster
    plan: Plan
    new_accounts: frozenset[ObjectRef] = frozenset()
    missing_namespaces: set[str] = field(default_factory=set)
    problems: dict[tuple[str, str, str], Problem] = field(default_factory=dict)
    is_unavailable: bool = False

    def run(self, threads: int) -> DryRunResult:
        """Try every desired object, held changes too; raises no ClusterError."""
        self.new_accounts = frozenset(_find_new_accounts(self.plan.changes))
        with ThreadPoolExecutor(threads) as pool:
            results = [*pool.map(self._try_session, self.plan.sessions)]
        problems = tuple(problem for _, problem in sorted(self.problems.items()))
        return DryRunResult(tuple(each for session in results for each in session), problems)

    def _try_session(self, session: SessionPlan) -> list[AdmissionResult]:
        return [self._try(attempt) for attempt in _list_attempts(session)]

    def _try(self, attempt: _Attempt) -> AdmissionResult:
        ref = attempt.manifest.ref
        if reason := self._find_obstacle(attempt):
            return UntriedObject(ref, reason)
        try:
            return self._send(attempt)
        except ClusterError as error:
            return self._classify_error(attempt, error)

    def _classify_error(self, attempt: _Attempt, error: ClusterError) -> AdmissionResult:
        ref = attempt.manifest.ref
        match error:
            case NotFoundError():
                return self._classify_not_found(ref, error)
            case ConflictError():
                return UntriedObject(ref, f"it has changed since the plan was made ({error})")
            case AdmissionDeniedError():
                return RefusedObject(ref, str(error))
            case UnavailableError() | ForbiddenError():
                return self._record_problem(attempt, error)
            case _:
                return RefusedObject(ref, str(error))

    def _find_obstacle(self, attempt: _Attempt) -> str:
        """Say why an object need not or must not be tried; empty if it can be."""
        if self.is_unavailable:
            return _UNAVAILABLE
        if attempt.manifest.ref.namespace in self.missing_namespaces:
            return _not_yet(NotFoundReason.NAMESPACE)
        if isinstance(attempt.change, Hold) and attempt.change.reason is HoldReason.OUT_OF_REALM:
            return "the namespace is not listed in policy.yaml"
        account = _find_service_account(attempt.manifest)
        return f"{account} does not exist yet" if account in self.new_accounts else ""

    def _send(self, attempt: _Attempt) -> AdmissionResult:
        manifest, change = attempt.manifest, attempt.change
        body = build_body(manifest, RecordStatus(), attempt.owner_uid)
        wanted = change.change if isinstance(change, Hold) else change
        if isinstance(wanted, Patch):
            # The plan has decided about taking fields over; the dry run asks only for admission.
            body = with_metadata(body, {"uid": wanted.live.uid})
            answer = apply_dry_run(self.cluster, body, force=True)
            return compare_dry_run(manifest.kind, manifest.ref, body, answer)
        if isinstance(wanted, Replace) or _is_name_taken(change):
            body = under_free_name(body)
        answer = apply_dry_run(self.cluster, body)
        return compare_dry_run_of_new(manifest.kind, manifest.ref, body, answer)

    def _classify_not_found(self, ref: ObjectRef, error: NotFoundError) -> UntriedObject:
        if error.reason is NotFoundReason.NAMESPACE:
            self.missing_namespaces.add(ref.namespace)
        if error.reason is NotFoundReason.OBJECT:
            return UntriedObject(ref, f"something that it needs does not exist yet ({error})")
        return UntriedObject(ref, _not_yet(error.reason))

    def _record_problem(
        self, attempt: _Attempt, error: UnavailableError | ForbiddenError
    ) -> UntriedObject:
        kind, ref = attempt.manifest.kind, attempt.manifest.ref
        message = (
            f"{kind.name} could not be tried on the server: {error}{permission_hint(kind, error)}"
        )
        # Each permission is named once, and an unavailable server is one problem for all objects.
        key = ("", "", "")
        if isinstance(error, ForbiddenError) and error.verb:
            key = (ref.namespace, kind.name, error.verb)
        self.problems.setdefault(key, Problem(ref.namespace, 0, 0, "", message))
        self.is_unavailable = self.is_unavailable or isinstance(error, UnavailableError)
        return UntriedObject(
            ref, f"the permission to `{key[2]}` it is missing" if key[2] else _UNAVAILABLE
        )


def _not_yet(absence: NotFoundReason) -> str:
    return f"{absence.value} yet"


def _list_attempts(session: SessionPlan) -> Iterator[_Attempt]:
    owner_uid = _find_owner_uid(session)
    for change in session.changes:
        manifest = find_desired_manifest(change)
        if manifest is not None:
            yield _Attempt(manifest, change, owner_uid)


def _find_owner_uid(session: SessionPlan) -> str:
    """Find the UID of the session's Record, if it exists and is kept."""
    for change in session.changes:
        wanted = change.change if isinstance(change, Hold) else change
        if isinstance(wanted, Keep | Patch) and wanted.ref == build_record_ref(session.session):
            return wanted.live.uid
    return ""


def _find_new_accounts(changes: Iterable[Change]) -> Iterator[ObjectRef]:
    for change in changes:
        wanted = change.change if isinstance(change, Hold) else change
        is_new = isinstance(wanted, Create) and not _is_name_taken(change)
        if is_new and wanted.ref.kind == "ServiceAccount":
            yield wanted.ref


def _is_name_taken(change: Change) -> bool:
    return isinstance(change, Hold) and change.reason in _NAME_TAKEN


def _find_service_account(manifest: Manifest) -> ObjectRef | None:
    if manifest.kind.name != "Pod":
        return None
    name = (manifest.body.get("spec") or {}).get("serviceAccountName")
    return ObjectRef("", "ServiceAccount", manifest.ref.namespace, name) if name else None
