"""Applies the changes of one session, in order; only it and `inventory` write to the cluster.

A session is a generator: it yields the seconds that it wants to wait, so that a thousand pods in
their grace period do not need a thousand threads. The first failure ends it: later changes depend
on earlier ones. The bodies that an apply and a dry run send are built here.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, assert_never

from reconcile.core.changes import (
    Action,
    Change,
    Create,
    Delete,
    FlushTrace,
    Hold,
    HoldReason,
    Keep,
    Outcome,
    Patch,
    Replace,
    SessionPlan,
    Status,
)
from reconcile.core.errors import ClusterError, ConflictError, InvalidError, NotFoundError
from reconcile.core.lifecycle.pod_status import find_mirror_state, has_started
from reconcile.core.mask.masker import Masker
from reconcile.core.model import (
    FIELD_MANAGER,
    STATUS_FIELD_MANAGER,
    Kind,
    KubeObject,
    Manifest,
    ObjectRef,
    build_record_ref,
)
from reconcile.core.plan.admission import (
    find_admitted_values,
)
from reconcile.core.plan.adoption import build_release_body, find_earlier_manager
from reconcile.core.plan.live_state import START_FAILURE
from reconcile.core.plan.planner import replan
from reconcile.core.plan.session_changes import build_owner_reference, with_owner
from reconcile.core.record import (
    AdmittedValues,
    RecordStatus,
    build_record_status_body,
    count_failed_start,
    describe_pending,
    find_remaining_ends,
    finish_flush,
    next_status,
    seconds_to_back_off,
    see_flush,
    with_record_status,
)
from reconcile.core.report.results import learn_failed_objects
from reconcile.engine.ports import ApplyOptions, Clock, Cluster
from reconcile.engine.scheduler import Steps


def build_body(manifest: Manifest, status: RecordStatus, owner_uid: str) -> KubeObject:
    """Complete a manifest: a Record gets its status, other objects their owner if it is known."""
    if manifest.ref == build_record_ref(manifest.session):
        return with_record_status(manifest.body, status)
    if not owner_uid:
        return manifest.body
    return with_owner(manifest.body, build_owner_reference(manifest.session, owner_uid))


def with_metadata(body: KubeObject, metadata: Mapping[str, Any]) -> KubeObject:
    """Add fields to the metadata of a body: a precondition, or another name."""
    return {**body, "metadata": {**body["metadata"], **metadata}}


def under_free_name(body: KubeObject) -> KubeObject:
    """Give a body a name that is free, for a dry run where its own name is taken."""
    return with_metadata(body, {"name": f"{body['metadata']['name'][:48]}-dry-run"})


def apply_dry_run(cluster: Cluster, body: KubeObject, *, force: bool = False) -> KubeObject:
    """Apply a body as a dry run, which changes nothing; errors as for `Cluster.apply`."""
    return cluster.apply(body, ApplyOptions(FIELD_MANAGER, force=force, dry_run=True))


_POLL_SECONDS = 0.5
_MARGIN_SECONDS = 30.0
"""How long a pod may take beyond its grace period: the kubelet's own cleanup."""

_FINALIZER_SECONDS = 5.0
"""How long an unwanted object may take whose deletion waits for a finalizer."""

_MAX_ATTEMPTS = 3
"""How often an object may change during a patch before it is left to the next pass."""

_SAFE_TO_REPLACE = frozenset(
    {
        "ConfigMap",
        "NetworkPolicy",
        "Role",
        "RoleBinding",
        "Secret",
        "Service",
        "ServiceAccount",
    }
)
"""Kinds that can be replaced at any time: no work runs in them and they hold no data."""


@dataclass(frozen=True, slots=True)
class _PendingDeletion:
    """An object that is being deleted; once it is gone, `successor` is created, if there is one."""

    kind: Kind
    ref: ObjectRef
    uid: str
    outcome: Outcome
    successor: Manifest | None = None

    @property
    def margin(self) -> float:
        """How long it may take beyond its grace period, in seconds."""
        is_slow = self.kind.name == "Pod" or self.successor is not None
        return _MARGIN_SECONDS if is_slow else _FINALIZER_SECONDS


