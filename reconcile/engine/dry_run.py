"""Sends all objects that an apply would write to the server as dry runs, which change nothing."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

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
from reconcile.core.inventory import inventory_name
from reconcile.core.model import STATUS_FIELD_MANAGER, Kind, Manifest, ObjectRef, build_record_ref
from reconcile.core.plan.dry_run import (
    AdmissionResult,
    RefusedObject,
    UntriedObject,
    compare_dry_run,
    compare_dry_run_of_new,
)
from reconcile.core.record import RecordStatus, build_record_status_body
from reconcile.core.report.view import find_desired_manifest
from reconcile.engine.applier import apply_dry_run, build_body, under_free_name, with_metadata
from reconcile.engine.inventory import CONFIG_MAP, InventoryWrite, check_not_foreign
from reconcile.engine.live_reader import permission_hint
from reconcile.engine.ports import ApplyOptions, Cluster

_NAME_TAKEN = frozenset({HoldReason.TAKEN, HoldReason.TERMINATING})
"""Held creates whose name belongs to another object, into which a dry run must not merge."""

_UNAVAILABLE = "the server did not answer"


@dataclass(frozen=True, slots=True)
class DryRunResult:
    """The results of the dry runs: inventories first, then objects in the order of the plan.

    `problems` say what prevented dry runs: a missing permission, an unavailable server.
    """

    admission: tuple[AdmissionResult, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class _Attempt:
    """An object to try; `send` raises the ClusterError with which the server answers.

    `obstacle` says why it must not be tried, and is empty otherwise. `account` is the service
    account that a pod needs.
    """

    kind: Kind
    ref: ObjectRef
    send: Callable[[], AdmissionResult]
    obstacle: str = ""
    account: ObjectRef | None = None


@dataclass(slots=True)
class DryRun:
    """The dry run of one plan, on a few threads.

    `inventories` are the copies of the inventory that an apply would write. `new_accounts` are the
    service accounts that the plan creates: their pods are not admitted before. `missing_namespaces`
    do not exist. `problems` are keyed by namespace, kind and verb. `is_unavailable` is set once the
    server did not answer in spite of all retries.
    """

    cluster: Cluster
    plan: Plan
    inventories: tuple[InventoryWrite, ...] = ()
    new_accounts: frozenset[ObjectRef] = frozenset()
    missing_namespaces: set[str] = field(default_factory=set)
    problems: dict[tuple[str, str, str], Problem] = field(default_factory=dict)
    is_unavailable: bool = False

    def run(self, threads: int) -> DryRunResult:
        """Try every object that an apply writes, held changes too; raises no ClusterError.

        Inventories come first, as in an apply.
        """
        self.new_accounts = frozenset(_find_new_accounts(self.plan.changes))
        groups = (
            [[self._attempt_inventory(each)] for each in self.inventories],
            [[*self._list_attempts(session)] for session in self.plan.sessions],
        )
        with ThreadPoolExecutor(threads) as pool:
            results = [
                each
                for group in groups
                for tried in pool.map(self._try_all, group)
                for each in tried
            ]
        problems = tuple(problem for _, problem in sorted(self.problems.items()))
        return DryRunResult(tuple(results), problems)

    def _attempt_inventory(self, write: InventoryWrite) -> _Attempt:
        name = inventory_name(self.plan.installation)
        ref = ObjectRef("", CONFIG_MAP.name, write.namespace, name)
        return _Attempt(CONFIG_MAP, ref, partial(self._send_inventory, ref, write))

    def _list_attempts(self, session: SessionPlan) -> Iterator[_Attempt]:
        owner_uid = _find_owner_uid(session)
        for change in session.changes:
            manifest = find_desired_manifest(change)
            if manifest is not None:
                send = partial(self._send, manifest, change, owner_uid)
                account = _find_service_account(manifest)
                yield _Attempt(manifest.kind, manifest.ref, send, _find_obstacle(change), account)
            elif isinstance(change, Keep) and _writes_status(session, change):
                send = partial(self._send_status, session, change)
                yield _Attempt(CONFIG_MAP, change.ref, send)

    def _try_all(self, attempts: Iterable[_Attempt]) -> list[AdmissionResult]:
        return [self._try(attempt) for attempt in attempts]

    def _try(self, attempt: _Attempt) -> AdmissionResult:
        if reason := self._find_reason_against(attempt):
            return UntriedObject(attempt.ref, reason)
        try:
            return attempt.send()
        except ClusterError as error:
            return self._classify_error(attempt, error)

    def _classify_error(self, attempt: _Attempt, error: ClusterError) -> AdmissionResult:
        match error:
            case NotFoundError():
                return self._classify_not_found(attempt.ref, error)
            case ConflictError():
                reason = f"it has changed since the plan was made ({error})"
                return UntriedObject(attempt.ref, reason)
            case AdmissionDeniedError():
                return RefusedObject(attempt.ref, str(error))
            case UnavailableError() | ForbiddenError():
                return self._record_problem(attempt, error)
            case _:
                return RefusedObject(attempt.ref, str(error))

    def _find_reason_against(self, attempt: _Attempt) -> str:
        """Say why an object need not or must not be tried; empty if it can be."""
        if self.is_unavailable:
            return _UNAVAILABLE
        if attempt.ref.namespace in self.missing_namespaces:
            return _not_yet(NotFoundReason.NAMESPACE)
        if attempt.account in self.new_accounts:
            return attempt.obstacle or f"{attempt.account} does not exist yet"
        return attempt.obstacle

    def _send(self, manifest: Manifest, change: Change, owner_uid: str) -> AdmissionResult:
        body = build_body(manifest, RecordStatus(), owner_uid)
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

    def _send_status(self, session: SessionPlan, record: Keep) -> AdmissionResult:
        status = RecordStatus(self.plan.revision, session.digest)
        body = build_record_status_body(session.session, record.live.uid, status)
        options = ApplyOptions(STATUS_FIELD_MANAGER, force=True, dry_run=True)
        answer = self.cluster.apply(body, options)
        return compare_dry_run(CONFIG_MAP, record.ref, body, answer)

    def _send_inventory(self, ref: ObjectRef, write: InventoryWrite) -> AdmissionResult:
        compare = compare_dry_run
        if write.is_new:
            check_not_foreign(self.cluster, self.plan.installation, write.namespace)
            compare = compare_dry_run_of_new
        answer = apply_dry_run(self.cluster, write.body, force=True)
        return compare(CONFIG_MAP, ref, write.body, answer)

    def _classify_not_found(self, ref: ObjectRef, error: NotFoundError) -> UntriedObject:
        if error.reason is NotFoundReason.NAMESPACE:
            self.missing_namespaces.add(ref.namespace)
        if error.reason is NotFoundReason.OBJECT:
            return UntriedObject(ref, f"something that it needs does not exist yet ({error})")
        return UntriedObject(ref, _not_yet(error.reason))

    def _record_problem(
        self, attempt: _Attempt, error: UnavailableError | ForbiddenError
    ) -> UntriedObject:
        kind, ref = attempt.kind, attempt.ref
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


def _find_obstacle(change: Change) -> str:
    if isinstance(change, Hold) and change.reason is HoldReason.OUT_OF_REALM:
        return "the namespace is not listed in policy.yaml"
    return ""


def _writes_status(session: SessionPlan, record: Keep) -> bool:
    """Whether an apply writes the status into a Record that is as declared."""
    is_record = record.ref == build_record_ref(session.session)
    return is_record and not all(isinstance(change, Keep) for change in session.changes)


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
