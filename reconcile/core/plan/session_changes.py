"""The changes of one session, before policy and budgets are checked.

Each object of a session has an owner reference to its Record, so that none is orphaned.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from reconcile.core.changes import (
    ABSENT,
    Action,
    Change,
    Commit,
    Create,
    Delete,
    DeleteReason,
    Drift,
    EndedPod,
    FieldChange,
    FlushTrace,
    ForcesReplace,
    Hold,
    HoldReason,
    Keep,
    LiveRef,
    MetadataOnly,
    Patch,
    Replace,
    RestartsContainer,
)
from reconcile.core.fields.diff import PatchOperation
from reconcile.core.manifest import creation_order
from reconcile.core.model import (
    ANNOTATION_RECORD_UID,
    DesiredSession,
    KubeObject,
    Manifest,
    ObjectRef,
    SessionId,
    SessionState,
    build_record_ref,
)
from reconcile.core.plan.adoption import ForeignObjects, find_unlabelled_owners, is_adoptable
from reconcile.core.plan.live_state import (
    START_FAILURE,
    InSync,
    LiveObject,
    OutOfSync,
    Undeclared,
    changes_inputs,
    compare,
    observe_unlabelled,
)
from reconcile.core.record import AdmittedValues, follow_flush, parse_record_status

UNKNOWN_UID: Final = "(known after apply)"
"""Stands for the UID of a Record that the same plan creates."""

_OWNER_REFERENCES_POINTER: Final = "/metadata/ownerReferences"


def build_owner_reference(session: SessionId, uid: str) -> dict[str, Any]:
    """Build a reference to a session's Record.

    It does not block the deletion of its owner: that would need a permission for finalizers.
    """
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": build_record_ref(session).name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def with_owner(body: KubeObject, owner: Mapping[str, Any]) -> dict[str, Any]:
    """Add the owner reference to a body that is to be applied; a pod gets the owner's UID too."""
    metadata = {**body["metadata"], "ownerReferences": [owner]}
    if body["kind"] == "Pod":
        declared = metadata.get("annotations", {})
        metadata["annotations"] = {**declared, ANNOTATION_RECORD_UID: owner["uid"]}
    return {**body, "metadata": metadata}


def compare_owner(
    comparison: InSync | OutOfSync, owners: Sequence[Mapping[str, Any]], owner: Mapping[str, Any]
) -> InSync | OutOfSync:
    """Add the difference of the owner references to a comparison, if there is one.

    Another controller is replaced, since an object has only one; other owners are kept.
    """
    if any(each.get("uid") == owner["uid"] and each.get("controller") for each in owners):
        return comparison
    others = [each for each in owners if each["uid"] != owner["uid"] and not each.get("controller")]
    wanted = [*others, owner]
    change = FieldChange(
        path="metadata.ownerReferences",
        before=list(owners) or ABSENT,
        after=wanted,
        effect=MetadataOnly(),
        cause=Drift() if owners or isinstance(comparison, InSync) else Commit(),
        field_path=("metadata", "ownerReferences"),
    )
    operation = {
        "op": "replace" if owners else "add",
        "path": _OWNER_REFERENCES_POINTER,
        "value": wanted,
    }
    return _add_change(comparison, change, operation)


def _add_change(
    comparison: InSync | OutOfSync, change: FieldChange, operation: PatchOperation
) -> OutOfSync:
    if isinstance(comparison, InSync):
        return OutOfSync((change,), (operation,), has_conflict=False)
    fields, operations = (*comparison.fields, change), (operation, *comparison.operations)
    return replace(comparison, fields=fields, operations=operations)


_ENDED_PHASES = frozenset({"Succeeded", "Failed"})


def plan_desired_session(
    wanted: DesiredSession, live_objects: Sequence[LiveObject], foreign: ForeignObjects
) -> tuple[Change, ...]:
    """Plan a desired session in order: pods that stop, desired objects, other deletes."""
    existing = {each.ref: each for each in live_objects}
    record = existing.get(wanted.manifests[0].ref)
    owner = build_owner_reference(wanted.session.id, record.live.uid if record else UNKNOWN_UID)
    status = parse_record_status(record.record_status if record else "")
    changes = [
        _plan_existing(manifest, existing[manifest.ref], owner)
        if manifest.ref in existing
        else _plan_missing(manifest, foreign, owner, status.admitted_values(manifest.ref))
        for manifest in wanted.manifests
    ]
    unwanted = [each for each in live_objects if isinstance(each.comparison, Undeclared)]
    stops = [each for each in unwanted if _is_stopped(wanted, each)]
    drops = [each for each in unwanted if not _is_stopped(wanted, each)]
    return (
        *_plan_deletes(stops, DeleteReason.SESSION_STOPPED),
        *changes,
        *_plan_deletes(drops, DeleteReason.NOT_RENDERED),
    )


def find_ended_pods(
    wanted: DesiredSession, live_objects: Iterable[LiveObject]
) -> tuple[EndedPod, ...]:
    """Find the pods whose work has ended: in the cluster or, if the pod is gone, in the Record."""
    existing = {each.ref: each for each in live_objects}
    record = existing.get(wanted.manifests[0].ref)
    status = parse_record_status(record.record_status if record else "")
    remembered = {each.name: each for each in status.ended}
    ends = (
        _find_end(existing.get(manifest.ref), remembered.get(manifest.ref.name))
        for manifest in wanted.manifests
        if manifest.kind.name == "Pod"
    )
    return tuple(end for end in ends if end is not None)


