"""Builders of sessions, manifests, live objects and plans, with defaults for every field.

Live objects are those that a server returns after an apply: with UID, resourceVersion, an owner
reference to the session's Record, and managedFields with our fields.
"""

import copy
from collections.abc import Mapping
from typing import Any

from reconcile.core.changes import Hold, LiveRef, Plan
from reconcile.core.fields.managed_fields import (
    build_field_set,
    find_manager_fields,
    subtract_field_sets,
    union_field_sets,
)
from reconcile.core.fields.merge_schema import merge_schema_for
from reconcile.core.manifest import build_desired_session, build_manifest
from reconcile.core.model import (
    FIELD_MANAGER,
    LABEL_INSTALLATION,
    LABEL_SESSION,
    DesiredSession,
    DesiredState,
    Kind,
    Manifest,
    ObjectRef,
    Origin,
    Policy,
    Session,
    SessionId,
    SessionState,
    UpdateStrategy,
)
from reconcile.core.plan.adoption import ForeignObjects
from reconcile.core.plan.live_state import LiveState, observe
from reconcile.core.plan.planner import make_plan
from reconcile.core.plan.session_changes import build_owner_reference, with_owner

INSTALLATION = "default"
REVISION = "0123abc"
NAMESPACE = "team-a"
NAME = "fix-login"
KINDS = tuple(
    Kind(api_version, name)
    for api_version, name in (
        ("v1", "ConfigMap"),
        ("v1", "ServiceAccount"),
        ("v1", "Secret"),
        ("v1", "PersistentVolumeClaim"),
        ("networking.k8s.io/v1", "NetworkPolicy"),
        ("v1", "Service"),
        ("v1", "Pod"),
    )
)
"""The kinds of the objects that a session can have."""

TIME = "2024-05-01T10:00:00Z"
KUBECTL_TIME = "2024-05-02T11:30:00Z"


def session_id(name=NAME, namespace=NAMESPACE) -> SessionId:
    return SessionId(namespace, name)


def session(name=NAME, namespace=NAMESPACE, **fields) -> Session:
    """A running session with an empty spec; `fields` are those of `Session`."""
    defaults = {
        "id": SessionId(namespace, name),
        "origin": Origin(f"desired/{namespace}/{name}.yaml", 1, 1),
        "state": SessionState.RUNNING,
        "strategy": UpdateStrategy.WHEN_STOPPED,
        "labels": {},
        "annotations": {},
        "spec": {"displayName": None},
        "digest": f"sha256:{namespace}/{name}",
    }
    return Session(**{**defaults, **fields})


def body(kind: str, name: str, api_version="v1", metadata=None, **fields) -> dict[str, Any]:
    """An object in the form that a template renders."""
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": name, **(metadata or {})},
        **fields,
    }


def container(**fields) -> dict[str, Any]:
    return {"name": "runner", "image": "runner:1", **fields}


def pod(name=f"{NAME}-runner", *, metadata=None, containers=None, **spec) -> dict[str, Any]:
    """A pod with one container; `spec` are further fields of its spec."""
    containers = [container()] if containers is None else containers
    return body("Pod", name, metadata=metadata, spec={"containers": containers, **spec})


def service(name=NAME, *, metadata=None, **spec) -> dict[str, Any]:
    ports = [{"name": "agui", "port": 8001, "protocol": "TCP", "targetPort": "agui"}]
    return body(
        "Service", name, metadata=metadata, spec={"selector": {"app": "a"}, "ports": ports, **spec}
    )


def config_map(name=f"{NAME}-inputs", *, metadata=None, data=None, **fields) -> dict[str, Any]:
    data = {"INITIAL_PROMPT": "hello"} if data is None else data
    return body("ConfigMap", name, metadata=metadata, data=data, **fields)


def manifest(rendered, of: Session | None = None, installation=INSTALLATION) -> Manifest:
    """The manifest of one rendered body."""
    source = f"{rendered['kind'].lower()}.yaml.j2"
    return build_manifest(rendered, of or session(), installation, source)