@dataclass(slots=True)
class SessionApplier:
    """Applies the plan of one session; `outcomes` grows with each change.

    `record_status` is the status in the Record now, `mask` the policy's names of secrets.
    `admitted` is what admission made of the objects that were written. `failures` are those that
    belong to no change.
    """

    cluster: Cluster
    clock: Clock
    plan: SessionPlan
    revision: str
    record_status: RecordStatus
    mask: tuple[str, ...] = ()
    owner_uid: str = ""
    outcomes: list[Outcome] = field(default_factory=list)
    admitted: dict[ObjectRef, AdmittedValues] = field(default_factory=dict)
    flush: FlushTrace = field(init=False)
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.flush = self.plan.flush

    def steps(self) -> Steps:
        """Carry out all changes; yields the seconds to wait before it is resumed."""
        for index, change in enumerate(self.plan.changes):
            try:
                result = self._carry_out(change)
                if isinstance(result, _PendingDeletion):
                    rest = yield from self._wait_until_gone(result)
                    result = self._complete(result) if rest is None else _give_up(result, rest)
                self.outcomes.append(result)
            except ClusterError as error:
                self.outcomes.append(Outcome(change, Status.FAILED, str(error)))
                later = self.plan.changes[index + 1 :]
                self.outcomes += [_skip(each, change.ref) for each in later]
                break
        if self.owner_uid and self.plan.digest:
            self._write_status()

    def _write_status(self) -> None:
        current = RecordStatus(
            self.revision,
            self.plan.digest,
            describe_pending(self.outcomes),
            self._failure_messages(),
            find_remaining_ends(self.plan.ended, self.outcomes),
            flush=self._finish_flush(),
            admitted=self._list_admitted_values(),
            **self._count_failed_starts(),
        )
        status = next_status(self.record_status, current, self.outcomes)
        if status is None:
            return
        body = build_record_status_body(self.plan.session, self.owner_uid, status)
        try:
            self.cluster.apply(body, ApplyOptions(STATUS_FIELD_MANAGER, force=True))
        except ClusterError as error:
            self.failures.append(f"{self.plan.session}: the Record could not be updated: {error}")

    def _finish_flush(self) -> FlushTrace:
        """Return the trace for the Record; the mirror's words may quote names of files."""
        trace = finish_flush(self.flush, self.outcomes, self.clock.now())
        if trace.unflushed is None:
            return trace
        reason = Masker(self.mask).mask_text(trace.unflushed.reason)
        return replace(trace, unflushed=replace(trace.unflushed, reason=reason))

    def _see_flush(self, live: KubeObject) -> None:
        """Follow the last flush of a live pod."""
        mirror = find_mirror_state(live) if live["kind"] == "Pod" else None
        if mirror is not None:
            self.flush = see_flush(self.flush, live["metadata"]["uid"], mirror)

    def _count_failed_starts(self) -> dict[str, Any]:
        retried = [
            outcome
            for outcome in self.outcomes
            if outcome.status is Status.REPLACED and _has_failed_to_start(outcome.change)
        ]
        previous = self.record_status
        if not retried:
            return {
                "failed_starts": previous.failed_starts,
                "failed_start_time": previous.failed_start_time,
            }
        now = self.clock.now()
        return {"failed_starts": count_failed_start(previous, now), "failed_start_time": now}

    def _failure_messages(self) -> tuple[str, ...]:
        """Word failures for the Record, without secrets: a server quotes what it refuses."""
        failed = [outcome for outcome in self.outcomes if outcome.status is Status.FAILED]
        masker = Masker(self.mask)
        learn_failed_objects(failed, masker)
        return tuple(masker.mask_text(outcome.message) for outcome in failed)

    def _carry_out(self, change: Change) -> Outcome | _PendingDeletion:
        match change:
            case Keep(ref, live):
                self._learn_owner(ref, live.uid)
                return Outcome(change, Status.UNCHANGED)
            case Hold():
                self._learn_held_owner(change)
                return Outcome(change, Status.HELD)
            case Create(manifest):
                self._create(manifest)
                return Outcome(change, Status.CREATED)
            case Patch():
                self._learn_owner(change.ref, change.live.uid)
                return self._patch(change)
            case Replace():
                return self._replace_idle(change)
            case Delete():
                return self._delete_unwanted(change)
            case _:
                assert_never(change)

    def _learn_owner(self, ref: ObjectRef, uid: str) -> None:
        if ref == build_record_ref(self.plan.session):
            self.owner_uid = uid

    def _learn_held_owner(self, hold: Hold) -> None:
        action: Action = hold.change
        if not isinstance(action, Create):
            self._learn_owner(action.ref, action.live.uid)

    def _create(self, manifest: Manifest) -> None:
        if manifest.ref == build_record_ref(manifest.session):
            self.record_status = RecordStatus(self.revision, self.plan.digest)
        live = self.cluster.apply(self._build_body(manifest, {}), ApplyOptions(FIELD_MANAGER))
        uid = live["metadata"]["uid"]
        if other := find_earlier_manager(live):
            self.cluster.apply(build_release_body(manifest, uid), ApplyOptions(FIELD_MANAGER))
            raise ConflictError(
                f"{manifest.ref} was created by {other} after the plan was made; it has been left "
                "as it was, and the next plan says how it can be adopted"
            )
        self._learn_owner(manifest.ref, uid)
        self._see_flush(live)
        self.admitted[manifest.ref] = find_admitted_values(manifest, live)

    def _admitted_values(self, ref: ObjectRef) -> AdmittedValues:
        """Return what admission made of an object, from this pass or an earlier one."""
        known = self.record_status.admitted_values(ref)
        return self.admitted.get(ref, known)

    def _list_admitted_values(self) -> dict[str, AdmittedValues]:
        refs = (change.ref for change in self.plan.changes)
        return {str(ref): values for ref in refs if (values := self._admitted_values(ref))}

    def _build_body(self, manifest: Manifest, preconditions: Mapping[str, str]) -> KubeObject:
        return with_metadata(
            build_body(manifest, self.record_status, self.owner_uid), preconditions
        )

    def _patch(self, change: Patch) -> Outcome | _PendingDeletion:
        patch = change
        for _ in range(_MAX_ATTEMPTS):
            try:
                self._apply_patch(patch)
            except ConflictError as error:
                revised = self._replan(patch, has_conflict=bool(error.owners))
                if revised is None:
                    raise ConflictError(
                        f"{change.ref} has changed since the plan was made; the next pass plans "
                        f"it again ({error})"
                    ) from error
                if isinstance(revised, Keep):
                    return Outcome(change, Status.UNCHANGED)
                patch = revised
            except InvalidError as error:
                return self._replace_immutable(change, error)
            else:
                return Outcome(change, Status.CONFIGURED)
        raise ConflictError(f"{change.ref} keeps changing while it is patched; the next pass tries")

    def _apply_patch(self, patch: Patch) -> None:
        preconditions = {"uid": patch.live.uid}
        if patch.force:
            preconditions["resourceVersion"] = patch.live.resource_version
        stored = self.cluster.apply(
            self._build_body(patch.manifest, preconditions),
            ApplyOptions(FIELD_MANAGER, force=patch.force),
        )
        known = self._admitted_values(patch.ref)
        self.admitted[patch.ref] = {**known, **find_admitted_values(patch.manifest, stored)}

    def _replan(self, patch: Patch, *, has_conflict: bool) -> Patch | Keep | None:
        try:
            live = self.cluster.get(patch.manifest.kind, patch.ref.namespace, patch.ref.name)
        except NotFoundError:
            return None
        revised = replan(patch, live, self.owner_uid, self._admitted_values(patch.ref))
        if isinstance(revised, Patch) and (revised.force or has_conflict) and not patch.force:
            return replace(revised, force=True) if self.plan.may_take_over else None
        return revised

    def _replace_immutable(self, patch: Patch, error: InvalidError) -> Outcome | _PendingDeletion:
        """Replace an object whose fields are immutable, if nothing can run in it.

        Otherwise it is held: the plan that was shown, and perhaps approved, said that it stays.
        """
        fields = [name for name in error.fields if name.partition(".")[0] != "metadata"]
        if not fields:
            raise error
        change = Replace(patch.manifest, patch.live, patch.fields)
        if patch.ref.kind not in _SAFE_TO_REPLACE:
            hold = Hold(change, self._choose_hold_reason(patch))
            return Outcome(hold, Status.HELD, f"the server refuses {', '.join(fields)}")
        self._check_under_free_name(patch.manifest)
        return self._replace(change, ", ".join(fields))

    def _check_under_free_name(self, manifest: Manifest) -> None:
        """Send the body under a free name, as a dry run.

        If the server refuses it there too, the body itself is wrong: then the live object stays.
        """
        apply_dry_run(self.cluster, under_free_name(self._build_body(manifest, {})))

    def _choose_hold_reason(self, patch: Patch) -> HoldReason:
        if patch.ref.kind == "PersistentVolumeClaim":
            return HoldReason.DATA_LOSS
        return HoldReason.REFUSED if self.plan.may_end_work else HoldReason.RUNNING_WORK

    def _replace_idle(self, change: Replace) -> Outcome | _PendingDeletion:
        """Replace an object, except a pod that has started since, or has to back off."""
        wait = seconds_to_back_off(self.record_status, self.clock.now())
        if wait and _has_failed_to_start(change):
            message = f"the next attempt is due in {wait:.0f} s"
            return Outcome(Hold(change, HoldReason.BACK_OFF), Status.HELD, message)
        if change.ref.kind == "Pod" and not self.plan.may_end_work and self._has_started(change):
            return Outcome(Hold(change, HoldReason.RUNNING_WORK), Status.HELD)
        return self._replace(change, "")

    def _has_started(self, change: Replace) -> bool:
        live = self._get_if_same(change.manifest.kind, change.ref, change.live.uid)
        return live is not None and has_started(live)

    def _replace(self, change: Replace, message: str) -> Outcome | _PendingDeletion:
        outcome = Outcome(change, Status.REPLACED, message)
        manifest, uid = change.manifest, change.live.uid
        deletion = _PendingDeletion(manifest.kind, manifest.ref, uid, outcome, manifest)
        remaining = self._delete(manifest.kind, manifest.ref, uid)
        return self._complete(deletion) if remaining is None else deletion

    def _delete_unwanted(self, change: Delete) -> Outcome | _PendingDeletion:
        """Delete an object; only the end of a pod and finalizers are waited for."""
        kind, ref, uid = change.kind, change.ref, change.live.uid
        outcome = Outcome(change, Status.DELETED)
        remaining = () if change.is_terminating else self._delete(kind, ref, uid)
        if remaining is None or (not remaining and kind.name != "Pod"):
            return outcome
        return _PendingDeletion(kind, ref, uid, outcome)

    def _delete(self, kind: Kind, ref: ObjectRef, uid: str) -> tuple[str, ...] | None:
        """Begin to delete an object; returns its finalizers, or None if it is gone already."""
        try:
            return self.cluster.delete(kind, ref, uid)
        except NotFoundError:
            return None

    def _complete(self, deletion: _PendingDeletion) -> Outcome:
        if deletion.successor is not None:
            self._create(deletion.successor)
        return deletion.outcome

    def _wait_until_gone(
        self, deletion: _PendingDeletion
    ) -> Generator[float, None, KubeObject | None]:
        """Wait until an object is gone; returns it if it is still there after its time."""
        limit = 0.0
        while (live := self._get_if_same(deletion.kind, deletion.ref, deletion.uid)) is not None:
            self._see_flush(live)
            now = self.clock.monotonic()
            limit = limit or now + _grace_seconds(live) + deletion.margin
            if now >= limit:
                return live
            yield _POLL_SECONDS
        return None

    def _get_if_same(self, kind: Kind, ref: ObjectRef, uid: str) -> KubeObject | None:
        try:
            live = self.cluster.get(kind, ref.namespace, ref.name)
        except NotFoundError:
            return None
        return live if live["metadata"]["uid"] == uid else None


