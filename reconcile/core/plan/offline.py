"""Manifests as a server would hold them that is in sync with them: live state without a cluster.

What one revision changes against another: the same plan, with the other one as live state.
"""

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from reconcile.core.budget_usage import BudgetUsage
from reconcile.core.changes import Keep, Plan
from reconcile.core.defaulting import (
    add_default_tolerations,
    set_account_and_priority,
    set_cluster_ip,
    set_defaults,
)
from reconcile.core.fields.managed_fields import build_field_set
from reconcile.core.fields.merge_schema import merge_schema_for
from reconcile.core.fields.zero_values import normalize_stored
from reconcile.core.model import (
    FIELD_MANAGER,
    DesiredState,
    KubeObject,
    Manifest,
    ObjectRef,
    build_record_ref,
)
from reconcile.core.plan.adoption import ForeignObjects, find_missing_manifests
from reconcile.core.plan.live_state import LiveState, observe
from reconcile.core.plan.planner import make_plan
from reconcile.core.plan.session_changes import build_owner_reference, with_owner

_TIME: Final = "1970-01-01T00:00:00Z"
_VERSION: Final = "0"
_ADDRESS: Final = "(allotted by the server)"
_RUNNING: Final = {"phase": "Running"}


def simulate_live(manifest: Manifest) -> KubeObject:
    """Give an object defaults, identity, owner, and ownership of all that is declared.

    A pod has begun its work.
    """
    declared = manifest.body
    if manifest.ref != (record := build_record_ref(manifest.session)):
        owner = build_owner_reference(manifest.session, _simulated_uid(record))
        declared = with_owner(declared, owner)
    live = _fill_defaults(declared)
    live["metadata"] = {
        **live["metadata"],
        "uid": _simulated_uid(manifest.ref),
        "resourceVersion": _VERSION,
        "creationTimestamp": _TIME,
        "managedFields": [
            {
                "manager": FIELD_MANAGER,
                "operation": "Apply",
                "apiVersion": manifest.kind.api_version,
                "time": _TIME,
                "fieldsType": "FieldsV1",
                "fieldsV1": build_field_set(declared, merge_schema_for(manifest.kind)),
            }
        ],
    }
    if manifest.kind.name == "Pod":
        live["status"] = _RUNNING
    return live


def _fill_defaults(declared: KubeObject) -> dict[str, Any]:
    live: dict[str, Any] = normalize_stored(copy.deepcopy(dict(declared)))
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
            set_account_and_priority(live["spec"])
            add_default_tolerations(live["spec"])
        case "Service":
            set_cluster_ip(live["spec"], _ADDRESS)
        case _:
            pass


def _simulated_uid(ref: ObjectRef) -> str:
    return f"({ref})"


def plan_offline(old: DesiredState, new: DesiredState, *, prune: bool) -> Plan:
    """Plan as for a cluster that is in sync with `old`, in which every pod has begun its work.

    Sessions of `old` that are broken are not known to live. Sessions that stay wholly as they are
    are left out, and nothing is remembered of budgets.
    """
    lost = find_lost_namespaces(old, new)
    manifests = (m for wanted in old.sessions for m in wanted.manifests)
    live = {m.ref: simulate_live(m) for m in manifests if m.ref.namespace not in lost}
    sight = observe(new, live.values(), {})
    plan = make_plan(new, sight, _find_foreign_objects(new, sight, live), prune=prune)
    changed = tuple(s for s in plan.sessions if not all(isinstance(c, Keep) for c in s.changes))
    return replace(plan, sessions=changed, budget_usage=BudgetUsage())


def find_lost_namespaces(old: DesiredState, new: DesiredState) -> frozenset[str]:
    """List the namespaces in which nothing of `old` is found any more.

    Every namespace in use leads to all the others, by the inventory in it. Where `new` names none
    of them, what lives there is not seen, and goes on.
    """
    used = frozenset(wanted.session.id.namespace for wanted in old.sessions)
    named = new.namespaces | new.policy.namespaces
    return frozenset() if used & named else used


def _find_foreign_objects(
    new: DesiredState, live_state: LiveState, live: Mapping[ObjectRef, KubeObject]
) -> ForeignObjects:
    """What `old` made for another installation has its names, and is not ours."""
    lacking = find_missing_manifests(new, live_state).values()
    wanted = (manifest.ref for names in lacking for manifest in names.values())
    return ForeignObjects(frozenset(ref for ref in wanted if ref in live))
