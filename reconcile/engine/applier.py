"""Carries out the changes of one session, in order; beside `bookkeeping` the only one that writes.

A session is a generator: it yields the seconds that it wants to wait, so that a thousand pods in
their grace period need no thousand threads. The first failure ends it: what comes after depends
on what came before.

The body that an apply sends, and a trial of it that changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, assert_never

from reconcile.core.changes import (
    Action,
    Change,
    Create,
    Delete,
    Hold,
    HoldReason,
    Keep,
    LiveRef,
    Outcome,
    Patch,
    Replace,
    SessionPlan,
    Status,
)
from reconcile.core.errors import ClusterError, ConflictError, InvalidError, NotFoundError
from reconcile.core.lifecycle.health import has_started
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
from reconcile.core.plan.adoption import build_release_body, find_earlier_manager
from reconcile.core.plan.planner import replan
from reconcile.core.plan.session_changes import build_owner_reference, with_owner
from reconcile.core.record import (
    RecordStatus,
    build_record_status_body,
    describe_pending,
    next_status,
    with_record_status,
)
from reconcile.core.report.results import learn_failed_objects
from reconcile.engine.ports import ApplyOptions, Clock, Cluster
from reconcile.engine.scheduler import Steps


def build_body(manifest: Manifest, status: RecordStatus, owner_uid: str) -> KubeObject:
    """Complete a manifest: a Record carries its note, all else its owner where that is known."""
    if manifest.ref == build_record_ref(manifest.session):
        return with_record_status(manifest.body, status)
    if not owner_uid:
        return manifest.body
    return with_owner(manifest.body, build_owner_reference(manifest.session, owner_uid))


def with_metadata(body: KubeObject, metadata: Mapping[str, Any]) -> KubeObject:
    """Put something into a body's metadata: a precondition, or another name."""
    return {**body, "metadata": {**body["metadata"], **metadata}}


def under_free_name(body: KubeObject) -> KubeObject:
    """Give a body a name that is free, for a trial where its own is taken."""
    return with_metadata(body, {"name": f"{body['metadata']['name'][:48]}-dry-run"})


def apply_dry_run(cluster: Cluster, body: KubeObject, *, force: bool = False) -> KubeObject:
    """Let the server judge a body, changing nothing; errors as for `Cluster.apply`."""
    return cluster.apply(body, ApplyOptions(FIELD_MANAGER, force=force, dry_run=True))


_POLL_SECONDS = 0.5
_MARGIN_SECONDS = 30.0
"""What a pod may take beyond its grace period: the kubelet's own housekeeping."""

_MAX_ATTEMPTS = 3
"""How often an object may change under our hands before the next pass has to see to it."""

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