def wanted(*rendered, of: Session | None = None, installation=INSTALLATION) -> DesiredSession:
    """A desired session with these bodies, by default a ConfigMap, a Service and a Pod."""
    of = of or session()
    bodies = rendered or session_bodies(of.id.name)
    return build_desired_session(
        of, installation, [manifest(each, of, installation) for each in bodies]
    )


def session_bodies(name=NAME) -> tuple[dict[str, Any], ...]:
    """The smallest realistic set of objects of a session besides its Record."""
    return pod(f"{name}-runner"), service(name), config_map(f"{name}-inputs")


def desired(*sessions: DesiredSession, policy: Policy | None = None, **fields) -> DesiredState:
    """One revision; `fields` are those of `DesiredState`."""
    return DesiredState(
        policy=policy or Policy(), revision=REVISION, sessions=tuple(sessions), **fields
    )


def desired_by(of: Plan, *, policy: Policy | None = None) -> DesiredState:
    """The desired state of a plan: one session, with the manifests of all changes."""
    unheld = (each.change if isinstance(each, Hold) else each for each in of.changes)
    manifests = {each.ref: each.manifest for each in unheld if hasattr(each, "manifest")}
    return desired(DesiredSession(session(), tuple(manifests.values())), policy=policy)


def ref_of(kind: str, name: str, namespace=NAMESPACE) -> ObjectRef:
    """The identity of an object of one of KINDS."""
    [group] = [each.group for each in KINDS if each.name == kind]
    return ObjectRef(group, kind, namespace, name)


def kind_of(obj: Mapping[str, Any]) -> Kind:
    """The kind of a live object or a body."""
    return Kind(obj["apiVersion"], obj["kind"])


def ref_of_object(obj: Mapping[str, Any]) -> ObjectRef:
    """The identity of a live object, whatever its kind."""
    kind, metadata = kind_of(obj), obj["metadata"]
    return ObjectRef(kind.group, kind.name, metadata["namespace"], metadata["name"])


def uid_of(ref: ObjectRef) -> str:
    """The UID of live objects in tests: equal identities have equal UIDs."""
    return f"uid-{ref.kind}-{ref.namespace}-{ref.name}".lower()


def live_ref(ref: ObjectRef, resource_version="1") -> LiveRef:
    return LiveRef(uid_of(ref), resource_version)


def live(of: Manifest, *, owner_uid: str | None = None, resource_version="1") -> dict[str, Any]:
    """The live object of a manifest after its first apply; `owner_uid` is the UID of its owner."""
    return applied(
        {
            "apiVersion": of.kind.api_version,
            "kind": of.kind.name,
            "metadata": {
                "name": of.ref.name,
                "namespace": of.ref.namespace,
                "uid": uid_of(of.ref),
                "resourceVersion": resource_version,
                "creationTimestamp": TIME,
            },
        },
        body_with_owner(of, owner_uid),
    )


def body_with_owner(of: Manifest, owner_uid: str | None) -> dict[str, Any]:
    """The body to apply: that of the manifest with its owner."""
    result = copy.deepcopy(dict(of.body))
    if owner_uid is None:
        return result
    return with_owner(result, build_owner_reference(of.session, owner_uid))


def applied(before: Mapping[str, Any], apply: Mapping[str, Any]) -> dict[str, Any]:
    """Merge a body into an object and let our manager own its fields, as an apply does."""
    result = copy.deepcopy({**before, **apply})
    result["metadata"] = copy.deepcopy({**before["metadata"], **apply["metadata"]})
    return owned(result, apply)


def owned(obj: dict[str, Any], apply: Mapping[str, Any]) -> dict[str, Any]:
    """Set our entry in managedFields to the fields of this body. Changes `obj`."""
    kind = Kind(apply["apiVersion"], apply["kind"])
    return manage(
        obj,
        FIELD_MANAGER,
        build_field_set(apply, merge_schema_for(kind)),
        operation="Apply",
        time=TIME,
    )


