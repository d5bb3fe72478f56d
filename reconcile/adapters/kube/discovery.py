"""The path of a kind on the server: from a table for common kinds, else by discovery."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from reconcile.adapters.kube.transport import ApiClient, ApiRequest
from reconcile.core.errors import InvalidError, NotFoundError, NotFoundReason, UnavailableError
from reconcile.core.model import Kind


@dataclass(frozen=True, slots=True)
class ApiResource:
    """The plural of a kind in paths, and whether its objects are namespaced."""

    plural: str
    namespaced: bool = True


_NAMESPACED_PLURALS: Final = {
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

WELL_KNOWN: Final[Mapping[Kind, ApiResource]] = {
    Kind("v1", "Namespace"): ApiResource("namespaces", namespaced=False),
    **{
        Kind(version, name): ApiResource(plural)
        for version, names in _NAMESPACED_PLURALS.items()
        for name, plural in names.items()
    },
}
"""Kinds whose paths never change, so that they need no request for discovery."""


ALWAYS_SERVED: Final = frozenset(
    kind
    for kind in WELL_KNOWN
    if kind.api_version in {"v1", "apps/v1", "networking.k8s.io/v1", "rbac.authorization.k8s.io/v1"}
)
"""Kinds that every API server serves; what does not serve them is not an API server."""


class RestMapper:
    """Maps every kind that the server serves to its path; safe to use from several threads."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._resources = dict(WELL_KNOWN)

    def path(self, kind: Kind, namespace: str, name: str | None = None) -> str:
        """Return the path of a collection, or of one object in it.

        An empty namespace means all namespaces. A name that would change the path is an
        InvalidError: `DELETE` with an empty name would delete the whole collection. NotFoundError
        if the server does not serve the kind.
        """
        resource = self._resources.get(kind) or self._discover(kind)
        parts = [_api_root(kind.api_version)]
        if resource.namespaced and namespace:
            parts.append(f"namespaces/{_quote_segment(namespace, 'namespace')}")
        parts.append(resource.plural)
        if name is not None:
            parts.append(_quote_segment(name, f"{kind.name} name"))
        return "/".join(parts)

    def _discover(self, kind: Kind) -> ApiResource:
        """Read the kinds of the group version; a missing kind is not cached, it may be added."""
        operation = f"discover {kind.api_version}"
        try:
            group = self._client.send(ApiRequest(operation, "GET", _api_root(kind.api_version)))
        except NotFoundError as error:
            raise _not_served_error(kind) from error
        try:
            resources = _parse_resources(kind.api_version, group["resources"])
        except (KeyError, TypeError) as error:
            raise UnavailableError(f"{operation}: the response is not a list of kinds") from error
        self._resources.update(resources)
        if kind not in resources:
            raise _not_served_error(kind)
        return resources[kind]


def _parse_resources(
    api_version: str, listed: Iterable[Mapping[str, Any]]
) -> dict[Kind, ApiResource]:
    return {
        Kind(api_version, str(entry["kind"])): ApiResource(str(entry["name"]), entry["namespaced"])
        for entry in listed
        if "/" not in entry["name"]
    }


def _not_served_error(kind: Kind) -> NotFoundError:
    message = f"{kind.name}: the server does not serve it in {kind.api_version}"
    return NotFoundError(message, NotFoundReason.KIND)


def _api_root(api_version: str) -> str:
    segments = "/".join(_quote_segment(part, "apiVersion") for part in api_version.split("/"))
    return f"/apis/{segments}" if "/" in api_version else f"/api/{segments}"


def _quote_segment(text: str, what: str) -> str:
    if text in {"", ".", ".."} or "/" in text or "%" in text:
        raise InvalidError(f"{what} {text!r}: cannot be part of an API path")
    return quote(text, safe="")