def _give_up(deletion: _PendingDeletion, live: KubeObject) -> Outcome:
    """Give the outcome of a deletion that takes too long: held if only finalizers keep the object.

    ClusterError for a pod, which may still run, and for an object that is to be replaced.
    """
    change = deletion.outcome.change
    names = ", ".join(live["metadata"].get("finalizers") or ())
    waits = f": it waits for {names}" if names else ""
    if isinstance(change, Delete) and names and change.kind.name != "Pod":
        return Outcome(Hold(change, HoldReason.FINALIZER), Status.HELD, f"waits for {names}")
    raise ClusterError(
        f"{deletion.ref} is still ending{waits}; the next pass continues when it is gone"
    )


def _skip(change: Change, failed: ObjectRef) -> Outcome:
    """Give the outcome of a change that comes after a failed one."""
    match change:
        case Keep():
            return Outcome(change, Status.UNCHANGED)
        case Hold():
            return Outcome(change, Status.HELD)
        case _:
            return Outcome(change, Status.SKIPPED, f"{failed} failed before it")


def _has_failed_to_start(change: Change) -> bool:
    return isinstance(change, Replace) and START_FAILURE in change.fields


def _grace_seconds(live: KubeObject) -> float:
    metadata: Mapping[str, Any] = live["metadata"]
    return float(metadata.get("deletionGracePeriodSeconds") or 0)
