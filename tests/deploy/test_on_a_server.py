"""A real API server takes `deploy/`, and its rights are exactly the pinned ones."""

import json
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from tests.controlplane import waiting
from tests.controlplane.access import ControlPlane
from tests.deploy.manifests import objects, placed
from tests.deploy.test_rights import READ, ROLES, WRITE

pytestmark = pytest.mark.cluster

VERBS = READ | WRITE | {"watch", "update", "deletecollection"}
FORBIDDEN = {
    ("", "events"),
    ("", "nodes"),
    ("", "persistentvolumeclaims"),
    ("", "pods/exec"),
    ("", "pods/log"),
    ("", "secrets"),
    ("", "serviceaccounts/token"),
    ("apps", "deployments"),
    ("rbac.authorization.k8s.io", "rolebindings"),
    ("rbac.authorization.k8s.io", "roles"),
}
ACCOUNTS = {"namespace": "reconcile", "reader": "reconcile-reader"}


@dataclass(frozen=True, slots=True)
class Installed:
    """One installation: its own namespace, one that it manages, and one that it does not."""

    plane: ControlPlane
    home: str
    managed: str
    other: str

    def may(self, account: str, verb: str, resource: tuple[str, str], namespace: str) -> bool:
        group, name = resource
        name, _, subresource = name.partition("/")
        attributes = {"namespace": namespace, "verb": verb, "group": group}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": f"system:serviceaccount:{self.home}:{account}",
                "groups": ["system:serviceaccounts", "system:authenticated"],
                "resourceAttributes": {
                    **attributes,
                    "resource": name,
                    "subresource": subresource,
                },
            },
        }
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        return bool(self.plane.create(path, review)["status"]["allowed"])


def apply(plane: ControlPlane, bodies: list[Any]) -> str:
    listed = {"apiVersion": "v1", "kind": "List", "items": bodies}
    return plane.kubectl("apply", "-f", "-", stdin=json.dumps(listed))


@pytest.fixture(scope="module")
def installed(control_plane: ControlPlane) -> Installed:
    home, managed, other = (control_plane.fresh_namespace(name) for name in ("home", "in", "out"))
    accounts = [body for body in objects("base") if body["kind"] == "ServiceAccount"]
    apply(control_plane, placed(accounts, home))
    for folder in ROLES:
        apply(control_plane, placed(objects(folder), managed, home=home))
    place = Installed(control_plane, home, managed, other)
    for account in ACCOUNTS.values():
        waiting.until(
            f"the rights of {account}",
            partial(place.may, account, "get", ("", "pods"), managed),
        )
    return place


@pytest.mark.parametrize("folder", ROLES)
def test_an_account_may_do_what_its_role_says_and_nothing_else(
    installed: Installed, folder: str
) -> None:
    pinned = ROLES[folder]
    allowed = {
        (resource, verb)
        for resource in pinned.keys() | FORBIDDEN
        for verb in VERBS
        if installed.may(ACCOUNTS[folder], verb, resource, installed.managed)
    }
    assert allowed == {(resource, verb) for resource, verbs in pinned.items() for verb in verbs}


@pytest.mark.parametrize("account", ACCOUNTS.values())
def test_an_account_may_do_nothing_outside_of_its_namespaces(
    installed: Installed, account: str
) -> None:
    for namespace in (installed.other, installed.home, ""):
        for resource in ROLES["namespace"]:
            assert not any(installed.may(account, verb, resource, namespace) for verb in VERBS)


def test_the_cronjob_is_taken_and_applying_it_again_changes_nothing(installed: Installed) -> None:
    plane = installed.plane
    bodies = [body for body in objects("cronjob") if body["kind"] in {"ConfigMap", "CronJob"}]
    bodies = placed(bodies, installed.home)
    for body in bodies:
        if body["kind"] == "CronJob" and plane.version < (1, 21):
            body["apiVersion"] = "batch/v1beta1"
    assert "cronjob.batch/reconcile created" in apply(plane, bodies)
    again = apply(plane, bodies)
    assert again.count("unchanged") == len(bodies)


def test_the_server_keeps_every_field_of_the_cronjobs_pods(installed: Installed) -> None:
    [body] = [body for body in objects("cronjob") if body["kind"] == "CronJob"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "pass"},
        "spec": body["spec"]["jobTemplate"]["spec"]["template"]["spec"],
    }
    path = f"/api/v1/namespaces/{installed.home}/pods"
    answer = installed.plane.request("POST", path, pod, params={"dryRun": "All"})
    assert answer.status_code == 201
    assert_contains(answer.json()["spec"], pod["spec"], "spec")


def assert_contains(live: Any, declared: Any, where: str) -> None:
    if isinstance(declared, dict):
        for key, value in declared.items():
            assert key in live, f"{where}.{key} was dropped"
            assert_contains(live[key], value, f"{where}.{key}")
    elif isinstance(declared, list):
        assert len(live) == len(declared), where
        for index, value in enumerate(declared):
            assert_contains(live[index], value, f"{where}[{index}]")
    else:
        assert live == declared, where