def live_session(
    of: DesiredSession, *, resource_version="1", pod_phase="Running"
) -> list[dict[str, Any]]:
    """All live objects of a session: the Record and its dependents."""
    record, *others = of.manifests
    uid = uid_of(record.ref)
    objects = [live(record, resource_version=resource_version)]
    objects += [live(m, owner_uid=uid, resource_version=resource_version) for m in others]
    return [in_phase(obj, pod_phase) if obj["kind"] == "Pod" else obj for obj in objects]


def in_phase(obj: Mapping[str, Any], phase: str) -> dict[str, Any]:
    """A live pod in a phase; in `Pending` no container has started."""
    states = {
        "Pending": {"waiting": {"reason": "ContainerCreating"}},
        "Running": {"running": {"startedAt": TIME}},
        "Succeeded": {"terminated": {"exitCode": 0, "startedAt": TIME, "finishedAt": TIME}},
        "Failed": {"terminated": {"exitCode": 1, "startedAt": TIME, "finishedAt": TIME}},
    }
    statuses = [
        {"name": each["name"], "ready": phase == "Running", "state": states[phase]}
        for each in obj["spec"]["containers"]
    ]
    return {**obj, "status": {"phase": phase, "containerStatuses": statuses}}


def terminating(obj: Mapping[str, Any]) -> dict[str, Any]:
    return {**obj, "metadata": {**obj["metadata"], "deletionTimestamp": TIME}}


def manage(
    obj: dict[str, Any], manager: str, fields, *, operation="Update", time=KUBECTL_TIME
) -> dict[str, Any]:
    """Set one manager's entry in managedFields; empty fields remove it. Changes `obj`."""
    entries = obj["metadata"].get("managedFields", [])
    others = [e for e in entries if (e["manager"], e["operation"]) != (manager, operation)]
    entry = {
        "manager": manager,
        "operation": operation,
        "apiVersion": obj["apiVersion"],
        "time": time,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }
    obj["metadata"]["managedFields"] = [*others, entry] if fields else others
    return obj


def taken_over(obj: dict[str, Any], fields, manager="kubectl-edit", **entry) -> dict[str, Any]:
    """Move the ownership of some fields to another manager, as its update of them does."""
    ours = subtract_field_sets(find_manager_fields(obj, FIELD_MANAGER) or {}, fields)
    theirs = union_field_sets(
        find_manager_fields(obj, manager, entry.get("operation", "Update")) or {}, fields
    )
    manage(obj, FIELD_MANAGER, ours, operation="Apply", time=TIME)
    return manage(obj, manager, theirs, **entry)


def co_owned(obj: dict[str, Any], fields, manager="kubectl-edit", **entry) -> dict[str, Any]:
    """Let another manager share the ownership of some fields, as its apply of equal values does."""
    return manage(obj, manager, fields, **entry)


def foreign_object(of: Manifest, **metadata) -> dict[str, Any]:
    """An object with a manifest's name that another client created, without our labels."""
    obj = live(of)
    labels = {
        name: value
        for name, value in obj["metadata"]["labels"].items()
        if name not in {LABEL_INSTALLATION, LABEL_SESSION}
    }
    obj["metadata"] = {**obj["metadata"], "labels": labels, "annotations": {}, **metadata}
    return manage(obj, FIELD_MANAGER, {}, operation="Apply")


def live_state_of(of: DesiredState, objects=(), memo=None) -> LiveState:
    """The live state for a desired state and some live objects."""
    return observe(of, objects, memo or {})


def plan(of: DesiredState, objects=(), foreign: ForeignObjects | None = None, *, prune=True):
    """The plan for some live objects; `foreign` are objects of others with our names."""
    return make_plan(of, live_state_of(of, objects), foreign or ForeignObjects(), prune=prune)
