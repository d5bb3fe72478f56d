"""What one session needs, before any policy or budget has had its say.

Owner references: a session's objects belong to its Record, so that nothing is orphaned.
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
    FieldChange,
    ForcesReplace,
    Hold,
    HoldReason,
    Keep,
    LiveRef,
    Metadata,
    Patch,
    Replace,
    RestartsContainer,
)
from reconcile.core.fields.diff import Operation
from reconcile.core.manifest import order_of
from reconcile.core.model import (
    KubeObject,
    Manifest,
    ObjectRef,
    SessionId,
    State,
    Wanted,
    record_of,
)
from reconcile.core.plan.adoption import Strangers
from reconcile.core.plan.live_state import Differs, Same, Sighting, Unwanted, judge

UNKNOWN_UID: Final = "(known after apply)"
"""Stands for the UID of a Record that the same plan creates."""

_PATH: Final = "/metadata/ownerReferences"


def owner_reference(session: SessionId, uid: str) -> dict[str, Any]:
    """Refer to a session's Record; it does not block its own deletion (no right to finalizers)."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": record_of(session).name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def with_owner(body: KubeObject, owner: Mapping[str, Any]) -> dict[str, Any]:
    """Add the owner to an object that is to be applied."""
    return {**body, "metadata": {**body["metadata"], "ownerReferences": [owner]}}


def judge_owner(
    verdict: Same | Differs, owners: Sequence[Mapping[str, Any]], owner: Mapping[str, Any]
) -> Same | Differs:
    """Add to a verdict what is wrong with the owner references, if anything is.

    Another controller gives way, since an object has but one; other owners stay.
    """
    if any(known.get("uid") == owner["uid"] and known.get("controller") for known in owners):
        return verdict
    others = [each for each in owners if each["uid"] != owner["uid"] and not each.get("controller")]
    wanted = [*others, owner]
    change = FieldChange(
        path="metadata.ownerReferences",
        before=list(owners) or ABSENT,
        after=wanted,
        effect=Metadata(),
        cause=Drift() if owners or isinstance(verdict, Same) else Commit(),
        at=("metadata", "ownerReferences"),
    )
    operation = {"op": "replace" if owners else "add", "path": _PATH, "value": wanted}
    return _added(verdict, change, operation)


def _added(verdict: Same | Differs, change: FieldChange, operation: Operation) -> Differs:
    if isinstance(verdict, Same):
        return Differs((change,), (operation,), contested=False)
    fields, operations = (*verdict.fields, change), (operation, *verdict.operations)
    return replace(verdict, fields=fields, operations=operations)


_ENDED = frozenset({"Succeeded", "Failed"})


def wanted_changes(
    wanted: Wanted, sightings: Sequence[Sighting], strangers: Strangers
) -> tuple[Change, ...]:
    """Order the changes of a session that is wanted: a pod that stops, what is there, what goes."""
    seen = {sighting.ref: sighting for sighting in sightings}
    record = seen.get(wanted.manifests[0].ref)
    owner = owner_reference(wanted.session.id, record.live.uid if record else UNKNOWN_UID)
    kept = [
        _present(manifest, seen[manifest.ref], owner)
        if manifest.ref in seen
        else _absent(manifest, strangers, owner)
        for manifest in wanted.manifests
    ]
    deletes = list(_deletes(wanted, [s for s in sightings if isinstance(s.verdict, Unwanted)]))
    stops = [delete for delete in deletes if delete.reason is DeleteReason.SESSION_STOPPED]
    drops = [delete for delete in deletes if delete.reason is not DeleteReason.SESSION_STOPPED]
    return (*stops, *kept, *drops)


def removed_changes(sightings: Iterable[Sighting]) -> tuple[Change, ...]:
    """End a session whose file is gone: pod first, Record last."""
    return tuple(
        _delete(sighting, DeleteReason.SESSION_REMOVED)
        for sighting in sorted(sightings, key=_end_order)
    )


def _end_order(sighting: Sighting) -> tuple[bool, int, ObjectRef]:
    is_record = sighting.ref == record_of(sighting.session)
    return is_record, -order_of(sighting.kind), sighting.ref


def _deletes(wanted: Wanted, unwanted: Iterable[Sighting]) -> Iterator[Delete]:
    stopped = wanted.session.state is State.STOPPED
    for sighting in sorted(unwanted, key=_end_order):
        is_stop = stopped and sighting.kind.name == "Pod"
        yield _delete(
            sighting, DeleteReason.SESSION_STOPPED if is_stop else DeleteReason.NOT_RENDERED
        )


def _delete(sighting: Sighting, reason: DeleteReason) -> Delete:
    return Delete(sighting.ref, sighting.kind, sighting.live, reason, begun=sighting.terminating)


def _absent(manifest: Manifest, strangers: Strangers, owner: Mapping[str, object]) -> Change:
    stranger = strangers.adoptable.get(manifest.ref)
    if stranger is not None:
        return _adoption(manifest, stranger, owner)
    create = Create(manifest)
    return Hold(create, HoldReason.TAKEN) if manifest.ref in strangers.taken else create


def _adoption(manifest: Manifest, stranger: KubeObject, owner: Mapping[str, object]) -> Change:
    metadata = stranger["metadata"]
    live = LiveRef(metadata["uid"], metadata["resourceVersion"])
    verdict = judge(manifest, stranger)
    if manifest.ref != record_of(manifest.session):
        verdict = judge_owner(verdict, metadata.get("ownerReferences") or (), owner)
    if isinstance(verdict, Same):
        return Patch(manifest, live, (), (), force=True, adopts=True)
    # It was never ours: what others wrote there is what we take over, and no drift.
    fields = tuple(replace(field, cause=Commit()) for field in verdict.fields)
    if any(map(is_forced, fields)):
        return Hold(Replace(manifest, live, fields), HoldReason.CANNOT_ADOPT)
    return Patch(manifest, live, fields, verdict.operations, force=True, adopts=True)


def _present(manifest: Manifest, sighting: Sighting, owner: Mapping[str, object]) -> Change:
    verdict = sighting.verdict
    assert not isinstance(verdict, Unwanted)
    if sighting.terminating:
        return Hold(Create(manifest), HoldReason.TERMINATING)
    if manifest.ref != record_of(manifest.session):
        verdict = judge_owner(verdict, sighting.owners, owner)
    if isinstance(verdict, Same):
        return Keep(sighting.ref, sighting.live, verdict.digest)
    return _changed(manifest, sighting, verdict)


def _changed(manifest: Manifest, sighting: Sighting, verdict: Differs) -> Action:
    ended = sighting.phase in _ENDED
    fields = tuple(_as_replacement(field) if ended else field for field in verdict.fields)
    if any(map(is_forced, fields)):
        return Replace(manifest, sighting.live, fields)
    return Patch(manifest, sighting.live, fields, verdict.operations, force=verdict.contested)


def is_forced(field: FieldChange) -> bool:
    """Tell whether the object must be replaced for this field."""
    return isinstance(field.effect, ForcesReplace)


def _as_replacement(field: FieldChange) -> FieldChange:
    """In a pod that has ended nothing restarts by itself: a new image needs a new pod."""
    if not isinstance(field.effect, RestartsContainer):
        return field
    return replace(field, effect=ForcesReplace())