@dataclass(slots=True)
class SessionApplier:
    """One session being carried out; `outcomes` grows as it goes.

    `record_status` is what the Record says now, `mask` the policy's names of secrets. `failures` are those
    that belong to no change.
    """

    cluster: Cluster
    clock: Clock
    plan: SessionPlan
    revision: str
    record_status: RecordStatus
    mask: tuple[str, ...] = ()
    owner_uid: str = ""
    outcomes: list[Outcome] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def steps(self) -> Steps:
        """Carry out all changes; yields the seconds to wait before it is resumed."""
        for index, change in enumerate(self.plan.changes):
            try:
                yield from self._carry_out(change)
            except ClusterError as error:
                self._finish(change, Status.FAILED, str(error))
                self._skip(self.plan.changes[index + 1 :], change.ref)
                break
        if self.owner_uid and self.plan.digest:
            self._write_status()

    def _write_status(self) -> None:
        now = RecordStatus(
            self.revision,
            self.plan.digest,
            describe_pending(self.outcomes),
            self._failure_messages(),
        )
        note = next_status(self.record_status, now, self.outcomes)
        if note is None:
            return
        body = build_record_status_body(self.plan.session, self.owner_uid, note)
        try:
            self.cluster.apply(body, ApplyOptions(STATUS_FIELD_MANAGER, force=True))
        except ClusterError as error:
            self.failures.append(f"{self.plan.session}: the Record could not be updated: {error}")

    def _failure_messages(self) -> tuple[str, ...]:
        """Word what failed for the Record, without secrets: a server quotes what it refuses."""
        failed = [outcome for outcome in self.outcomes if outcome.status is Status.FAILED]
        masker = Masker(self.mask)
        learn_failed_objects(failed, masker)
        return tuple(masker.mask_text(outcome.message) for outcome in failed)

    def _finish(self, change: Change, status: Status, message: str = "") -> None:
        self.outcomes.append(Outcome(change, status, message))

    def _skip(self, changes: tuple[Change, ...], failed: ObjectRef) -> None:
        for change in changes:
            match change:
                case Keep():
                    self._finish(change, Status.UNCHANGED)
                case Hold():
                    self._finish(change, Status.HELD)
                case _:
                    self._finish(change, Status.SKIPPED, f"{failed} failed before it")

    def _carry_out(self, change: Change) -> Steps:
        match change:
            case Keep(ref, live):
                self._learn_owner(ref, live.uid)
                self._finish(change, Status.UNCHANGED)
            case Hold():
                self._learn_held_owner(change)
                self._finish(change, Status.HELD)
            case Create(manifest):
                self._create(manifest)
                self._finish(change, Status.CREATED)
            case Patch():
                self._learn_owner(change.ref, change.live.uid)
                yield from self._patch(change)
            case Replace():
                yield from self._replace_idle(change)
            case Delete():
                yield from self._delete_unwanted(change)
                self._finish(change, Status.DELETED)
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

    def _build_body(self, manifest: Manifest, preconditions: Mapping[str, str]) -> KubeObject:
        return with_metadata(
            build_body(manifest, self.record_status, self.owner_uid), preconditions
        )

    def _patch(self, change: Patch) -> Steps:
        patch = change
        for _ in range(_MAX_ATTEMPTS):
            try:
                self._apply_patch(patch)
            except ConflictError as error:
                revised = self._replan(patch, has_conflict=bool(error.owners))
                if revised is None:
                    raise ConflictError(
                        f"{change.ref} has changed since the plan was made; the next pass sees to "
                        f"it ({error})"
                    ) from error
                if isinstance(revised, Keep):
                    return self._finish(change, Status.UNCHANGED)
                patch = revised
            except InvalidError as error:
                return (yield from self._replace_immutable(change, error))
            else:
                return self._finish(change, Status.CONFIGURED)
        raise ConflictError(f"{change.ref} keeps changing while it is patched; the next pass tries")

    def _apply_patch(self, patch: Patch) -> None:
        preconditions = {"uid": patch.live.uid}
        if patch.force:
            preconditions["resourceVersion"] = patch.live.resource_version
        self.cluster.apply(
            self._build_body(patch.manifest, preconditions),
            ApplyOptions(FIELD_MANAGER, force=patch.force),
        )

    def _replan(self, patch: Patch, *, has_conflict: bool) -> Patch | Keep | None:
        try:
            live = self.cluster.get(patch.manifest.kind, patch.ref.namespace, patch.ref.name)
        except NotFoundError:
            return None
        revised = replan(patch, live, self.owner_uid)
        if isinstance(revised, Patch) and (revised.force or has_conflict) and not patch.force:
            return replace(revised, force=True) if self.plan.may_take_over else None
        return revised

    def _replace_immutable(self, patch: Patch, error: InvalidError) -> Steps:
        """Replace an object whose fields the server calls immutable, where that harms nothing."""
        fields = [name for name in error.fields if name.partition(".")[0] != "metadata"]
        if not fields:
            raise error
        if not self._may_replace(patch.ref.kind):
            hold = Hold(
                Replace(patch.manifest, patch.live, patch.fields), _choose_hold_reason(patch)
            )
            return self._finish(hold, Status.HELD, f"the server refuses {', '.join(fields)}")
        self._check_under_free_name(patch.manifest)
        yield from self._replace(patch.manifest, patch.live)
        return self._finish(
            Replace(patch.manifest, patch.live, patch.fields), Status.REPLACED, ", ".join(fields)
        )

    def _check_under_free_name(self, manifest: Manifest) -> None:
        """Let the server judge the body under a free name, changing nothing.

        What it refuses there too is wrong in itself: then the live object must not be given up.
        """
        apply_dry_run(self.cluster, under_free_name(self._build_body(manifest, {})))

    def _may_replace(self, kind: str) -> bool:
        holds_data = kind == "PersistentVolumeClaim"
        return kind in _SAFE_TO_REPLACE or (self.plan.may_end_work and not holds_data)

    def _replace_idle(self, change: Replace) -> Steps:
        """Replace an object, but for a pod that has begun its work since the plan was made."""
        if change.ref.kind == "Pod" and not self.plan.may_end_work and self._has_started(change):
            return self._finish(Hold(change, HoldReason.RUNNING_WORK), Status.HELD)
        yield from self._replace(change.manifest, change.live)
        return self._finish(change, Status.REPLACED)

    def _has_started(self, change: Replace) -> bool:
        live = self._get_if_same(change.manifest.kind, change.ref, change.live.uid)
        return live is not None and has_started(live)

    def _replace(self, manifest: Manifest, live: LiveRef) -> Steps:
        yield from self._delete(manifest.kind, manifest.ref, live.uid, wait=True)
        self._create(manifest)

    def _delete_unwanted(self, change: Delete) -> Steps:
        is_pod = change.kind.name == "Pod"
        if not change.is_terminating:
            yield from self._delete(change.kind, change.ref, change.live.uid, wait=is_pod)
        elif is_pod:
            yield from self._wait_until_gone(change.kind, change.ref, change.live.uid)

    def _delete(self, kind: Kind, ref: ObjectRef, uid: str, *, wait: bool) -> Steps:
        try:
            self.cluster.delete(kind, ref, uid)
        except NotFoundError:
            return
        if wait:
            yield from self._wait_until_gone(kind, ref, uid)

    def _wait_until_gone(self, kind: Kind, ref: ObjectRef, uid: str) -> Steps:
        limit = 0.0
        while (live := self._get_if_same(kind, ref, uid)) is not None:
            now = self.clock.monotonic()
            limit = limit or now + _grace_seconds(live) + _MARGIN_SECONDS
            if now >= limit:
                raise ClusterError(f"{ref} is still ending; the next pass goes on when it is gone")
            yield _POLL_SECONDS

    def _get_if_same(self, kind: Kind, ref: ObjectRef, uid: str) -> KubeObject | None:
        try:
            live = self.cluster.get(kind, ref.namespace, ref.name)
        except NotFoundError:
            return None
        return live if live["metadata"]["uid"] == uid else None


def _choose_hold_reason(patch: Patch) -> HoldReason:
    is_data = patch.ref.kind == "PersistentVolumeClaim"
    return HoldReason.DATA_LOSS if is_data else HoldReason.RUNNING_WORK


def _grace_seconds(live: KubeObject) -> float:
    metadata: Mapping[str, Any] = live["metadata"]
    return float(metadata.get("deletionGracePeriodSeconds") or 0)
