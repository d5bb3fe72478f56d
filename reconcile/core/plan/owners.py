"""Owner references: a session's objects belong to its Record, so that nothing is orphaned."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from reconcile.core.changes import ABSENT, Commit, Drift, FieldChange, Metadata
from reconcile.core.fields.diff import Operation
from reconcile.core.model import KubeObject, SessionId, record_of
from reconcile.core.plan.verdict import Differs, Same

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
