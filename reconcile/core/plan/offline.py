"""Manifests as a server would hold them that is in sync with them: live state without a cluster."""

import copy
from typing import Any, Final

from reconcile.core.defaulting import add_address, add_to_pod, add_tolerations, set_defaults
from reconcile.core.fields.managed_fields import fields_of
from reconcile.core.fields.merge_schema import schema_of
from reconcile.core.fields.zero_values import stored
from reconcile.core.model import MANAGER, KubeObject, Manifest, ObjectRef, record_of
from reconcile.core.plan.owners import owner_reference, with_owner

_TIME: Final = "1970-01-01T00:00:00Z"
_VERSION: Final = "0"
_ADDRESS: Final = "(allotted by the server)"
_RUNNING: Final = {"phase": "Running"}


def as_live(manifest: Manifest) -> KubeObject:
    """Give an object defaults, identity, owner, and ownership of all that is declared.

    A pod has begun its work.
    """
    declared = manifest.body
    if manifest.ref != (record := record_of(manifest.session)):
        owner = owner_reference(manifest.session, _uid(record))
        declared = with_owner(declared, owner)
    live = _completed(declared)
    live["metadata"] = {
        **live["metadata"],
        "uid": _uid(manifest.ref),
        "resourceVersion": _VERSION,
        "creationTimestamp": _TIME,
        "managedFields": [
            {
                "manager": MANAGER,
                "operation": "Apply",
                "apiVersion": manifest.kind.api_version,
                "time": _TIME,
                "fieldsType": "FieldsV1",
                "fieldsV1": fields_of(declared, schema_of(manifest.kind)),
            }
        ],
    }
    if manifest.kind.name == "Pod":
        live["status"] = _RUNNING
    return live


def _completed(declared: KubeObject) -> dict[str, Any]:
    live: dict[str, Any] = stored(copy.deepcopy(dict(declared)))
    try:
        set_defaults(live)
        _admit(live)
    except (AttributeError, KeyError, TypeError, ValueError):
        # A template may render what no server would take. It is then as it was written: nobody
        # can know what would have become of it.
        return copy.deepcopy(dict(declared))
    return live


def _admit(live: dict[str, Any]) -> None:
    match live["kind"]:
        case "Pod":
            add_to_pod(live["spec"])
            add_tolerations(live["spec"])
        case "Service":
            add_address(live["spec"], _ADDRESS)
        case _:
            pass


def _uid(ref: ObjectRef) -> str:
    return f"({ref})"
