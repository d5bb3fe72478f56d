"""The kinds that are served, and what the server knows of each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from reconcile.core.errors import NotFoundError, NotFoundReason
from reconcile.core.fields.merge_schema import (
    GranularMap,
    InjectedList,
    SchemaNode,
    merge_schema_for,
)
from reconcile.core.model import Kind

ATOMIC: Final[SchemaNode] = InjectedList(frozenset())
"""A map that has one owner as a whole, such as every label selector."""

_COMMON: Final = frozenset({"apiVersion", "kind", "metadata"})


@dataclass(frozen=True, slots=True)
class ServedKind:
    """One kind: the fields it may have at the top, and how its fields merge.

    `has_generation` tells whether its `metadata.generation` grows with `spec`.
    """

    kind: Kind
    plural: str
    fields: frozenset[str]
    schema: GranularMap
    has_generation: bool = False


def _define_kind(kind: Kind, plural: str, *fields: str, atomic: tuple[str, ...] = ()) -> ServedKind:
    schema = merge_schema_for(kind)
    if atomic:
        schema = _with_spec(schema, dict.fromkeys(atomic, ATOMIC))
    counts = kind.name == "NetworkPolicy"
    return ServedKind(kind, plural, _COMMON | set(fields), schema, counts)


def _with_spec(schema: GranularMap, fields: Mapping[str, SchemaNode]) -> GranularMap:
    spec = schema.fields.get("spec")
    known = spec.fields if isinstance(spec, GranularMap) else {}
    return GranularMap({**schema.fields, "spec": GranularMap({**known, **fields})})


_RBAC: Final = "rbac.authorization.k8s.io/v1"
_SERVED_KINDS: Final = (
    _define_kind(Kind("v1", "ConfigMap"), "configmaps", "data", "binaryData", "immutable"),
    _define_kind(Kind("v1", "Secret"), "secrets", "data", "stringData", "type", "immutable"),
    _define_kind(
        Kind("v1", "ServiceAccount"),
        "serviceaccounts",
        "secrets",
        "imagePullSecrets",
        "automountServiceAccountToken",
    ),
    _define_kind(Kind("v1", "Pod"), "pods", "spec", "status"),
    _define_kind(Kind("v1", "Service"), "services", "spec", "status"),
    _define_kind(
        Kind("v1", "PersistentVolumeClaim"),
        "persistentvolumeclaims",
        "spec",
        "status",
        atomic=("selector",),
    ),
    _define_kind(
        Kind("networking.k8s.io/v1", "NetworkPolicy"),
        "networkpolicies",
        "spec",
        atomic=("podSelector",),
    ),
    _define_kind(Kind(_RBAC, "Role"), "roles", "rules"),
    _define_kind(Kind(_RBAC, "RoleBinding"), "rolebindings", "roleRef", "subjects"),
)
_BY_KIND: Final = {served.kind: served for served in _SERVED_KINDS}
_BY_NAME: Final = {(served.kind.group, served.kind.name): served for served in _SERVED_KINDS}


def is_served(kind: Kind) -> bool:
    """Tell whether the kind is known, in this API version."""
    return kind in _BY_KIND


def find_served_kind(kind: Kind) -> ServedKind:
    """Look a kind up; NotFoundError where it is not served."""
    found = _BY_KIND.get(kind)
    if found is None:
        message = f"{kind.name}: the server does not serve it in {kind.api_version}"
        raise NotFoundError(message, NotFoundReason.KIND)
    return found


def find_kind(group: str, name: str) -> Kind:
    """Find a kind in the version that is served; NotFoundError."""
    found = _BY_NAME.get((group, name))
    return find_served_kind(found.kind if found else Kind(group, name)).kind
