"""A kind -> its path on the server: a table for those that everybody uses, discovery for others."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from reconcile.adapters.kube.transport import Call, Wire
from reconcile.core.errors import Absence, InvalidError, NotFoundError, UnavailableError
from reconcile.core.model import Kind


@dataclass(frozen=True, slots=True)
class Resource:
    """How the server calls a kind in paths, and whether its objects live in namespaces."""

    plural: str
    namespaced: bool = True


_NAMESPACED: Final = {
    "v1": {
        "ConfigMap": "configmaps",
        "Endpoints": "endpoints",
        "Event": "events",
        "LimitRange": "limitranges",
        "PersistentVolumeClaim": "persistentvolumeclaims",
        "Pod": "pods",
        "ReplicationController": "replicationcontrollers",
        "ResourceQuota": "resourcequotas",
        "Secret": "secrets",
        "Service": "services",
        "ServiceAccount": "serviceaccounts",
    },
    "apps/v1": {
        "DaemonSet": "daemonsets",
        "Deployment": "deployments",
        "ReplicaSet": "replicasets",
        "StatefulSet": "statefulsets",
    },
    "autoscaling/v2": {"HorizontalPodAutoscaler": "horizontalpodautoscalers"},
    "batch/v1": {"CronJob": "cronjobs", "Job": "jobs"},
    "coordination.k8s.io/v1": {"Lease": "leases"},
    "discovery.k8s.io/v1": {"EndpointSlice": "endpointslices"},
    "events.k8s.io/v1": {"Event": "events"},
    "networking.k8s.io/v1": {"Ingress": "ingresses", "NetworkPolicy": "networkpolicies"},
    "policy/v1": {"PodDisruptionBudget": "poddisruptionbudgets"},
    "rbac.authorization.k8s.io/v1": {"Role": "roles", "RoleBinding": "rolebindings"},
}

WELL_KNOWN: Final[Mapping[Kind, Resource]] = {
    Kind("v1", "Namespace"): Resource("namespaces", namespaced=False),
    **{
        Kind(version, name): Resource(plural)
        for version, names in _NAMESPACED.items()
        for name, plural in names.items()
    },
}
"""Kinds whose paths never change, so that no request is spent on asking for them."""


class Resources:
    """Knows the path of every kind that the server serves; safe to use from several threads."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._known = dict(WELL_KNOWN)

    def path(self, kind: Kind, namespace: str, name: str | None = None) -> str:
        """Return the path of a collection, or of one object in it.

        An empty namespace means all of them. A name that would lead to another path is an
        InvalidError: `DELETE` with an empty one would take the whole collection. NotFoundError
        where the server does not serve the kind.
        """
        resource = self._known.get(kind) or self._discover(kind)
        parts = [_root(kind.api_version)]
        if resource.namespaced and namespace:
            parts.append(f"namespaces/{_segment(namespace, 'namespace')}")
        parts.append(resource.plural)
        if name is not None:
            parts.append(_segment(name, f"{kind.name} name"))
        return "/".join(parts)

    def _discover(self, kind: Kind) -> Resource:
        """Ask what the group has; only what is there is remembered, since more may be added."""
        doing = f"discover {kind.api_version}"
        try:
            group = self._wire.send(Call(doing, "GET", _root(kind.api_version)))
        except NotFoundError as error:
            raise _unserved(kind) from error
        try:
            found = _served(kind.api_version, group["resources"])
        except (KeyError, TypeError) as error:
            raise UnavailableError(f"{doing}: the answer is no list of kinds") from error
        self._known.update(found)
        if kind not in found:
            raise _unserved(kind)
        return found[kind]


def _served(api_version: str, listed: Iterable[Mapping[str, Any]]) -> dict[Kind, Resource]:
    return {
        Kind(api_version, str(entry["kind"])): Resource(str(entry["name"]), entry["namespaced"])
        for entry in listed
        if "/" not in entry["name"]
    }


def _unserved(kind: Kind) -> NotFoundError:
    message = f"{kind.name}: the server does not serve it in {kind.api_version}"
    return NotFoundError(message, Absence.KIND)


def _root(api_version: str) -> str:
    segments = "/".join(_segment(part, "apiVersion") for part in api_version.split("/"))
    return f"/apis/{segments}" if "/" in api_version else f"/api/{segments}"


def _segment(text: str, what: str) -> str:
    if text in {"", ".", ".."} or "/" in text or "%" in text:
        raise InvalidError(f"{what} {text!r}: not possible in a path of the API")
    return quote(text, safe="")
