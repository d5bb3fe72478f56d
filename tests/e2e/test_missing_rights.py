"""Reading needs each right of `deploy/reader` and no other: without one, that very one is named."""

import copy
from pathlib import Path
from typing import Any

import pytest

from reconcile.cli.exit_codes import ExitCode
from reconcile.core.model import ANNOTATION_ADOPT
from tests.deploy.manifests import objects
from tests.e2e import rights
from tests.e2e.site import READER, SHIPPED, Site

pytestmark = pytest.mark.cluster

FORMS = ["text", "unified", "markdown", "json", "names", "github"]
RESOURCES = {
    "ConfigMap": "configmaps",
    "NetworkPolicy": "networkpolicies",
    "Pod": "pods",
    "Service": "services",
    "ServiceAccount": "serviceaccounts",
}
WIDGET = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: one-x}\nspec: {size: 1}\n"


def reader_rules() -> list[dict[str, Any]]:
    return copy.deepcopy([rule for body in objects("reader") for rule in body.get("rules", ())])


def without(resource: str, verb: str) -> list[dict[str, Any]]:
    """The rules of `deploy/reader`, but for one verb on one resource."""
    rules = []
    for rule in reader_rules():
        for plural in rule["resources"]:
            verbs = [each for each in rule["verbs"] if (plural, each) != (resource, verb)]
            rules.append({**rule, "resources": [plural], "verbs": verbs})
    return rules


def account(site: Site, rules: list[dict[str, Any]]) -> Path:
    """An account with these rules in the site's namespace, and no others."""
    waits_for = next(
        f"{rule['apiGroups'][0]}/{rule['resources'][0]}"
        for rule in rules
        if "list" in rule["verbs"]
    )
    return rights.account(site.plane, site.namespace, rules, waits_for)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_diff_only_gets_and_lists(site: Site, form: str) -> None:
    site.session("one")
    site.apply()
    site.session("one", displayName="Renamed")
    before = site.everything()
    reader = site.plane.service_account_kubeconfig(site.namespace, READER)
    mark = site.plane.audit().mark()
    ended = site.run("diff", "-o", form, kubeconfig=reader)
    assert ended.code == ExitCode.CHANGES, str(ended)
    user = site.user.replace(":reconcile", f":{READER}")
    asked = site.plane.audit().since(mark, user=user)
    assert {event.verb for event in asked} <= {"get", "list"}
    assert {event.code for event in asked} == {200}
    assert site.everything() == before


def test_the_cases_are_all_kinds_that_are_shipped() -> None:
    assert RESOURCES.keys() == SHIPPED.keys()
    assert sorted(RESOURCES.values()) == sorted(
        r for rule in reader_rules() for r in rule["resources"]
    )


@pytest.mark.parametrize("kind", RESOURCES)
def test_a_diff_names_the_kind_that_it_may_not_list(site: Site, kind: str) -> None:
    site.session("one")
    resource = RESOURCES[kind]
    ended = site.run("diff", kubeconfig=account(site, without(resource, "list")))
    assert ended.code == ExitCode.UNREACHABLE, str(ended)
    assert f'cannot list resource "{resource}"' in ended.err
    assert f'in the namespace "{site.namespace}"' in ended.err
    assert f"grant `list` on {kind} in this namespace" in ended.err
    assert "Nothing to do" not in ended.out


def test_a_diff_names_the_kind_that_it_may_not_get(site: Site) -> None:
    site.session("one")
    annotations = {ANNOTATION_ADOPT: "default"}
    body = {"metadata": {"name": "session-one", "annotations": annotations}}
    site.create("ServiceAccount", body)
    ended = site.run("diff", kubeconfig=account(site, without("serviceaccounts", "get")))
    assert ended.code == ExitCode.UNREACHABLE, str(ended)
    assert 'cannot get resource "serviceaccounts"' in ended.err
    assert f'in the namespace "{site.namespace}"' in ended.err
    assert "grant `get` on ServiceAccount in this namespace" in ended.err


@pytest.mark.parametrize("kind", ["ConfigMap", "Pod"])
def test_a_status_names_the_kind_that_it_may_not_list(site: Site, kind: str) -> None:
    site.session("one")
    site.apply()
    resource = RESOURCES[kind]
    ended = site.run("status", kubeconfig=account(site, without(resource, "list")))
    assert ended.code == ExitCode.UNREACHABLE, str(ended)
    assert f'cannot list resource "{resource}"' in ended.err
    assert f'in the namespace "{site.namespace}"' in ended.err


@pytest.mark.parametrize("verb", ["create", "patch"])
def test_a_dry_run_names_the_right_that_it_lacks(site: Site, verb: str) -> None:
    site.session("one")
    rules = [{**rule, "verbs": ["get", "list", "create", "patch"]} for rule in reader_rules()]
    lacking = [
        {**rule, "verbs": [each for each in rule["verbs"] if each != verb]} for rule in rules
    ]
    ended = site.run("diff", "--server-dry-run", kubeconfig=account(site, lacking))
    assert ended.code == ExitCode.UNREACHABLE, str(ended)
    assert f'cannot {verb} resource "services"' in ended.err
    assert f"grant `{verb}` on Service in this namespace" in ended.err
    enough = account(site, rules)
    assert site.run("diff", "--server-dry-run", kubeconfig=enough).code == ExitCode.CHANGES


def test_a_kind_that_the_server_does_not_serve_yet_is_a_plan_to_create(site: Site) -> None:
    site.template("widget", WIDGET)
    site.session("one")
    reader = site.plane.service_account_kubeconfig(site.namespace, READER)
    ended = site.run("diff", kubeconfig=reader)
    assert ended.code == ExitCode.CHANGES, str(ended)
    assert "+ Widget one-x" in ended.out
    assert "7 to create" in ended.out
    tried = site.diff("--server-dry-run", expect=ExitCode.CHANGES)
    assert "Widget" in tried.out
    assert "not tried: the server does not serve this kind yet" in tried.out
