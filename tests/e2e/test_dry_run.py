"""`diff --server-dry-run` on a real server: what admission would do, and that nothing is done."""

import json

import pytest

from reconcile.cli.exit_codes import ExitCode
from tests.controlplane.audit import Mark
from tests.deploy.manifests import objects
from tests.e2e import rights
from tests.e2e.site import READER, Object, RunResult, Site

pytestmark = pytest.mark.cluster

DRY = "--server-dry-run"
RECREATE = {"strategy": "Recreate"}


def verdicts(ended: RunResult) -> dict[str, Object]:
    """What was said of each object, by `Kind/name`."""
    found = json.loads(ended.out)["admission"]
    return {f"{each['kind']}/{each['name']}": each for each in found}


def changed_nothing(site: Site, mark: Mark, before: dict[str, Object]) -> None:
    """Assert that every write was a dry run, that some were, and that all is as it was."""
    writes = site.writes(mark)
    assert writes
    assert all("dryRun=All" in event.path for event in writes), writes
    assert site.everything() == before


def limit_range(site: Site, **limits: Object) -> None:
    """Let admission judge containers by a LimitRange."""
    body = {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": {"name": "limits"},
        "spec": {"limits": [{"type": "Container", **limits}]},
    }
    path = f"/api/v1/namespaces/{site.namespace}/limitranges"
    site.plane.create(path, body)


def test_a_first_plan_is_tried_and_nothing_is_written(site: Site) -> None:
    site.session("one")
    mark = site.plane.audit().mark()
    ended = site.diff(DRY, "-o", "json", expect=ExitCode.CHANGES)
    found = verdicts(ended)
    pod = found.pop("Pod/one-runner")
    assert pod["verdict"] == "notTried"
    assert pod["message"].endswith("session-one does not exist yet")
    assert {each["verdict"] for each in found.values()} == {"accepted"}
    assert len(found) == 6
    changed_nothing(site, mark, {})


def test_patches_and_replacements_are_tried_in_place_and_elsewhere(site: Site) -> None:
    site.session("one")
    site.apply()
    before = site.everything()
    site.session("one", displayName="Renamed", initialPrompt="Other work")
    mark = site.plane.audit().mark()
    ended = site.diff(DRY, "-o", "json", expect=ExitCode.CHANGES)
    found = verdicts(ended)
    assert "Pod/one-runner" in found
    assert {each["verdict"] for each in found.values()} == {"accepted"}, ended.out
    changed_nothing(site, mark, before)
    assert any("one-runner-dry-run" in event.path for event in site.writes(mark))


def test_a_held_change_is_tried_too(site: Site) -> None:
    site.session("one")
    site.apply()
    site.start_pod("one-runner")
    site.session("one", displayName="Renamed", environmentVariables={"MODE": "other"})
    ended = site.diff(DRY, "-o", "json", expect=ExitCode.CHANGES)
    assert '"action": "hold"' in ended.out
    assert verdicts(ended)["Pod/one-runner"]["verdict"] == "accepted"


def test_what_admission_refuses_is_told_and_is_no_mere_change(site: Site) -> None:
    site.session("one", update=RECREATE)
    site.apply()
    limit_range(site, max={"memory": "1Mi"}, default={"memory": "1Mi"})
    before = site.everything()
    spec = {"requests": {"memory": "1Gi"}, "limits": {"memory": "1Gi"}}
    runner = {"image": "registry.example/runner:1", "resources": spec}
    site.session("one", update=RECREATE, runner=runner)
    mark = site.plane.audit().mark()
    ended = site.diff(DRY, expect=ExitCode.REFUSED)
    assert "1 refused" in ended.out
    assert "maximum memory usage per Container is 1Mi" in ended.out
    as_json = site.diff(DRY, "-o", "json", expect=ExitCode.REFUSED)
    assert verdicts(as_json)["Pod/one-runner"]["verdict"] == "refused"
    changed_nothing(site, mark, before)


def test_what_admission_adds_is_told(site: Site) -> None:
    site.session("one", update=RECREATE)
    site.apply()
    limit_range(site, default={"ephemeral-storage": "1Gi"})
    site.session("one", update=RECREATE, environmentVariables={"MODE": "other"})
    ended = site.diff(DRY, "-o", "json", expect=ExitCode.CHANGES)
    pod = verdicts(ended)["Pod/one-runner"]
    assert pod["verdict"] == "altered", pod
    assert [field["path"] for field in pod["fields"]] == [
        "metadata.annotations[kubernetes.io/limit-ranger]"
    ]
    text = site.diff(DRY, expect=ExitCode.CHANGES).out
    assert "admission adds metadata.annotations[kubernetes.io/limit-ranger]" in text


def test_a_secret_that_a_refusal_quotes_is_masked(site: Site) -> None:
    canary = "c4nary!Zx81 value"
    site.template(
        "service",
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: one-x\nspec:\n  type: ExternalName\n"
        "  ports: []\n  externalName: {{ session.spec.environmentVariables.API_TOKEN | tojson }}\n",
    )
    site.session("one", environmentVariables={"API_TOKEN": canary})
    ended = site.run("diff", DRY)
    assert ended.code == ExitCode.REFUSED, str(ended)
    assert canary not in str(ended)
    assert canary not in str(site.run("diff", DRY, "-o", "json"))


def test_a_reader_is_told_which_rights_are_missing(site: Site) -> None:
    site.session("one")
    reader = site.plane.service_account_kubeconfig(site.namespace, READER)
    ended = site.run("diff", DRY, kubeconfig=reader)
    assert ended.code == ExitCode.UNREACHABLE, str(ended)
    for kind in ("ConfigMap", "NetworkPolicy", "Service", "ServiceAccount"):
        assert f"grant `patch` on {kind} in this namespace" in ended.err
    assert f'in the namespace "{site.namespace}"' in ended.err
    assert site.everything() == {}


def test_a_plan_for_a_namespace_that_is_not_there_waits_for_it(site: Site) -> None:
    gone = f"{site.namespace}-gone"
    rules = [rule for body in objects("namespace") for rule in body.get("rules", ())]
    kubeconfig = rights.everywhere(site.plane, site.namespace, rules)
    site.session("one", folder=gone)
    plain = site.run("diff", kubeconfig=kubeconfig)
    assert plain.code == ExitCode.CHANGES, str(plain)
    assert "6 to create" in plain.out
    ended = site.run("diff", DRY, kubeconfig=kubeconfig)
    assert ended.code == ExitCode.CHANGES, str(ended)
    assert f"7 objects in {gone}: not tried: the namespace does not exist yet" in ended.out