def find_flush(wanted: DesiredSession, live_objects: Sequence[LiveObject]) -> FlushTrace:
    """Find what the pods of a session show of their last flush, and what the Record knows."""
    record = build_record_ref(wanted.session.id)
    statuses = [each.record_status for each in live_objects if each.ref == record]
    mirrors = {each.live.uid: each.mirror for each in live_objects if each.mirror is not None}
    return follow_flush(parse_record_status("".join(statuses)).flush, mirrors)


def _find_end(live: LiveObject | None, remembered: EndedPod | None) -> EndedPod | None:
    return remembered if live is None or (live.is_terminating and not live.ended) else live.ended


def plan_removed_session(live_objects: Iterable[LiveObject]) -> tuple[Change, ...]:
    """Delete a session whose file is gone: pod first, Record last."""
    return tuple(_plan_deletes(live_objects, DeleteReason.SESSION_REMOVED))


def _deletion_order(live_object: LiveObject) -> tuple[bool, int, ObjectRef]:
    is_record = live_object.ref == build_record_ref(live_object.session)
    return is_record, -creation_order(live_object.kind), live_object.ref


def _is_stopped(wanted: DesiredSession, live_object: LiveObject) -> bool:
    """Whether an object is unwanted only as its session is stopped."""
    return wanted.session.state is SessionState.STOPPED and live_object.kind.name == "Pod"


def _plan_deletes(unwanted: Iterable[LiveObject], reason: DeleteReason) -> Iterator[Delete | Hold]:
    for each in sorted(unwanted, key=_deletion_order):
        delete = Delete(each.ref, each.kind, each.live, reason, is_terminating=each.is_terminating)
        is_stuck = each.waits_for_finalizer
        yield Hold(delete, HoldReason.FINALIZER) if is_stuck else delete


def _plan_missing(
    manifest: Manifest,
    foreign: ForeignObjects,
    owner: Mapping[str, object],
    admitted: AdmittedValues,
) -> Change:
    create = Create(manifest)
    present = foreign.adoptable.get(manifest.ref)
    if present is None:
        return Hold(create, HoldReason.TAKEN) if manifest.ref in foreign.conflicts else create
    metadata = present["metadata"]
    owners = find_unlabelled_owners(metadata)
    if any(each.get("uid") == owner["uid"] for each in owners):
        # Its label is lost, but its owner is our Record: the label is put back.
        return _plan_existing(manifest, observe_unlabelled(manifest, present, admitted), owner)
    if owners and not is_adoptable(manifest, metadata):
        return Hold(create, HoldReason.TAKEN)
    return _plan_adoption(manifest, present, owner)


def _plan_adoption(
    manifest: Manifest, foreign_object: KubeObject, owner: Mapping[str, object]
) -> Change:
    metadata = foreign_object["metadata"]
    live = LiveRef(metadata["uid"], metadata["resourceVersion"])
    comparison = compare(manifest, foreign_object)
    if manifest.ref != build_record_ref(manifest.session):
        comparison = compare_owner(comparison, metadata.get("ownerReferences") or (), owner)
    if isinstance(comparison, InSync):
        return Patch(manifest, live, (), (), force=True, adopts=True)
    # The object was never ours: values of other managers are not drift.
    fields = tuple(replace(field, cause=Commit()) for field in comparison.fields)
    if any(map(forces_replacement, fields)):
        return Hold(Replace(manifest, live, fields), HoldReason.CANNOT_ADOPT)
    return Patch(manifest, live, fields, comparison.operations, force=True, adopts=True)


def _plan_existing(
    manifest: Manifest, live_object: LiveObject, owner: Mapping[str, object]
) -> Change:
    comparison = live_object.comparison
    assert not isinstance(comparison, Undeclared)
    if live_object.waits_for_finalizer:
        return Hold(Create(manifest), HoldReason.FINALIZER)
    if live_object.is_terminating:
        return Hold(Create(manifest), HoldReason.TERMINATING)
    if manifest.ref != build_record_ref(manifest.session):
        comparison = compare_owner(comparison, live_object.owners, owner)
    if live_object.failed_to_start:
        fields = comparison.fields if isinstance(comparison, OutOfSync) else ()
        return Replace(manifest, live_object.live, (START_FAILURE, *fields))
    if isinstance(comparison, InSync):
        return Keep(live_object.ref, live_object.live, comparison.digest)
    return _plan_update(manifest, live_object, comparison)


def _plan_update(manifest: Manifest, live_object: LiveObject, comparison: OutOfSync) -> Action:
    ended = live_object.phase in _ENDED_PHASES or live_object.ended is not None
    fields = tuple(_as_replacement(field) if ended else field for field in comparison.fields)
    if any(map(forces_replacement, fields)):
        return Replace(manifest, live_object.live, fields)
    return Patch(
        live_object.manifest or manifest,
        live_object.live,
        fields,
        comparison.operations,
        force=comparison.has_conflict,
    )


def forces_replacement(field: FieldChange) -> bool:
    """Whether the object must be replaced for this field."""
    return isinstance(field.effect, ForcesReplace)


def _as_replacement(field: FieldChange) -> FieldChange:
    """In a pod that has ended nothing restarts or reads: new images and inputs need a new pod."""
    restarts = isinstance(field.effect, RestartsContainer) and field.effect.ends_work
    return replace(field, effect=ForcesReplace()) if restarts or changes_inputs(field) else field
