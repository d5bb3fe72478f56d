"""The exact rights of each Role: a change to a Role must change this list in the same review."""

from pathlib import Path
from typing import Any

import pytest

from reconcile.adapters.kube.discovery import WELL_KNOWN
from reconcile.adapters.sources.directory import DirectorySource, read_templates
from reconcile.core.model import Kind
from reconcile.engine.desired import DesiredBuilder
from reconcile.engine.ports import Cluster
from tests.deploy.manifests import DEPLOY, ROOT, documents, files, objects

READ = {"get", "list"}
WRITE = {"create", "patch", "delete"}
KINDS = {
    ("", "configmaps"),
    ("", "pods"),
    ("", "serviceaccounts"),
    ("", "services"),
    ("networking.k8s.io", "networkpolicies"),
}
ROLES = {
    "namespace": dict.fromkeys(KINDS, READ | WRITE),
    "reader": dict.fromkeys(KINDS, READ),
}
VERBS = {
    "list": {"list"},
    "metadata": {"list"},
    "get": {"get"},
    "apply": {"create", "patch"},
    "delete": {"delete"},
}
"""What each method of the port needs: server-side apply creates what is not there."""


def granted(folder: str) -> dict[tuple[str, str], set[str]]:
    found: dict[tuple[str, str], set[str]] = {}
    for role in of_kind("Role", folder):
        for rule in role["rules"]:
            assert rule.keys() == {"apiGroups", "resources", "verbs"}
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    found.setdefault((group, resource), set()).update(rule["verbs"])
    return found


def of_kind(kind: str, folder: str) -> list[Any]:
    return [body for body in objects(folder) if body["kind"] == kind]


def resource(kind: Kind) -> tuple[str, str]:
    return kind.group, WELL_KNOWN[kind].plural


def test_every_file_is_installed_by_a_kustomization() -> None:
    reached = {path for folder in DEPLOY.iterdir() for path in files(folder)}
    assert {path for path in DEPLOY.rglob("*.*") if path.name != "kustomization.yaml"} == reached


@pytest.mark.parametrize("path", sorted(DEPLOY.rglob("*.yaml")), ids=lambda path: path.name)
def test_every_file_holds_objects(path: Path) -> None:
    bodies = documents(path)
    assert bodies
    assert all(body["apiVersion"] and body["kind"] for body in bodies)


@pytest.mark.parametrize("folder", ROLES)
def test_a_role_grants_exactly_what_is_pinned(folder: str) -> None:
    assert granted(folder) == ROLES[folder]


def test_nothing_else_grants_anything() -> None:
    for folder in {path.name for path in DEPLOY.iterdir()} - ROLES.keys():
        kinds = {body["kind"] for body in objects(folder)}
        assert kinds <= {"Namespace", "ServiceAccount", "ConfigMap", "CronJob"}


def test_the_role_covers_what_the_engine_may_ask_of_a_cluster() -> None:
    methods = {name for name in vars(Cluster) if not name.startswith("_")}
    assert methods == VERBS.keys()
    assert set().union(*VERBS.values()) == READ | WRITE


def test_the_roles_cover_every_kind_that_the_templates_render() -> None:
    builder = DesiredBuilder(read_templates(ROOT / "templates"))
    desired = builder.build(DirectorySource(ROOT / "desired").read())
    rendered = {manifest.kind for wanted in desired.sessions for manifest in wanted.manifests}
    assert Kind("v1", "Pod") in rendered
    assert {resource(kind) for kind in rendered | desired.kinds} == KINDS


@pytest.mark.parametrize(
    ("folder", "account"), [("namespace", "reconcile"), ("reader", "reconcile-reader")]
)
def test_a_binding_gives_its_role_to_one_account_that_base_makes(folder: str, account: str) -> None:
    [role], [binding] = of_kind("Role", folder), of_kind("RoleBinding", folder)
    assert binding["roleRef"] == {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "Role",
        "name": role["metadata"]["name"],
    }
    subject = {"kind": "ServiceAccount", "name": account, "namespace": "reconcile"}
    assert binding["subjects"] == [subject]
    accounts = [body["metadata"] for body in of_kind("ServiceAccount", "base")]
    assert {"name": account, "namespace": "reconcile"} in accounts


@pytest.mark.parametrize("folder", ROLES)
def test_rights_go_to_the_namespace_that_the_command_line_names(folder: str) -> None:
    assert all("namespace" not in body["metadata"] for body in objects(folder))
