"""The served kinds, with their fields and merge schemas."""

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
"""A map that has one owner as a whole, such as a label selector."""

_COMMON: Final = frozenset({"apiVersion", "kind", "metadata"})


@dataclass(frozen=True, slots=True)
class ServedKind:
    """One kind: its top-level fields, and how its fields merge.

    With `has_generation`, a change of `spec` increments `metadata.generation`.
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
    has_generation = kind.name == "NetworkPolicy"
    return ServedKind(kind, plural, _COMMON | set(fields), schema, has_generation)


def _with_spec(schema: GranularMap, fields: Mapping[str, SchemaNode]) -> GranularMap:
    spec = schema.fields.get("spec")
    existing = spec.fields if isinstance(spec, GranularMap) else {}
    return GranularMap({**schema.fields, "spec": GranularMap({**existing, **fields})})


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
    """Return whether the kind is served in this API version."""
    return kind in _BY_KIND


def find_served_kind(kind: Kind) -> ServedKind:
    """Return a kind; NotFoundError if it is not served."""
    served = _BY_KIND.get(kind)
    if served is None:
        message = f"{kind.name}: the server does not serve it in {kind.api_version}"
        raise NotFoundError(message, NotFoundReason.KIND)
    return served


def find_kind(group: str, name: str) -> Kind:
    """Return a kind in its served version; NotFoundError if it is not served."""
    served = _BY_NAME.get((group, name))
    return find_served_kind(served.kind if served else Kind(group, name)).kind
