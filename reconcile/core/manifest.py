"""Turns the bodies that templates render into manifests: what we write, in the order of creation.

Bodies get their final form here, so that comparing with live objects needs no exceptions: nulls
are dropped, `stringData` is folded into `data`, what the API server's list keys need is written
out, and labels, annotations and the digest are set.
"""

import base64
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

from reconcile.core.canonical_json import compute_digest
from reconcile.core.errors import Problem
from reconcile.core.fields.merge_schema import merge_schema_for
from reconcile.core.fields.quantity import stringify_quantities
from reconcile.core.model import (
    ANNOTATION_DIGEST,
    FIELD_MANAGER,
    LABEL_INSTALLATION,
    LABEL_MANAGED_BY,
    LABEL_SESSION,
    RECORD_PREFIX,
    DesiredSession,
    Kind,
    KubeObject,
    Manifest,
    ObjectRef,
    Session,
    SessionId,
    SessionState,
)

RECORD_SOURCE: Final = "(record)"
"""Stands for a template's file name in a Record, which is made without one."""

_BEFORE_OTHERS: Final = (
    "ServiceAccount",
    "Secret",
    "ConfigMap",
    "PersistentVolumeClaim",
    "NetworkPolicy",
    "Role",
    "RoleBinding",
    "Service",
)
_LAST: Final = "Pod"

# Their lists called `ports` are keyed by a protocol that defaults to TCP; server-side apply fails
# without it on older API servers.
_GROUPS_WITH_PORTS: Final = frozenset({"", "apps", "batch", "networking.k8s.io"})


def creation_order(kind: Kind) -> int:
    """Return a kind's rank in the order of creation: accounts and data first, the pod last."""
    if kind.name in _BEFORE_OTHERS:
        return _BEFORE_OTHERS.index(kind.name)
    return len(_BEFORE_OTHERS) + (kind.name == _LAST)


def build_object_ref(kind: Kind, session: SessionId, name: str) -> ObjectRef:
    """Return the identity of one of a session's objects."""
    return ObjectRef(kind.group, kind.name, session.namespace, name)


def build_record_manifest(session: Session, installation: str) -> Manifest:
    """Make a session's Record: the owner of its objects, and what is wanted of it in short.

    It changes only with the session: neither the revision nor a time is in it.
    """
    name = session.spec.get("displayName")
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"{RECORD_PREFIX}{session.id.name}"},
        "data": {
            "displayName": name if isinstance(name, str) else None,
            "state": session.state.value,
        },
    }
    return build_manifest(body, session, installation, RECORD_SOURCE)


def build_manifest(body: KubeObject, session: Session, installation: str, source: str) -> Manifest:
    """Give a rendered body its final form.

    `body` is known to be an object of the session with valid metadata; it is left unchanged.
    """
    kind = Kind(body["apiVersion"], body["kind"])
    settled = _normalize(body, ports=kind.group in _GROUPS_WITH_PORTS)
    settled = stringify_quantities(merge_schema_for(kind), settled)
    if kind == Kind("v1", "Secret"):
        settled = _fold_string_data(settled)
    settled["metadata"] = _add_labels(settled["metadata"], session, installation)
    value = compute_digest(settled)
    settled["metadata"]["annotations"][ANNOTATION_DIGEST] = value
    ref = build_object_ref(kind, session.id, settled["metadata"]["name"])
    return Manifest(ref, kind, session.id, settled, value, source)


def build_desired_session(
    session: Session, installation: str, rendered: Iterable[Manifest]
) -> DesiredSession:
    """Put a session's manifests in the order of creation, behind its Record.

    Kinds of one rank are ordered by kind and name, so that the order of templates is none.
    """
    ordered = sorted(rendered, key=lambda manifest: (creation_order(manifest.kind), manifest.ref))
    record = build_record_manifest(session, installation)
    return DesiredSession(session, (record, *_filter_by_state(session.state, ordered)))


def find_duplicate_objects(wanted: Iterable[DesiredSession]) -> dict[SessionId, Problem]:
    """Find sessions that want one and the same object: none of them can be carried out."""
    claims: defaultdict[ObjectRef, list[DesiredSession]] = defaultdict(list)
    for one in wanted:
        for manifest in one.manifests:
            claims[manifest.ref].append(one)
    clashes: dict[SessionId, Problem] = {}
    for ref, claimants in sorted(claims.items()):
        for one in claimants if len(claimants) > 1 else ():
            clashes.setdefault(one.session.id, _duplicate_problem(ref, one, claimants))
    return clashes


def _filter_by_state(state: SessionState, manifests: list[Manifest]) -> list[Manifest]:
    """A session that is stopped keeps everything but what runs."""
    if state is SessionState.RUNNING:
        return manifests
    return [manifest for manifest in manifests if manifest.kind != Kind("v1", "Pod")]


def _duplicate_problem(
    ref: ObjectRef, one: DesiredSession, claimants: list[DesiredSession]
) -> Problem:
    origin = one.session.origin
    others = ", ".join(str(other.session.id) for other in claimants if other is not one)
    message = f"{ref} is wanted by {others} too: rename one of the sessions"
    return Problem(origin.path, origin.line, origin.column, "metadata.name", message)


def _add_labels(metadata: Mapping[str, Any], session: Session, installation: str) -> dict[str, Any]:
    # What a template sets wins over the session's own labels, since selectors may rely on it.
    ours = {
        LABEL_INSTALLATION: installation,
        LABEL_SESSION: session.id.name,
        LABEL_MANAGED_BY: FIELD_MANAGER,
    }
    return {
        **metadata,
        "namespace": session.id.namespace,
        "labels": {**session.labels, **metadata.get("labels", {}), **ours},
        "annotations": {**session.annotations, **metadata.get("annotations", {})},
    }


def _normalize(value: Any, *, ports: bool) -> Any:
    """Copy a value without nulls, with protocols where `ports` asks for them."""
    if isinstance(value, Mapping):
        kept = {
            key: _normalize(item, ports=ports) for key, item in value.items() if item is not None
        }
        if ports and isinstance(kept.get("ports"), list):
            kept["ports"] = [_with_protocol(port) for port in kept["ports"]]
        return kept
    if isinstance(value, list):
        return [_normalize(item, ports=ports) for item in value]
    return value


def _with_protocol(port: Any) -> Any:
    return {"protocol": "TCP", **port} if isinstance(port, Mapping) else port


def _fold_string_data(body: dict[str, Any]) -> dict[str, Any]:
    plain = body.pop("stringData", {})
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in plain.items()}
    return {**body, "data": {**body.get("data", {}), **encoded}} if encoded else body
