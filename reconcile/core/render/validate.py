"""Validates rendered objects: each must be one that a session can own, and that a server accepts.

Only values that no version of Kubernetes accepts are violations, so that an error is found before
half of a session is made; other fields are left to the server, as with `diff --server-dry-run`.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from reconcile.core.fields.merge_schema import find_pod_specs
from reconcile.core.fields.quantity import parse_quantity
from reconcile.core.model import (
    ANNOTATION_INPUTS_DIGEST,
    INVENTORY_PREFIX,
    LABEL_MANAGED_BY,
    LABEL_PREFIX,
    SessionId,
)
from reconcile.core.render.filters import split_words
from reconcile.core.source_location import DocumentPath
from reconcile.core.spec.formats import LABEL_NAME, LABEL_VALUE, QUALIFIED_NAME

Violation: TypeAlias = tuple[DocumentPath, str]
"""The path in the object, and what is wrong."""

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
    checks = {"labels": _find_label_error, "annotations": _find_annotation_error}
    for field, find_error in checks.items():
        yield from _check_text_map(metadata.get(field), ("metadata", field), find_error)


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


def _find_label_error(key: str) -> str:
    if key.startswith(LABEL_PREFIX) or key == LABEL_MANAGED_BY:
        return "is set by the reconciler: remove it"
    return ""


def _find_annotation_error(key: str) -> str:
    return "" if key == ANNOTATION_INPUTS_DIGEST else _find_label_error(key)


_QUOTE: Final = "must be text: use `| quote`"
_DATA_KEY: Final = re.compile(r"[-._A-Za-z0-9]{1,253}")
_PORT_NAME: Final = re.compile("(?=.*[a-z])(?!.*--)[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?")
_MAX_PORT: Final = 65_535
_ANNOTATIONS_LIMIT: Final = 256 * 1024
_POD_KINDS: Final = split_words(
    "CronJob DaemonSet Deployment Job Pod PodTemplate ReplicaSet ReplicationController StatefulSet"
)
"""The kinds whose pods every server validates; those of operators may allow more."""


def find_refused_values(body: Mapping[str, Any]) -> Iterator[Violation]:
    """Yield the values of an object that the server refuses."""
    metadata = as_mapping(body.get("metadata"))
    yield from _check_labels(metadata)
    kind = body.get("kind")
    match kind:
        case "ConfigMap":
            yield from _check_config_map(body)
        case "Secret":
            yield from _check_data(body, "data", _find_base64_error)
            yield from _check_data(body, "stringData", _find_text_error)
        case "Service":
            ports = _mappings(as_mapping(body.get("spec")).get("ports"), ("spec", "ports"))
            yield from _check_ports(ports, "port")
        case str() if kind in _POD_KINDS:
            for path, spec in find_pod_specs(body):
                yield from _check_pod(body, path, spec)
        case _:
            pass


def _check_labels(metadata: Mapping[str, Any]) -> Iterator[Violation]:
    labels, annotations = (as_mapping(metadata.get(field)) for field in ("labels", "annotations"))
    for field, values in (("labels", labels), ("annotations", annotations)):
        for key in values:
            # The server compares keys of annotations in lower case.
            name = key.lower() if field == "annotations" else key
            if reason := QUALIFIED_NAME.find_error(name):
                yield ("metadata", field, key), reason
    for key, value in labels.items():
        if isinstance(value, str) and (reason := LABEL_VALUE.find_error(value)):
            yield ("metadata", "labels", key), reason
    size = sum(len(str(part).encode()) for item in annotations.items() for part in item)
    if size > _ANNOTATIONS_LIMIT:
        yield (
            ("metadata", "annotations"),
            f"have {size} bytes, and {_ANNOTATIONS_LIMIT} are allowed",
        )


def _check_config_map(body: Mapping[str, Any]) -> Iterator[Violation]:
    yield from _check_data(body, "data", _find_text_error)
    yield from _check_data(body, "binaryData", _find_base64_error)
    for key in as_mapping(body.get("data")).keys() & as_mapping(body.get("binaryData")).keys():
        yield ("binaryData", key), "is in `data` too"


def _check_data(
    body: Mapping[str, Any], field: str, find_error: Callable[[Any], str]
) -> Iterator[Violation]:
    values = body.get(field)
    if values is not None and not isinstance(values, Mapping):
        yield (field,), "must be a mapping"
    for key, value in as_mapping(values).items():
        if not _DATA_KEY.fullmatch(key) or key in {".", ".."}:
            yield (field, key), "a key may have letters, digits, `-`, `_` and `.`, at most 253"
        elif value is not None and (reason := find_error(value)):
            yield (field, key), reason


def _find_text_error(value: Any) -> str:
    return "" if isinstance(value, str) else _QUOTE


def _find_base64_error(value: Any) -> str:
    if not isinstance(value, str):
        return _QUOTE
    try:
        base64.b64decode("".join(value.splitlines()), validate=True)
    except (binascii.Error, ValueError):
        return "must be base64: use `stringData` for text in a Secret"
    return ""


def _check_pod(
    body: Mapping[str, Any], path: DocumentPath, spec: Mapping[str, Any]
) -> Iterator[Violation]:
    volumes = _mappings(spec.get("volumes"), (*path, "volumes"))
    yield from _check_names(volumes, LABEL_NAME.find_error)
    containers = [
        *_mappings(spec.get("initContainers"), (*path, "initContainers")),
        *_mappings(spec.get("containers"), (*path, "containers")),
    ]
    yield from _check_names(containers, LABEL_NAME.find_error)
    known = {str(volume.get("name")) for _, volume in volumes}
    claims = _mappings(as_mapping(body.get("spec")).get("volumeClaimTemplates"), ())
    known |= {str(as_mapping(claim.get("metadata")).get("name")) for _, claim in claims}
    for at, container in containers:
        yield from _check_container(container, at)
        yield from _check_mounts(container, at, known)


def _check_container(container: Mapping[str, Any], at: DocumentPath) -> Iterator[Violation]:
    env = _mappings(container.get("env"), (*at, "env"))
    yield from _check_names(env, _find_variable_error)
    for path, variable in env:
        value = variable.get("value")
        if value is not None and not isinstance(value, str):
            yield (*path, "value"), _QUOTE
        elif value and variable.get("valueFrom") is not None:
            yield (*path, "valueFrom"), "excludes `value`"
    for field in ("command", "args"):
        for index, value in enumerate(_list(container.get(field))):
            if not isinstance(value, str):
                yield (*at, field, index), _QUOTE
    ports = _mappings(container.get("ports"), (*at, "ports"))
    yield from _check_ports(ports, "containerPort")
    yield from _check_resources(as_mapping(container.get("resources")), (*at, "resources"))


def _find_variable_error(name: str) -> str:
    is_printable = name.isascii() and name.isprintable() and "=" not in name
    return "" if is_printable else "must be printable ASCII without `=`"


def _check_mounts(
    container: Mapping[str, Any], at: DocumentPath, volumes: set[str]
) -> Iterator[Violation]:
    paths: set[str] = set()
    for path, mount in _mappings(container.get("volumeMounts"), (*at, "volumeMounts")):
        name, target = mount.get("name"), mount.get("mountPath")
        if isinstance(name, str) and name not in volumes:
            yield (*path, "name"), f"no volume has the name `{name[:63]}`"
        if isinstance(target, str) and target in paths:
            yield (*path, "mountPath"), "another volume is mounted there"
        paths.add(str(target))


def _check_ports(
    ports: Iterable[tuple[DocumentPath, Mapping[str, Any]]], field: str
) -> Iterator[Violation]:
    seen: set[tuple[Any, str]] = set()
    names: set[str] = set()
    for path, port in ports:
        number, name = port.get(field), port.get("name")
        identity = (number, str(port.get("protocol") or "TCP"))
        if type(number) is not int or not 1 <= number <= _MAX_PORT:
            yield (*path, field), f"must be a number from 1 to {_MAX_PORT}"
        elif identity in seen:
            yield (*path, field), "is a duplicate: ports differ in number or protocol"
        if isinstance(name, str) and name in names:
            yield (*path, "name"), "is a duplicate"
        elif field == "containerPort" and name is not None and not _is_port_name(name):
            yield (*path, "name"), "must be 1 to 15 lower-case letters, digits and `-`"
        seen.add(identity)
        names.add(str(name))


def _is_port_name(name: Any) -> bool:
    return isinstance(name, str) and _PORT_NAME.fullmatch(name) is not None


def _check_resources(resources: Mapping[str, Any], at: DocumentPath) -> Iterator[Violation]:
    limits, requests = (as_mapping(resources.get(kind)) for kind in ("limits", "requests"))
    for kind, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            quantity = parse_quantity(str(amount))
            if isinstance(amount, bool) or quantity is None or quantity < 0:
                yield (*at, kind, name), "must be a quantity, such as 500m or 2Gi"
    for name in requests.keys() & limits.keys():
        request, limit = (parse_quantity(str(each[name])) for each in (requests, limits))
        if request is not None and limit is not None and request > limit:
            message = f"the request of {requests[name]} is more than the limit of {limits[name]}"
            yield (*at, "requests", name), message


def _check_names(
    items: Iterable[tuple[DocumentPath, Mapping[str, Any]]], find_error: Callable[[str], str]
) -> Iterator[Violation]:
    """Check the `name` of every item of a list that is keyed by it."""
    seen: set[str] = set()
    for path, item in items:
        name = item.get("name")
        if not isinstance(name, str) or not name:
            yield (*path, "name"), _QUOTE if name else "is missing"
        elif reason := find_error(name):
            yield (*path, "name"), reason
        elif name in seen:
            yield (*path, "name"), "is a duplicate"
        seen.add(str(name))


def as_mapping(value: Any) -> Mapping[str, Any]:
    """Return a value that is a mapping, and an empty mapping for any other."""
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _mappings(value: Any, path: DocumentPath) -> list[tuple[DocumentPath, Mapping[str, Any]]]:
    """Return the mappings of a list, each with its path."""
    return [
        ((*path, index), item)
        for index, item in enumerate(_list(value))
        if isinstance(item, Mapping)
    ]
