"""Builds manifests from the bodies that templates render, in the order of creation.

Bodies get their final form here, so that a comparison with live objects needs no exceptions: nulls
are dropped, `stringData` is merged into `data`, the keys of the API server's keyed lists are
written out, fields that could open an object to others are declared although they are empty, and
labels, annotations and the digest are set.
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
    ANNOTATION_INPUTS_DIGEST,
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
"""The source of a Record, which is built without a template."""

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

# The `ports` lists of these groups are keyed by a protocol that defaults to TCP; server-side apply
# fails without it on older API servers.
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
    """Build a session's Record: the owner of its objects, with a summary of the session.

    It changes only with the session: it has neither the revision nor a time.
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
    """Convert a rendered body to its final form.

    `body` must be an object of the session with valid metadata; it is not changed.
    """
    kind = Kind(body["apiVersion"], body["kind"])
    normalized = _normalize(body, ports=kind.group in _GROUPS_WITH_PORTS)
    normalized = _declare_guards(kind, normalized)
    normalized = stringify_quantities(merge_schema_for(kind), normalized)
    if kind == Kind("v1", "Secret"):
        normalized = _fold_string_data(normalized)
    normalized["metadata"] = _add_labels(normalized["metadata"], session, installation)
    value = compute_digest(normalized)
    normalized["metadata"]["annotations"][ANNOTATION_DIGEST] = value
    ref = build_object_ref(kind, session.id, normalized["metadata"]["name"])
    return Manifest(ref, kind, session.id, normalized, value, source)


def compute_work_digest(manifest: Manifest) -> str:
    """Digest a manifest without labels and annotations: no pod has to be new for those.

    The digest of its inputs counts: a pod that has ended does not read them again.
    """
    inputs = manifest.body["metadata"]["annotations"].get(ANNOTATION_INPUTS_DIGEST)
    added = {} if inputs is None else {"inputs": inputs}
    return compute_digest({**manifest.body, "metadata": {"name": manifest.ref.name, **added}})


def build_desired_session(
    session: Session, installation: str, rendered: Iterable[Manifest]
) -> DesiredSession:
    """Sort a session's manifests in the order of creation, after its Record.

    Kinds of the same rank are sorted by kind and name, so the order of templates has no effect.
    """
    ordered = sorted(rendered, key=lambda manifest: (creation_order(manifest.kind), manifest.ref))
    record = build_record_manifest(session, installation)
    return DesiredSession(session, (record, *_filter_by_state(session.state, ordered)))


def find_duplicate_objects(wanted: Iterable[DesiredSession]) -> dict[SessionId, Problem]:
    """Find sessions that declare the same object: none of them can be applied."""
    claims: defaultdict[ObjectRef, list[DesiredSession]] = defaultdict(list)
    for session in wanted:
        for manifest in session.manifests:
            claims[manifest.ref].append(session)
    duplicates: dict[SessionId, Problem] = {}
    for ref, claimants in sorted(claims.items()):
        for claimant in claimants if len(claimants) > 1 else ():
            duplicates.setdefault(claimant.session.id, _duplicate_problem(ref, claimant, claimants))
    return duplicates


def _filter_by_state(state: SessionState, manifests: list[Manifest]) -> list[Manifest]:
    """A stopped session keeps all objects except its pods."""
    if state is SessionState.RUNNING:
        return manifests
    return [manifest for manifest in manifests if manifest.kind != Kind("v1", "Pod")]


def _duplicate_problem(
    ref: ObjectRef, claimant: DesiredSession, claimants: list[DesiredSession]
) -> Problem:
    origin = claimant.session.origin
    others = ", ".join(str(other.session.id) for other in claimants if other is not claimant)
    message = f"{ref} is wanted by {others} too: rename one of the sessions"
    return Problem(origin.path, origin.line, origin.column, "metadata.name", message)


def _add_labels(metadata: Mapping[str, Any], session: Session, installation: str) -> dict[str, Any]:
    # A template's labels take precedence over the session's, since selectors may rely on them.
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
    """Copy a value without nulls; `ports` adds the default protocol to lists of ports."""
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


def _declare_guards(kind: Kind, body: dict[str, Any]) -> dict[str, Any]:
    """Declare the server's default of each field that decides who may reach or do something.

    Without them a rule that another client adds would be a field of that client, and not drift. The
    server stores an empty list as an absent one.
    """
    match kind.group, kind.name:
        case "networking.k8s.io", "NetworkPolicy":
            return _with_spec_defaults(body, _CLOSED_POLICY)
        case "", "Service":
            return _with_spec_defaults(body, _CLOSED_SERVICE)
        case "rbac.authorization.k8s.io", "Role" | "ClusterRole":
            return {"rules": [], **body}
        case "rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding":
            return {"subjects": [], **body}
        case _:
            return body


_CLOSED_SERVICE: Final = {"type": "ClusterIP", "externalIPs": []}
_CLOSED_POLICY: Final = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [], "egress": []}


def _with_spec_defaults(body: dict[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Add fields to a spec; one that is not a mapping is left for the server to refuse."""
    spec = body.get("spec")
    if not isinstance(spec, Mapping):
        return body
    # The server adds Egress to the default if there are rules for it.
    types = {"policyTypes": ["Ingress", "Egress"]} if spec.get("egress") else {}
    return {**body, "spec": {**defaults, **(types if "policyTypes" in defaults else {}), **spec}}


def _fold_string_data(body: dict[str, Any]) -> dict[str, Any]:
    plain = body.pop("stringData", {})
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in plain.items()}
    return {**body, "data": {**body.get("data", {}), **encoded}} if encoded else body
