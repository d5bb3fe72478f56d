"""Manifests as a server would hold them that is in sync with them: live state without a cluster.

What one revision changes against another: the same plan, with the other one as live state.
"""

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

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
from reconcile.core.inventory import BudgetUsage
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
    """Build the live object of a manifest: defaults, identity, owner and managedFields.

    A pod counts as started.
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
        # A template may render what every server refuses; then the body is compared as rendered.
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
    """Plan as for a cluster that is in sync with `old`, in which every pod has started its work.

    Broken sessions of `old` count as not existing. Sessions without changes are left out, and the
    budget usage is empty.
    """
    lost = find_lost_namespaces(old, new)
    manifests = (m for wanted in old.sessions for m in wanted.manifests)
    live = {m.ref: simulate_live(m) for m in manifests if m.ref.namespace not in lost}
    live_state = observe(new, live.values(), {})
    plan = make_plan(new, live_state, _find_foreign_objects(new, live_state, live), prune=prune)
    changed = tuple(s for s in plan.sessions if not all(isinstance(c, Keep) for c in s.changes))
    return replace(plan, sessions=changed, budget_usage=BudgetUsage())


def find_lost_namespaces(old: DesiredState, new: DesiredState) -> frozenset[str]:
    """List the namespaces in which the objects of `old` are not found any more.

    The inventory in every used namespace names all the others. If `new` names none of them, the
    objects there are not found, and continue to run.
    """
    used = frozenset(wanted.session.id.namespace for wanted in old.sessions)
    named = new.namespaces | new.policy.namespaces
    return frozenset() if used & named else used


def _find_foreign_objects(
    new: DesiredState, live_state: LiveState, live: Mapping[ObjectRef, KubeObject]
) -> ForeignObjects:
    """Objects that `old` created for another installation keep their names, and are foreign."""
    missing = find_missing_manifests(new, live_state).values()
    wanted = (manifest.ref for names in missing for manifest in names.values())
    return ForeignObjects(frozenset(ref for ref in wanted if ref in live))
