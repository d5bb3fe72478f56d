"""Validates rendered objects: each must be one that a session can own, and no other object."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from reconcile.core.model import INVENTORY_PREFIX, LABEL_MANAGED_BY, LABEL_PREFIX, SessionId
from reconcile.core.render.filters import split_words
from reconcile.core.render.validate_values import Violation, find_refused_values
from reconcile.core.source_location import DocumentPath

# An owner in a namespace cannot own these, since they are cluster-scoped.
_CLUSTER_SCOPED: Final = split_words(
    "APIService CSIDriver CSINode CertificateSigningRequest ClusterRole ClusterRoleBinding "
    "ClusterTrustBundle ComponentStatus CustomResourceDefinition DeviceClass FlowSchema "
    "IngressClass IPAddress MutatingAdmissionPolicy MutatingAdmissionPolicyBinding "
    "MutatingWebhookConfiguration Namespace Node PersistentVolume PodSecurityPolicy "
    "PriorityClass PriorityLevelConfiguration ResourceSlice RuntimeClass ServiceCIDR StorageClass "
    "StorageVersion ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding "
    "ValidatingWebhookConfiguration VolumeAttachment VolumeAttributesClass"
)
# These are requests, or are written by the control plane.
_NOT_PERSISTED: Final = split_words(
    "Binding Endpoints EndpointSlice Event Eviction Lease LocalSubjectAccessReview Scale "
    "SelfSubjectAccessReview SelfSubjectReview SelfSubjectRulesReview SubjectAccessReview "
    "TokenRequest TokenReview"
)
_SERVER_FIELDS: Final = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
)
_GROUP_VERSION: Final = re.compile(
    r"([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?v[0-9]+((alpha|beta)[0-9]+)?"
)
_KIND_NAME: Final = re.compile("[A-Z][A-Za-z0-9]{0,62}")
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_SERVICE_NAME: Final = re.compile("[a-z]([-a-z0-9]*[a-z0-9])?")
_LABEL_NAME_LIMIT: Final = 63
_SUBDOMAIN_LIMIT: Final = 253


def find_violations(body: Mapping[str, Any], session: SessionId) -> Iterator[Violation]:
    """Yield everything that is wrong with a rendered object."""
    metadata = body.get("metadata")
    if not isinstance(metadata, Mapping):
        yield ("metadata",), "must be a mapping with a name"
        metadata = {}
    else:
        yield from _check_name(body.get("kind"), metadata.get("name"), session)
    yield from _check_type(body)
    if body.get("status") is not None:
        yield ("status",), "is written by the cluster: remove it"
    yield from _check_metadata(metadata, session)
    yield from find_refused_values(body)


def is_own_name(name: str, session: SessionId) -> bool:
    """Return whether an object of this name can belong to a session."""
    own = session.name
    return name == own or name.startswith(f"{own}-") or name.endswith(f"-{own}")


def _check_type(body: Mapping[str, Any]) -> Iterator[Violation]:
    version, kind = body.get("apiVersion"), body.get("kind")
    if not (isinstance(version, str) and _GROUP_VERSION.fullmatch(version)):
        yield ("apiVersion",), "must be a group and version, as in `v1` or `apps/v1`"
    if not (isinstance(kind, str) and _KIND_NAME.fullmatch(kind)):
        yield ("kind",), "must be a kind, as in `Pod`"
    elif kind in _CLUSTER_SCOPED:
        yield ("kind",), f"a {kind} is cluster-scoped: a session cannot own it"
    elif kind in _NOT_PERSISTED or kind.endswith("List"):
        yield ("kind",), f"a {kind} is not an object that is stored as declared"


def _check_name(kind: Any, name: Any, session: SessionId) -> Iterator[Violation]:
    path = ("metadata", "name")
    if not isinstance(name, str):
        yield path, "must be text"
        return
    yield from ((path, message) for message in _check_name_format(kind, name))
    if not is_own_name(name, session):
        own = session.name
        yield path, f"must be `{own}`, begin with `{own}-` or end with `-{own}`"
    if kind == "ConfigMap" and name.startswith(INVENTORY_PREFIX):
        yield path, f"names that begin with `{INVENTORY_PREFIX}` are reserved"


def _check_name_format(kind: Any, name: str) -> Iterator[str]:
    is_service = kind == "Service"
    limit = _LABEL_NAME_LIMIT if is_service else _SUBDOMAIN_LIMIT
    if len(name) > limit:
        yield f"has {len(name)} characters, but at most {limit} are allowed: use `| truncate_name`"
    elif not (_SERVICE_NAME if is_service else _SUBDOMAIN).fullmatch(name):
        characters = "begin with a letter and contain only" if is_service else "contain only dots,"
        yield f"must {characters} lower-case letters, digits and dashes"


def _check_metadata(metadata: Mapping[str, Any], session: SessionId) -> Iterator[Violation]:
    namespace = metadata.get("namespace")
    if namespace not in (None, session.namespace):
        yield ("metadata", "namespace"), f"must be the session's, {session.namespace}: remove it"
    for field in _SERVER_FIELDS:
        if metadata.get(field) is not None:
            yield ("metadata", field), "may not be set by a template: remove it"
    for field in ("labels", "annotations"):
        yield from _check_text_map(metadata.get(field), ("metadata", field), _find_reserved_error)


def _check_text_map(
    values: Any, path: DocumentPath, find_error: Callable[[str], str] = lambda _: ""
) -> Iterator[Violation]:
    if values is None:
        return
    if not isinstance(values, Mapping):
        yield path, "must be a mapping"
        return
    for key, value in values.items():
        reason = find_error(key)
        if reason:
            yield (*path, key), reason
        elif value is not None and not isinstance(value, str):
            yield (*path, key), "must be text: use `| quote`"


def _find_reserved_error(key: str) -> str:
    if key.startswith(LABEL_PREFIX) or key == LABEL_MANAGED_BY:
        return "is set by the reconciler: remove it"
    return ""
