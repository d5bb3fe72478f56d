"""Passes over pods that were resized in place, after their creation."""

from functools import partial

import pytest

from reconcile.core.changes import Drift, Hold, HoldReason, Status
from reconcile.core.mask.masker import Masker
from reconcile.core.plan.approval import compute_plan_digest
from reconcile.core.report.json_output import plan_json
from reconcile.core.report.markdown import format_markdown
from reconcile.core.report.problems import Findings
from reconcile.core.report.text import format_plan_text
from reconcile.core.report.unified import format_unified
from reconcile.core.report.view import LiveCluster, PlanReport
from tests.engine.fakes import MutatingCluster
from tests.engine.installation import EmbeddedInstallation, is_quiet, settled

CPU = "spec.containers[runner].resources.requests.cpu"
LATER = "2026-01-31T12:01:00Z"
RECREATE = "update: {strategy: Recreate}"


def resized(spec="initialPrompt: work", cpu="1"):
    """An installation with a pod at work, which a VPA has resized."""
    world = settled().add("one", spec)
    assert not world.apply().bad
    world.cluster.tick(60)
    world.resize("one-runner", cpu)
    return world


def holds(planned):
    return [change for change in planned.plan.changes if isinstance(change, Hold)]


def uid(world):
    return world.get("Pod", "one-runner")["metadata"]["uid"]


@pytest.mark.parametrize("strategy", ["", RECREATE])
def test_a_resize_is_drift_that_names_manager_and_time_and_replaces_nothing(strategy):
    world = resized(f"initialPrompt: work\n{strategy}")
    before = uid(world)
    for _ in range(2):
        [hold] = holds(world.apply().planned)
        assert hold.reason is HoldReason.RESIZED
        [field] = hold.change.fields
        assert (field.path, field.before, field.after) == (CPU, "1", "500m")
        assert field.cause == Drift("vpa-updater", LATER)
    assert uid(world) == before


def test_a_resize_costs_no_write_at_rest():
    world = resized()
    world.apply()
    world.apply()
    assert world.seen.writes == []


def test_every_form_of_the_plan_names_manager_and_time():
    planned = resized().plan()
    digest = compute_plan_digest(planned.plan, planned.desired)
    report = PlanReport(planned.plan, digest, Findings(), LiveCluster(), "desired")
    document = plan_json(report, Masker())
    causes = [f["cause"] for s in document["sessions"] for c in s["changes"] for f in c["fields"]]
    assert causes == [{"type": "drift", "manager": "vpa-updater", "time": LATER}]
    assert f"by vpa-updater at {LATER}" in format_plan_text(report, Masker())
    assert f"by vpa-updater at {LATER}" in format_unified(report, Masker())
    assert f"by `vpa-updater` at `{LATER}`" in format_markdown(report, Masker())


def test_a_commit_that_declares_other_resources_follows_the_update_strategy():
    wanted = 'initialPrompt: work\nrunner: {resources: {requests: {cpu: "2"}}}'
    world = resized().add("one", wanted)
    [hold] = holds(world.plan())
    assert hold.reason is HoldReason.RUNNING_WORK
    world.add("one", f"{wanted}\n{RECREATE}")
    done = world.apply()
    assert "Pod team-a/one-runner" in done.of(Status.REPLACED)
    assert is_quiet(world.plan().plan)


def raise_cpu(body):
    """Give runners the CPU that a webhook chooses at their creation."""
    for container in body.get("spec", {}).get("containers", ()):
        if container["name"] == "runner":
            container["resources"]["requests"]["cpu"] = "750m"


def test_what_a_webhook_chose_at_creation_is_no_drift_but_a_later_resize_is():
    world = EmbeddedInstallation().add("one")
    assert not world.apply(wrap=partial(MutatingCluster, mutate=raise_cpu)).bad
    assert is_quiet(world.plan().plan)
    world.cluster.tick(60)
    world.resize("one-runner", "1")
    [hold] = holds(world.plan())
    [field] = hold.change.fields
    assert field.cause == Drift("vpa-updater", LATER)
    assert hold.reason is HoldReason.RESIZED
