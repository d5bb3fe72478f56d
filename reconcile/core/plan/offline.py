"""Manifests as a server would hold them that is in sync with them: live state without a cluster.

What one revision changes against another: the same plan, with the other one as live state.
"""

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from reconcile.core.budget_usage import Spent
from reconcile.core.changes import Keep, Plan
from reconcile.core.defaulting import add_address, add_to_pod, add_tolerations, set_defaults
from reconcile.core.fields.managed_fields import fields_of
from reconcile.core.fields.merge_schema import schema_of
from reconcile.core.fields.zero_values import stored
from reconcile.core.model import MANAGER, Desired, KubeObject, Manifest, ObjectRef, record_of
from reconcile.core.plan.adoption import Strangers, missing
from reconcile.core.plan.live_state import Sight, observe
from reconcile.core.plan.planner import make_plan
from reconcile.core.plan.session_changes import owner_reference, with_owner

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


def plan_against(old: Desired, new: Desired, *, prune: bool) -> Plan:
    """Plan as for a cluster that is in sync with `old`, in which every pod has begun its work.

    Sessions of `old` that are broken are not known to live. Sessions that stay wholly as they are
    are left out, and nothing is remembered of budgets.
    """
    lost = lost_namespaces(old, new)
    manifests = (m for wanted in old.sessions for m in wanted.manifests)
    live = {m.ref: as_live(m) for m in manifests if m.ref.namespace not in lost}
    sight = observe(new, live.values(), {})
    plan = make_plan(new, sight, _strangers(new, sight, live), prune=prune)
    changed = tuple(s for s in plan.sessions if not all(isinstance(c, Keep) for c in s.changes))
    return replace(plan, sessions=changed, spent=Spent())


def lost_namespaces(old: Desired, new: Desired) -> frozenset[str]:
    """List the namespaces in which nothing of `old` is found any more.

    Every namespace in use leads to all the others, by the inventory in it. Where `new` names none
    of them, what lives there is not seen, and goes on.
    """
    used = frozenset(wanted.session.id.namespace for wanted in old.sessions)
    named = new.namespaces | new.policy.namespaces
    return frozenset() if used & named else used


def _strangers(new: Desired, sight: Sight, live: Mapping[ObjectRef, KubeObject]) -> Strangers:
    """What `old` made for another installation has its names, and is not ours."""
    lacking = missing(new, sight).values()
    wanted = (manifest.ref for names in lacking for manifest in names.values())
    return Strangers(frozenset(ref for ref in wanted if ref in live))
