"""Accounts and rights on a real server, set up by its admin."""

from pathlib import Path
from typing import Any

from tests.controlplane import waiting
from tests.controlplane.access import ControlPlane


def install(plane: ControlPlane, bodies: list[dict[str, Any]]) -> None:
    """Create objects as admin."""
    plurals = {"ServiceAccount": "serviceaccounts", "Role": "roles", "RoleBinding": "rolebindings"}
    for body in bodies:
        group = "api" if body["apiVersion"] == "v1" else "apis"
        root = f"/{group}/{body['apiVersion']}/namespaces/{body['metadata']['namespace']}"
        answer = plane.request("POST", f"{root}/{plurals[body['kind']]}", body)
        assert answer.status_code == 201, answer.text


def wait(plane: ControlPlane, user: str, namespace: str, resource: str = "/pods") -> None:
    """Wait until the server's authorizer has seen a new binding; `resource` is `group/plural`."""
    group, _, plural = resource.partition("/")
    wanted = {"namespace": namespace, "verb": "list", "group": group, "resource": plural}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "resourceAttributes": wanted},
    }
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"

    def granted() -> bool:
        return bool(plane.request("POST", path, review).json()["status"]["allowed"])

    waiting.until(f"the rights of {user}", granted)


def everywhere(plane: ControlPlane, name: str, rules: list[dict[str, Any]]) -> Path:
    """Bind rules for all namespaces to a new account in the namespace `name`; its kubeconfig."""
    api = "rbac.authorization.k8s.io"
    account = f"{name}-everywhere"
    install(
        plane,
        [
            {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": account, "namespace": name},
            }
        ],
    )
    role = {
        "apiVersion": f"{api}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": account},
        "rules": rules,
    }
    binding = {
        "apiVersion": f"{api}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": account},
        "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": account},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": name}],
    }
    for plural, body in (("clusterroles", role), ("clusterrolebindings", binding)):
        answer = plane.request("POST", f"/apis/{api}/v1/{plural}", body)
        assert answer.status_code == 201, answer.text
    wait(plane, f"system:serviceaccount:{name}:{account}", name)
    return plane.service_account_kubeconfig(name, account)
