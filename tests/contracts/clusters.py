"""The two implementations under test: the embedded API server, and a real one."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from reconcile.adapters.embedded.cluster import EmbeddedCluster
from reconcile.adapters.embedded.server import EmbeddedSettings
from reconcile.adapters.kube.connect import connect
from reconcile.adapters.kube.discovery import WELL_KNOWN
from reconcile.core.model import Kind, KubeObject
from reconcile.engine.ports import Cluster
from tests.builders import ref_of_object
from tests.controlplane import waiting
from tests.controlplane.access import ControlPlane

Operations = Sequence[Mapping[str, Any]]

USER = "alice"
RIGHTS = ["get", "list", "create", "patch", "delete"]
"""The verbs that `deploy/` grants, here for every tested kind."""

GROUPS = {
    "": [
        "configmaps",
        "persistentvolumeclaims",
        "pods",
        "secrets",
        "serviceaccounts",
        "services",
    ],
    "networking.k8s.io": ["networkpolicies"],
    "rbac.authorization.k8s.io": ["roles", "rolebindings"],
}


class OtherManager(Protocol):
    """Another manager that writes to the same cluster."""

    def edit(self, obj: KubeObject, operations: Operations) -> KubeObject:
        """Change an object by a JSON Patch, as the manager `other_manager`."""
        ...

    def create(self, body: KubeObject) -> KubeObject:
        """Create an object, as the manager `other_manager`."""
        ...


@dataclass(frozen=True, slots=True)
class ClusterUnderTest:
    """A cluster with a namespace for the test; `eventually` waits for the work of controllers."""

    cluster: Cluster
    namespace: str
    other_manager: OtherManager
    eventually: Callable[[str, Callable[[], bool]], None]
    collects_garbage: bool


@dataclass(frozen=True, slots=True)
class EmbeddedClient:
    """Uses methods of the embedded cluster that are not in the port."""

    cluster: EmbeddedCluster

    def edit(self, obj: KubeObject, operations: Operations) -> KubeObject:
        return self.cluster.edit(ref_of_object(obj), operations, "other_manager")

    def create(self, body: KubeObject) -> KubeObject:
        return self.cluster.create(body, "other_manager")


@dataclass(frozen=True, slots=True)
class RealClient:
    """Sends plain HTTP requests."""

    plane: ControlPlane

    def edit(self, obj: KubeObject, operations: Operations) -> KubeObject:
        path = f"{_collection(obj)}/{obj['metadata']['name']}"
        return self._send("PATCH", path, operations, "application/json-patch+json")

    def create(self, body: KubeObject) -> KubeObject:
        return self._send("POST", _collection(body), body, "application/json")

    def _send(self, method: str, path: str, body: object, content_type: str) -> KubeObject:
        answer = self.plane.request(
            method, path, body, content_type=content_type, params={"fieldManager": "other_manager"}
        )
        assert answer.status_code < 300, answer.text
        content: dict[str, Any] = answer.json()
        return content


def _collection(obj: KubeObject) -> str:
    kind = Kind(obj["apiVersion"], obj["kind"])
    root = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.api_version}"
    return f"{root}/namespaces/{obj['metadata']['namespace']}/{WELL_KNOWN[kind].plural}"


def embedded() -> ClusterUnderTest:
    """Make an empty embedded cluster with a fixed time and numbered UIDs."""
    numbers = itertools.count(1)
    settings = EmbeddedSettings(
        now=lambda: "2026-01-31T12:00:00Z",
        new_uid=lambda: f"00000000-0000-4000-8000-{next(numbers):012x}",
        namespaces={"contract"},
    )
    cluster = EmbeddedCluster(settings=settings)

    def eventually(what: str, done: Callable[[], bool]) -> None:
        assert done(), what

    return ClusterUnderTest(
        cluster, "contract", EmbeddedClient(cluster), eventually, collects_garbage=True
    )


@contextmanager
def real(plane: ControlPlane) -> Iterator[ClusterUnderTest]:
    """Make a namespace on a real server, for a user with the rights of the reconciler only."""
    _grant(plane)
    cluster = connect(str(plane.kubeconfig(USER)), None)
    try:
        yield ClusterUnderTest(
            cluster,
            plane.fresh_namespace("contract"),
            RealClient(plane),
            waiting.until,
            plane.has_controller_manager,
        )
    finally:
        cluster.close()


def _grant(plane: ControlPlane) -> None:
    api = "rbac.authorization.k8s.io"
    role = {
        "apiVersion": f"{api}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "contract"},
        "rules": [
            {"apiGroups": [group], "resources": resources, "verbs": RIGHTS}
            for group, resources in GROUPS.items()
        ],
    }
    binding = {
        "apiVersion": f"{api}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "contract"},
        "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": "contract"},
        "subjects": [{"apiGroup": api, "kind": "User", "name": USER}],
    }
    for plural, body in (("clusterroles", role), ("clusterrolebindings", binding)):
        answer = plane.request("POST", f"/apis/{api}/v1/{plural}", body)
        assert answer.status_code in {201, 409}, answer.text
