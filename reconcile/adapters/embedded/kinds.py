"""The kinds that are served, and what the server knows of each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from reconcile.core.errors import Absence, NotFoundError
from reconcile.core.fields.merge_schema import Granular, Injected, Node, schema_of
from reconcile.core.model import Kind

WHOLE: Final[Node] = Injected(frozenset())
"""A map that has one owner as a whole, such as every label selector."""

_COMMON: Final = frozenset({"apiVersion", "kind", "metadata"})


@dataclass(frozen=True, slots=True)
class Served:
    """One kind: the fields it may have at the top, and how its fields merge.

    `counts_generations` tells whether its `metadata.generation` grows with `spec`.
    """

    kind: Kind
    plural: str
    fields: frozenset[str]
    schema: Granular
    counts_generations: bool = False


def _served(kind: Kind, plural: str, *fields: str, whole: tuple[str, ...] = ()) -> Served:
    schema = schema_of(kind)
    if whole:
        schema = _with_spec(schema, dict.fromkeys(whole, WHOLE))
    counts = kind.name == "NetworkPolicy"
    return Served(kind, plural, _COMMON | set(fields), schema, counts)


def _with_spec(schema: Granular, fields: Mapping[str, Node]) -> Granular:
    spec = schema.fields.get("spec")
    known = spec.fields if isinstance(spec, Granular) else {}
    return Granular({**schema.fields, "spec": Granular({**known, **fields})})


_RBAC: Final = "rbac.authorization.k8s.io/v1"
_ALL: Final = (
    _served(Kind("v1", "ConfigMap"), "configmaps", "data", "binaryData", "immutable"),
    _served(Kind("v1", "Secret"), "secrets", "data", "stringData", "type", "immutable"),
    _served(
        Kind("v1", "ServiceAccount"),
        "serviceaccounts",
        "secrets",
        "imagePullSecrets",
        "automountServiceAccountToken",
    ),
    _served(Kind("v1", "Pod"), "pods", "spec", "status"),
    _served(Kind("v1", "Service"), "services", "spec", "status"),
    _served(
        Kind("v1", "PersistentVolumeClaim"),
        "persistentvolumeclaims",
        "spec",
        "status",
        whole=("selector",),
    ),
    _served(
        Kind("networking.k8s.io/v1", "NetworkPolicy"),
        "networkpolicies",
        "spec",
        whole=("podSelector",),
    ),
    _served(Kind(_RBAC, "Role"), "roles", "rules"),
    _served(Kind(_RBAC, "RoleBinding"), "rolebindings", "roleRef", "subjects"),
)
_BY_KIND: Final = {served.kind: served for served in _ALL}
_BY_NAME: Final = {(served.kind.group, served.kind.name): served for served in _ALL}


def is_served(kind: Kind) -> bool:
    """Tell whether the kind is known, in this API version."""
    return kind in _BY_KIND


def served(kind: Kind) -> Served:
    """Look a kind up; NotFoundError where it is not served."""
    found = _BY_KIND.get(kind)
    if found is None:
        message = f"{kind.name}: the server does not serve it in {kind.api_version}"
        raise NotFoundError(message, Absence.KIND)
    return found


def kind_named(group: str, name: str) -> Kind:
    """Find a kind in the version that is served; NotFoundError."""
    found = _BY_NAME.get((group, name))
    return served(found.kind if found else Kind(group, name)).kind
