"""How the API server merges the lists and maps of the kinds we know.

Source: the `x-kubernetes-list-type` and `-map-keys` extensions of Kubernetes' OpenAPI. A list that
is not named here is atomic, a map that is not named is granular: those are the server's defaults.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeAlias

from reconcile.core.model import Kind


@dataclass(frozen=True, slots=True)
class Granular:
    """A map whose entries have owners of their own; `each` describes entries without a name.

    Without `each` it is a struct in the server's Go, which leaves out fields that are zero.
    """

    fields: Mapping[str, "Node"] = field(default_factory=dict)
    each: "Node | None" = None

    def child(self, name: str) -> "Node":
        """The description of one entry."""
        return self.fields.get(name) or self.each or UNKNOWN


@dataclass(frozen=True, slots=True)
class Keyed:
    """A list whose items are told apart by the values of `keys`; order does not matter."""

    keys: tuple[str, ...]
    item: Granular = field(default_factory=Granular)
    defaults: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SetOf:
    """A list of distinct scalars; order does not matter."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nothing is known: scalars and lists are taken whole, maps entry by entry."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A scalar that is compared by value: `1000m` is `1`, `1Gi` is `1024Mi`."""


@dataclass(frozen=True, slots=True)
class Injected:
    """An atomic list to which admission adds items of its own: those with one of these `key`s."""

    keys: frozenset[str]

    def without(self, declared: Any, live: Any) -> Any:
        """The live list without what admission has added to it."""
        if not isinstance(declared, list) or not isinstance(live, list):
            return live
        return [item for item in live if item in declared or not self._is_injected(item)]

    def _is_injected(self, item: Any) -> bool:
        return isinstance(item, Mapping) and item.get("key") in self.keys


Node: TypeAlias = Granular | Keyed | SetOf | Unknown | Quantity | Injected

UNKNOWN = Unknown()
_TEXTS = Granular(each=UNKNOWN)
_QUANTITIES = Granular(each=Quantity())
_RESOURCES = Granular({"limits": _QUANTITIES, "requests": _QUANTITIES, "claims": Keyed(("name",))})
_TCP = {"protocol": "TCP"}

_CONTAINER = Granular(
    {
        "env": Keyed(("name",)),
        "ports": Keyed(("containerPort", "protocol"), defaults=_TCP),
        "resources": _RESOURCES,
        "volumeDevices": Keyed(("devicePath",)),
        "volumeMounts": Keyed(("mountPath",)),
    }
)
_TOLERATIONS = Injected(
    frozenset({"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"})
)
_VOLUME = Granular({"emptyDir": Granular({"sizeLimit": Quantity()})})
_POD_SPEC = Granular(
    {
        "containers": Keyed(("name",), _CONTAINER),
        "initContainers": Keyed(("name",), _CONTAINER),
        "ephemeralContainers": Keyed(("name",), _CONTAINER),
        "hostAliases": Keyed(("ip",)),
        "imagePullSecrets": Keyed(("name",)),
        "nodeSelector": _TEXTS,
        "overhead": _QUANTITIES,
        "resourceClaims": Keyed(("name",)),
        "schedulingGates": Keyed(("name",)),
        "tolerations": _TOLERATIONS,
        "topologySpreadConstraints": Keyed(("topologyKey", "whenUnsatisfiable")),
        "volumes": Keyed(("name",), _VOLUME),
    }
)
_METADATA = Granular(
    {
        "finalizers": SetOf(),
        "labels": _TEXTS,
        "annotations": _TEXTS,
        "ownerReferences": Keyed(("uid",)),
    }
)
_CONDITIONS = Granular({"conditions": Keyed(("type",))})
_POD_TEMPLATE = Granular({"metadata": _METADATA, "spec": _POD_SPEC})
_SELECTOR = Granular({"matchLabels": _TEXTS})
_WORKLOAD = Granular({"template": _POD_TEMPLATE, "selector": _SELECTOR})
_DATA = {"data": _TEXTS, "binaryData": _TEXTS}
_SERVICE_SPEC = Granular({"ports": Keyed(("port", "protocol"), defaults=_TCP), "selector": _TEXTS})
_PVC_SPEC = Granular({"resources": _RESOURCES})

_SPECS: Mapping[tuple[str, str], Mapping[str, Node]] = {
    ("", "Pod"): {"spec": _POD_SPEC},
    ("", "Service"): {"spec": _SERVICE_SPEC},
    ("", "ConfigMap"): _DATA,
    ("", "Secret"): _DATA,
    ("", "ServiceAccount"): {
        "secrets": Keyed(("name",)),
        "imagePullSecrets": Unknown(),
    },
    ("", "PersistentVolumeClaim"): {"spec": _PVC_SPEC},
    ("apps", "Deployment"): {"spec": _WORKLOAD},
    ("apps", "ReplicaSet"): {"spec": _WORKLOAD},
    ("apps", "DaemonSet"): {"spec": _WORKLOAD},
    ("apps", "StatefulSet"): {"spec": _WORKLOAD},
    ("batch", "Job"): {"spec": _WORKLOAD},
    ("batch", "CronJob"): {"spec": Granular({"jobTemplate": Granular({"spec": _WORKLOAD})})},
    ("", "ResourceQuota"): {"spec": Granular({"hard": _QUANTITIES})},
    ("networking.k8s.io", "NetworkPolicy"): {"spec": Granular({"podSelector": _SELECTOR})},
}


def keeps_all(node: Node) -> bool:
    """Tell whether the server keeps even entries that are zero, as it does in maps of text."""
    return isinstance(node, Granular) and node.each is not None


@cache
def schema_of(kind: Kind) -> Granular:
    """Describe the objects of a kind; one that is not known has described metadata alone."""
    known = _SPECS.get((kind.group, kind.name), {})
    return Granular({"metadata": _METADATA, "status": _CONDITIONS, **known})
