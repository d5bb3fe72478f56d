"""Minimal objects of each kind, to apply."""

from typing import Any

from reconcile.core.errors import NotFoundError
from reconcile.core.model import Kind, KubeObject
from reconcile.engine.ports import ApplyOptions, Cluster
from tests.builders import kind_of

CONFIG_MAP = Kind("v1", "ConfigMap")
POD = Kind("v1", "Pod")
SERVICE = Kind("v1", "Service")
RBAC = "rbac.authorization.k8s.io/v1"
SECRET = Kind("v1", "Secret")
ACCOUNT = Kind("v1", "ServiceAccount")
CLAIM = Kind("v1", "PersistentVolumeClaim")
NETWORK_POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy")
ROLE = Kind(RBAC, "Role")
BINDING = Kind(RBAC, "RoleBinding")

OURS = ApplyOptions("reconcile")
FORCED = ApplyOptions("reconcile", force=True)
DRY = ApplyOptions("reconcile", dry_run=True)
OTHERS = ApplyOptions("another")
UNUSED_UID = "00000000-0000-4000-8000-00000000dead"

Body = dict[str, Any]


def body(kind: Kind, namespace: str, name: str = "one", **fields: Any) -> Body:
    """Any object; `metadata` adds to its name and namespace."""
    metadata = {"name": name, "namespace": namespace, **fields.pop("metadata", {})}
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, **fields}


def config_map(namespace: str, name: str = "one", **fields: Any) -> Body:
    return body(CONFIG_MAP, namespace, name, **fields)


def pod(namespace: str, container: Body | None = None, **spec: Any) -> Body:
    """A pod of one container without a token; it is never scheduled."""
    runner = {"name": "runner", "image": "registry.example/runner:1", **(container or {})}
    defaults = {"automountServiceAccountToken": False, "containers": [runner]}
    return body(POD, namespace, spec={**defaults, **spec})


def service(namespace: str, *ports: int, **spec: Any) -> Body:
    listed = [{"name": f"p{port}", "port": port, "protocol": "TCP"} for port in ports]
    return body(SERVICE, namespace, spec={"selector": {"app": "a"}, "ports": listed, **spec})


def uid(obj: KubeObject) -> str:
    return str(obj["metadata"]["uid"])


def version(obj: KubeObject) -> str:
    return str(obj["metadata"]["resourceVersion"])


def owner(obj: KubeObject) -> Body:
    """An owner reference like those of the reconciler."""
    return {
        "apiVersion": obj["apiVersion"],
        "kind": obj["kind"],
        "name": obj["metadata"]["name"],
        "uid": uid(obj),
        "controller": True,
        "blockOwnerDeletion": False,
    }


def exists(cluster: Cluster, obj: KubeObject) -> bool:
    try:
        cluster.get(kind_of(obj), obj["metadata"]["namespace"], obj["metadata"]["name"])
    except NotFoundError:
        return False
    return True
