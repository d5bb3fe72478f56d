"""How the API server merges the lists and maps of the built-in kinds.

Source: the `x-kubernetes-list-type` and `-map-keys` extensions of Kubernetes' OpenAPI. A list that
is not listed here is atomic, a map that is not listed is granular: the server's defaults.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, TypeAlias

from reconcile.core.model import Kind
from reconcile.core.source_location import DocumentPath


@dataclass(frozen=True, slots=True)
class GranularMap:
    """A map whose entries have separate owners; `element` is the type of entries not in `fields`.

    Without `element` it is a struct in the server's Go types, which omits fields that are zero.
    """

    fields: Mapping[str, "SchemaNode"] = field(default_factory=dict)
    element: "SchemaNode | None" = None

    def child(self, name: str) -> "SchemaNode":
        """The description of one entry."""
        return self.fields.get(name) or self.element or UNKNOWN


@dataclass(frozen=True, slots=True)
class KeyedList:
    """A list whose items are identified by the values of `keys`; order does not matter."""

    keys: tuple[str, ...]
    item: GranularMap = field(default_factory=GranularMap)
    defaults: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SetList:
    """A list of distinct scalars; order does not matter."""


@dataclass(frozen=True, slots=True)
class UnknownType:
    """An unknown type: scalars and lists are compared as a whole, maps entry by entry."""


@dataclass(frozen=True, slots=True)
class AtomicMap:
    """A map that the server merges as a whole, whose fields therefore have one owner."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A scalar that is compared by value: `1000m` is `1`, `1Gi` is `1024Mi`.

    The server rounds it up to this number of decimal `digits`.
    """

    digits: int = 9


@dataclass(frozen=True, slots=True)
class InjectedList:
    """An atomic list to which admission adds items: those with one of these `key`s."""

    keys: frozenset[str]

    def without_injected(self, declared: Any, live: Any) -> Any:
        """The live list without the items that admission has added."""
        if not isinstance(declared, list) or not isinstance(live, list):
            return live
        return [item for item in live if item in declared or not self._is_injected(item)]

    def _is_injected(self, item: Any) -> bool:
        return isinstance(item, Mapping) and item.get("key") in self.keys


SchemaNode: TypeAlias = (
    GranularMap | AtomicMap | KeyedList | SetList | UnknownType | Quantity | InjectedList
)

UNKNOWN = UnknownType()
_TEXT_MAP = GranularMap(element=UNKNOWN)
RESOURCE_DIGITS: Final = 3
"""The server keeps resources to the thousandth."""

_QUANTITY_MAP = GranularMap(element=Quantity(RESOURCE_DIGITS))
_RESOURCES = GranularMap(
    {"limits": _QUANTITY_MAP, "requests": _QUANTITY_MAP, "claims": KeyedList(("name",))}
)
_TCP = {"protocol": "TCP"}

_RESOURCE_FIELD = GranularMap({"resourceFieldRef": GranularMap({"divisor": Quantity()})})
_CONTAINER = GranularMap(
    {
        "env": KeyedList(("name",), GranularMap({"valueFrom": _RESOURCE_FIELD})),
        "ports": KeyedList(("containerPort", "protocol"), defaults=_TCP),
        "resources": _RESOURCES,
        "volumeDevices": KeyedList(("devicePath",)),
        "volumeMounts": KeyedList(("mountPath",)),
    }
)
_TOLERATIONS = InjectedList(
    frozenset({"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"})
)
_CLAIM_TEMPLATE = GranularMap({"spec": GranularMap({"resources": _RESOURCES})})
_VOLUME = GranularMap(
    {
        "emptyDir": GranularMap({"sizeLimit": Quantity()}),
        "ephemeral": GranularMap({"volumeClaimTemplate": _CLAIM_TEMPLATE}),
    }
)
_POD_SPEC = GranularMap(
    {
        "containers": KeyedList(("name",), _CONTAINER),
        "initContainers": KeyedList(("name",), _CONTAINER),
        "ephemeralContainers": KeyedList(("name",), _CONTAINER),
        "hostAliases": KeyedList(("ip",)),
        "imagePullSecrets": KeyedList(("name",)),
        "nodeSelector": _TEXT_MAP,
        "overhead": _QUANTITY_MAP,
        "resources": _RESOURCES,
        "resourceClaims": KeyedList(("name",)),
        "schedulingGates": KeyedList(("name",)),
        "tolerations": _TOLERATIONS,
        "topologySpreadConstraints": KeyedList(("topologyKey", "whenUnsatisfiable")),
        "volumes": KeyedList(("name",), _VOLUME),
    }
)
_METADATA = GranularMap(
    {
        "finalizers": SetList(),
        "labels": _TEXT_MAP,
        "annotations": _TEXT_MAP,
        "ownerReferences": KeyedList(("uid",)),
    }
)
_CONDITIONS = GranularMap({"conditions": KeyedList(("type",))})
_POD_TEMPLATE = GranularMap({"metadata": _METADATA, "spec": _POD_SPEC})
_SELECTOR = GranularMap({"matchLabels": _TEXT_MAP})
_WORKLOAD = GranularMap({"template": _POD_TEMPLATE, "selector": _SELECTOR})
_DATA = {"data": _TEXT_MAP, "binaryData": _TEXT_MAP}
_SERVICE_SPEC = GranularMap(
    {"ports": KeyedList(("port", "protocol"), defaults=_TCP), "selector": _TEXT_MAP}
)
_PVC_SPEC = GranularMap({"resources": _RESOURCES})

_SPECS: Mapping[tuple[str, str], Mapping[str, SchemaNode]] = {
    ("", "Pod"): {"spec": _POD_SPEC},
    ("", "Service"): {"spec": _SERVICE_SPEC},
    ("", "ConfigMap"): _DATA,
    ("", "Secret"): _DATA,
    ("", "ServiceAccount"): {
        "secrets": KeyedList(("name",)),
        "imagePullSecrets": UnknownType(),
    },
    ("", "PersistentVolumeClaim"): {"spec": _PVC_SPEC},
    ("apps", "Deployment"): {"spec": _WORKLOAD},
    ("apps", "ReplicaSet"): {"spec": _WORKLOAD},
    ("apps", "DaemonSet"): {"spec": _WORKLOAD},
    ("apps", "StatefulSet"): {"spec": _WORKLOAD},
    ("batch", "Job"): {"spec": _WORKLOAD},
    ("batch", "CronJob"): {"spec": GranularMap({"jobTemplate": GranularMap({"spec": _WORKLOAD})})},
    ("", "ResourceQuota"): {"spec": GranularMap({"hard": _QUANTITY_MAP})},
    ("networking.k8s.io", "NetworkPolicy"): {"spec": GranularMap({"podSelector": AtomicMap()})},
}


def keeps_zero_values(node: SchemaNode) -> bool:
    """Whether the server keeps entries that are zero, as in maps of text."""
    return isinstance(node, GranularMap) and node.element is not None


@cache
def merge_schema_for(kind: Kind) -> GranularMap:
    """Return the schema of a kind; that of an unknown kind has only metadata and conditions."""
    known = _SPECS.get((kind.group, kind.name), {})
    return GranularMap({"metadata": _METADATA, "status": _CONDITIONS, **known})


CONTAINER_LISTS: Final = ("initContainers", "containers", "ephemeralContainers")
"""The fields of a pod spec that have its containers; admission may add one that is not declared."""


_CONTAINER_LISTS: Final = frozenset(CONTAINER_LISTS)
_NESTED: Final = (dict, list)


def find_pod_specs(body: Mapping[str, Any]) -> Iterator[tuple[DocumentPath, Mapping[str, Any]]]:
    """Yield each pod spec of an object, with its path: of a pod, or of a template at any depth.

    The kinds of operators, which no schema here describes, have pod specs too.
    """
    spec = body.get("spec")
    if body.get("kind") == "Pod" and body.get("apiVersion") == "v1" and isinstance(spec, dict):
        yield ("spec",), spec
    else:
        yield from _find_pod_specs(dict(body), ())


def _find_pod_specs(
    value: dict[str, Any] | list[Any], path: DocumentPath
) -> Iterator[tuple[DocumentPath, Mapping[str, Any]]]:
    # Called for every mapping and list of an object: texts and numbers are not worth a call.
    if isinstance(value, dict):
        if _has_containers(value):
            yield path, value
        for name, child in value.items():
            if isinstance(child, _NESTED):
                yield from _find_pod_specs(child, (*path, name))
    else:
        for index, child in enumerate(value):
            if isinstance(child, _NESTED):
                yield from _find_pod_specs(child, (*path, index))


def _has_containers(value: Mapping[str, Any]) -> bool:
    if _CONTAINER_LISTS.isdisjoint(value):
        return False
    return any(isinstance(value.get(name), list) for name in CONTAINER_LISTS)
