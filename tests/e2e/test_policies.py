"""Policies that demand a label on every object, on a real server with admission webhooks."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from reconcile.cli.exit_codes import ExitCode
from reconcile.core.model import LABEL_INSTALLATION
from tests.e2e.site import Object, RunResult, Site
from tests.e2e.webhooks import DeniedError, mutating, validating

pytestmark = pytest.mark.cluster

DRY = "--server-dry-run"
KINDS = ("configmaps", "networkpolicies", "pods", "serviceaccounts", "services")
INVENTORY = "ConfigMap/reconcile-inventory-default"
FORBIDDEN = {"code": 403, "reason": "Forbidden", "message": "the label cost-center is missing"}
OWN_REASON = {"code": 403, "reason": "the label cost-center is missing"}
MISLEADING = {"code": 403, "message": "you cannot patch resource x without the label cost-center"}
NO_CODE = {"message": "the label cost-center is missing"}
UNAUTHORIZED = {"code": 401, "reason": "Unauthorized", "message": "cost-center is missing"}


def demand(status: Object) -> Callable[[Object], None]:
    """A policy that refuses objects of ours without a label."""

    def check(body: Object) -> None:
        labels = body["metadata"].get("labels", {})
        if LABEL_INSTALLATION in labels and "cost-center" not in labels:
            raise DeniedError(status)

    return check


def label_all(site: Site, **labels: str) -> None:
    metadata = {"labels": labels, "annotations": {"example.com/owner": "platform"}}
    site.defaults(metadata)


def verdicts(ended: RunResult) -> dict[str, Object]:
    found = json.loads(ended.out)["admission"]
    return {f"{each['kind']}/{each['name']}": each for each in found}


WEBHOOKS = [mutating, validating]


@pytest.mark.parametrize("webhook", WEBHOOKS, ids=lambda webhook: webhook.__name__)
def test_a_namespace_with_such_a_policy_can_be_used(
    site: Site, webhook: Callable[..., AbstractContextManager[None]]
) -> None:
    label_all(site, **{"cost-center": "agents"})
    with webhook(site, demand(FORBIDDEN), *KINDS):
        site.session("one")
        dry = site.diff(DRY, "-o", "json", expect=ExitCode.CHANGES)
        found = verdicts(dry)
        assert found.pop("Pod/one-runner")["verdict"] == "notTried"
        assert INVENTORY in found
        assert {each["verdict"] for each in found.values()} == {"accepted"}, dry.out
        site.apply()
        site.start_pod("one-runner")
        site.is_settled()
        for body in site.everything().values():
            assert body["metadata"]["labels"]["cost-center"] == "agents", body
            assert body["metadata"]["annotations"]["example.com/owner"] == "platform", body
        site.session("one", displayName="Renamed")
        site.apply()
        site.is_settled()
        site.session("one", state="Stopped")
        site.apply()
        site.is_settled()


@pytest.mark.parametrize(
    ("webhook", "status"),
    [
        (mutating, FORBIDDEN),
        (mutating, OWN_REASON),
        (mutating, MISLEADING),
        (mutating, NO_CODE),
        (mutating, UNAUTHORIZED),
        (validating, FORBIDDEN),
        (validating, OWN_REASON),
    ],
    ids=lambda value: value.__name__ if callable(value) else "-".join(map(str, value.values())),
)
def test_each_object_that_such_a_policy_refuses_is_named(
    site: Site, webhook: Callable[..., AbstractContextManager[None]], status: Object
) -> None:
    site.session("one")
    with webhook(site, demand(status), *KINDS):
        dry = site.diff(DRY, "-o", "json", expect=ExitCode.REFUSED)
        found = verdicts(dry)
        assert found.pop("Pod/one-runner")["verdict"] == "notTried"
        assert len(found) == 6
        assert INVENTORY in found
        assert {each["verdict"] for each in found.values()} == {"refused"}, dry.out
        assert all("cost-center" in each["message"] for each in found.values())
        assert "grant" not in str(dry)
        text = site.diff(DRY, expect=ExitCode.REFUSED)
        assert f"ConfigMap {site.namespace}/session-one: refused: " in text.out
    assert site.everything() == {}


def test_a_record_that_cannot_be_written_any_more_is_found_by_a_dry_run(site: Site) -> None:
    site.session("one")
    site.apply()
    label = "/metadata/labels/app.kubernetes.io~1managed-by"
    site.edit("Service", "session-one", {"op": "replace", "path": label, "value": "other"})
    with mutating(site, demand(FORBIDDEN), "configmaps"):
        found = verdicts(site.diff(DRY, "-o", "json", expect=ExitCode.REFUSED))
        assert found["ConfigMap/session-one"]["verdict"] == "refused"
        assert found["Service/session-one"]["verdict"] == "accepted"


def test_a_policy_is_met_by_a_change_in_place(site: Site) -> None:
    site.session("one")
    site.apply()
    site.start_pod("one-runner")
    before = site.everything()
    label_all(site, **{"cost-center": "agents"})
    with mutating(site, demand(FORBIDDEN), *KINDS):
        changes = site.plan()
        assert {change["action"] for change in changes} == {"patch"}, changes
        site.apply()
        after = site.everything()
        assert {name: body["metadata"]["uid"] for name, body in after.items()} == {
            name: body["metadata"]["uid"] for name, body in before.items()
        }
        assert {body["metadata"]["labels"]["cost-center"] for body in after.values()} == {"agents"}
        site.is_settled()
    label_all(site)
    site.apply()
    assert not any("cost-center" in b["metadata"]["labels"] for b in site.everything().values())
    site.is_settled()


def test_what_a_webhook_quotes_is_masked_and_escaped(site: Site) -> None:
    canary = "c4nary!Zx81 value"

    def quote(body: Object) -> None:
        if body["metadata"]["name"] == "session-one":
            raise DeniedError(
                {"code": 403, "message": f"::error::\x1b[31m{canary}", "reason": canary}
            )

    site.session("one", environmentVariables={"API_TOKEN": canary})
    with mutating(site, quote, "services"):
        for arguments in ((), ("-o", "json")):
            ended = site.diff(DRY, *arguments, expect=ExitCode.REFUSED)
            assert canary not in str(ended)
            assert "\x1b" not in str(ended)
