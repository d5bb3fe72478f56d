"""Applies the changes of one session, in order.

A session is a generator: it yields the seconds that it wants to wait, so that a thousand pods in
their grace period do not need a thousand threads. The first failure ends it: later changes depend
on earlier ones.

What is sent is a manifest with what becomes known in the cluster, in a dry run too.
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
    Outcome,
    Patch,
    Replace,
    SessionPlan,
    Status,
)
from reconcile.core.errors import ClusterError, ConflictError, InvalidError, NotFoundError
from reconcile.core.lifecycle.pod_status import has_started
from reconcile.core.model import (
    ANNOTATION_RECORD_UID,
    FIELD_MANAGER,
    KubeObject,
    Manifest,
    ObjectRef,
    build_record_ref,
)
from reconcile.core.plan.adoption import build_release_body, find_earlier_manager
from reconcile.core.plan.planner import replan
from reconcile.core.plan.session_changes import build_owner_reference, with_owner
from reconcile.core.record import RecordStatus, with_record_status
from reconcile.engine.deletions import Deletions, PendingDeletion, give_up
from reconcile.engine.ports import ApplyOptions, Cluster
from reconcile.engine.record_writer import RecordWriter, has_failed_to_start
from reconcile.engine.scheduler import Steps

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


@dataclass(slots=True)
class SessionApplier:
    """Applies the plan of one session; `outcomes` grows with each change.

    `failures` are those that belong to no change.
    """

    cluster: Cluster
    plan: SessionPlan
    record: RecordWriter
    deletions: Deletions
    outcomes: list[Outcome] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def steps(self) -> Steps:
        """Carry out all changes; yields the seconds to wait before it is resumed."""
        for index, change in enumerate(self.plan.changes):
            try:
                result = self._carry_out(change)
                if isinstance(result, PendingDeletion):
                    rest = yield from self.deletions.wait_until_gone(result)
                    result = self._complete(result) if rest is None else give_up(result, rest)
                self.outcomes.append(result)
            except ClusterError as error:
                self.outcomes.append(Outcome(change, Status.FAILED, str(error)))
                later = self.plan.changes[index + 1 :]
                self.outcomes += [_skip(each, change.ref) for each in later]
                break
        if self.record.owner_uid and self.plan.digest:
            failure = self.record.write(self.outcomes)
            self.failures += [failure] if failure else []

    def _carry_out(self, change: Change) -> Outcome | PendingDeletion:
        match change:
            case Keep(ref, live):
                self.record.learn_owner(ref, live.uid)
                return Outcome(change, Status.UNCHANGED)
            case Hold():
                self._learn_held_owner(change)
                return Outcome(change, Status.HELD)
            case Create(manifest):
                self._create(manifest)
                return Outcome(change, Status.CREATED)
            case Patch():
                self.record.learn_owner(change.ref, change.live.uid)
                return self._patch(change)
            case Replace():
                return self._replace_idle(change)
            case Delete():
                return self._delete_unwanted(change)
            case _:
                assert_never(change)

    def _learn_held_owner(self, hold: Hold) -> None:
        action: Action = hold.change
        if not isinstance(action, Create):
            self.record.learn_owner(action.ref, action.live.uid)

    def _create(self, manifest: Manifest) -> None:
        self.record.begin(manifest.ref)
        live = self.cluster.apply(self._build_body(manifest, {}), ApplyOptions(FIELD_MANAGER))
        uid = live["metadata"]["uid"]
        if other := find_earlier_manager(live):
            self.cluster.apply(build_release_body(manifest, uid), ApplyOptions(FIELD_MANAGER))
            raise ConflictError(
                f"{manifest.ref} was created by {other} after the plan was made; it has been left "
                "as it was, and the next plan says how it can be adopted"
            )
        self.record.learn_owner(manifest.ref, uid)
        self.record.see_flush(live)
        self.record.learn_admitted(manifest, live)

    def _build_body(self, manifest: Manifest, preconditions: Mapping[str, str]) -> KubeObject:
        body = build_body(manifest, self.record.status, self.record.owner_uid)
        return with_metadata(body, preconditions)

    def _patch(self, change: Patch) -> Outcome | PendingDeletion:
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
        stored = self._send(
            self._build_body(patch.manifest, preconditions),
            ApplyOptions(FIELD_MANAGER, force=patch.force),
        )
        known = self.record.admitted_values(patch.ref)
        self.record.learn_admitted(patch.manifest, stored, known)

    def _send(self, body: KubeObject, options: ApplyOptions) -> KubeObject:
        """Apply a body; a UID of the Record that another manager has set stays as it is."""
        try:
            return self.cluster.apply(body, options)
        except ConflictError as error:
            if not names_only_record_uid(error):
                raise
            return self.cluster.apply(without_record_uid(body), options)

    def _replan(self, patch: Patch, *, has_conflict: bool) -> Patch | Keep | None:
        try:
            live = self.cluster.get(patch.manifest.kind, patch.ref.namespace, patch.ref.name)
        except NotFoundError:
            return None
        admitted = self.record.admitted_values(patch.ref)
        revised = replan(patch, live, self.record.owner_uid, admitted)
        if isinstance(revised, Patch) and (revised.force or has_conflict) and not patch.force:
            return replace(revised, force=True) if self.plan.may_take_over else None
        return revised

    def _replace_immutable(self, patch: Patch, error: InvalidError) -> Outcome | PendingDeletion:
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

    def _replace_idle(self, change: Replace) -> Outcome | PendingDeletion:
        """Replace an object, except a pod that has started since, or has to back off."""
        wait = self.record.seconds_to_back_off()
        if wait and has_failed_to_start(change):
            message = f"the next attempt is due in {wait:.0f} s"
            return Outcome(Hold(change, HoldReason.BACK_OFF), Status.HELD, message)
        if change.ref.kind == "Pod" and not self.plan.may_end_work and self._has_started(change):
            return Outcome(Hold(change, HoldReason.RUNNING_WORK), Status.HELD)
        return self._replace(change, "")

    def _has_started(self, change: Replace) -> bool:
        live = self.deletions.get_if_same(change.manifest.kind, change.ref, change.live.uid)
        return live is not None and has_started(live)

    def _replace(self, change: Replace, message: str) -> Outcome | PendingDeletion:
        outcome = Outcome(change, Status.REPLACED, message)
        manifest, uid = change.manifest, change.live.uid
        deletion = PendingDeletion(manifest.kind, manifest.ref, uid, outcome, manifest)
        remaining = self.deletions.begin(deletion)
        return self._complete(deletion) if remaining is None else deletion

    def _delete_unwanted(self, change: Delete) -> Outcome | PendingDeletion:
        """Delete an object; only the end of a pod and finalizers are waited for."""
        outcome = Outcome(change, Status.DELETED)
        deletion = PendingDeletion(change.kind, change.ref, change.live.uid, outcome)
        remaining = () if change.is_terminating else self.deletions.begin(deletion)
        if remaining is None or (not remaining and change.kind.name != "Pod"):
            return outcome
        return deletion

    def _complete(self, deletion: PendingDeletion) -> Outcome:
        if deletion.successor is not None:
            self._create(deletion.successor)
        return deletion.outcome


def _skip(change: Change, failed: ObjectRef) -> Outcome:
    """Give the outcome of a change that comes after a failed one."""
    match change:
        case Keep():
            return Outcome(change, Status.UNCHANGED)
        case Hold():
            return Outcome(change, Status.HELD)
        case _:
            return Outcome(change, Status.SKIPPED, f"{failed} failed before it")


def build_body(manifest: Manifest, status: RecordStatus, owner_uid: str) -> KubeObject:
    """Complete a manifest: a Record gets its status, other objects their owner if it is known.

    A pod gets the UID of its Record too, which its containers can read.
    """
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


def names_only_record_uid(error: ConflictError) -> bool:
    """Whether other managers own no more of a body than the UID of the pod's Record."""
    fields = {owner.field for owner in error.owners}
    return fields == {f".metadata.annotations.{ANNOTATION_RECORD_UID}"}


def without_record_uid(body: KubeObject) -> KubeObject:
    """Leave the annotation with the UID of the pod's Record to its other manager."""
    annotations = dict(body["metadata"]["annotations"])
    annotations.pop(ANNOTATION_RECORD_UID, None)
    return with_metadata(body, {"annotations": annotations})


def apply_dry_run(cluster: Cluster, body: KubeObject, *, force: bool = False) -> KubeObject:
    """Apply a body as a dry run, which changes nothing; errors as for `Cluster.apply`."""
    return cluster.apply(body, ApplyOptions(FIELD_MANAGER, force=force, dry_run=True))
