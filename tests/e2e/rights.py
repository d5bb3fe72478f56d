"""Service accounts and RBAC on a real server, created by its admin."""

import uuid
from pathlib import Path
from typing import Any, TypeAlias

from tests.controlplane import waiting
from tests.controlplane.access import ControlPlane

Rules: TypeAlias = list[dict[str, Any]]


def install(plane: ControlPlane, bodies: list[dict[str, Any]]) -> None:
    """Create objects as admin."""
    plurals = {"ServiceAccount": "serviceaccounts", "Role": "roles", "RoleBinding": "rolebindings"}
    for body in bodies:
        group = "api" if body["apiVersion"] == "v1" else "apis"
        root = f"/{group}/{body['apiVersion']}/namespaces/{body['metadata']['namespace']}"
        plane.create(f"{root}/{plurals[body['kind']]}", body)


def wait(plane: ControlPlane, user: str, namespace: str, resource: str = "/pods") -> None:
    """Wait until the server's authorizer uses a new binding; `resource` is `group/plural`."""
    group, _, plural = resource.partition("/")
    wanted = {"namespace": namespace, "verb": "list", "group": group, "resource": plural}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "resourceAttributes": wanted},
    }
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"

    def granted() -> bool:
        return bool(plane.create(path, review)["status"]["allowed"])

    waiting.until(f"the rights of {user}", granted)


def everywhere(plane: ControlPlane, home: str, rules: Rules) -> Path:
    """Make an account in `home` with these rules in all namespaces; returns its kubeconfig."""
    return _made(plane, home, rules, "Cluster", "/pods")


def account(plane: ControlPlane, home: str, rules: Rules, resource: str) -> Path:
    """Make an account in `home` with these rules there; they must allow to list `resource`."""
    return _made(plane, home, rules, "", resource)


def _made(plane: ControlPlane, home: str, rules: Rules, scope: str, resource: str) -> Path:
    api = "rbac.authorization.k8s.io"
    name = f"reader-{uuid.uuid4().hex[:8]}"
    subject = {"kind": "ServiceAccount", "name": name, "namespace": home}
    metadata = {"name": name} if scope else {"name": name, "namespace": home}
    role: dict[str, Any] = {"kind": f"{scope}Role", "rules": rules}
    binding: dict[str, Any] = {
        "kind": f"{scope}RoleBinding",
        "roleRef": {"apiGroup": api, "kind": f"{scope}Role", "name": name},
        "subjects": [subject],
    }
    accounts = {"apiVersion": "v1", "kind": "ServiceAccount"}
    install(plane, [{**accounts, "metadata": {"name": name, "namespace": home}}])
    place = "" if scope else f"/namespaces/{home}"
    for body in (role, binding):
        path = f"/apis/{api}/v1{place}/{body['kind'].lower()}s"
        complete = {"apiVersion": f"{api}/v1", "metadata": metadata, **body}
        plane.create(path, complete)
    wait(plane, f"system:serviceaccount:{home}:{name}", home, resource)
    return plane.service_account_kubeconfig(home, name)
