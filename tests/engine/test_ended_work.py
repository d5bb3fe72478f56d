"""Work that has ended stays ended; a pod whose runner never started is replaced."""

import pytest

from reconcile.core.changes import Hold, HoldReason, Status
from reconcile.core.errors import ForbiddenError
from reconcile.core.lifecycle.pod_status import Phase
from reconcile.core.report.status import NextStep
from reconcile.engine.status import read_status
from tests.builders import ref_of
from tests.engine.fakes import Times
from tests.engine.installation import is_quiet, settled
from tests.session_files import GENEROUS, policy_text

POD = "Pod team-a/one-runner"
RECREATE = "update: {strategy: Recreate}"
CHANGED = "initialPrompt: something new"


def finished(exit_code=0):
    """A session whose work has ended, as the last pass has seen."""
    world = settled()
    world.cluster.tick(60)
    world.cluster.finish(ref_of("Pod", "one-runner"), exit_code)
    world.apply()
    return world


def collected(exit_code=0):
    """Such a session after its pod object has gone with its node."""
    world = finished(exit_code)
    world.remove("Pod", "one-runner")
    return world


def status_of(world):
    [row] = read_status(world.cluster, world.clock, world.desired(), ["team-a"]).rows
    return row


@pytest.mark.parametrize(("exit_code", "phase"), [(0, Phase.COMPLETED), (3, Phase.FAILED)])
def test_work_that_has_ended_does_not_begin_again_when_its_pod_is_gone(exit_code, phase):
    world = collected(exit_code)
    for revision in ("r1", "r2"):
        passed = world.apply(revision=revision)
        assert is_quiet(passed.plan)
        assert not world.seen.writes
    assert status_of(world).phase is phase
    assert status_of(world).next_step is NextStep.START_AGAIN
    assert status_of(world).age < 0


def test_a_pass_records_an_end_once():
    world = settled()
    world.cluster.tick(60)
    world.cluster.finish(ref_of("Pod", "one-runner"), 0)
    world.apply()
    assert world.seen.writes == ["apply ConfigMap session-one"]
    world.apply()
    assert not world.seen.writes


def test_stopping_and_starting_a_session_begins_its_work_again():
    world = collected()
    world.add("one", "state: Stopped\ninitialPrompt: work").apply()
    assert status_of(world).phase is Phase.STOPPED
    passed = world.add("one").apply()
    assert passed.of(Status.CREATED) == [POD]
    assert is_quiet(world.plan().plan)


def test_what_is_declared_otherwise_is_held_until_the_session_may_be_restarted():
    world = collected().add("one", CHANGED)
    passed = world.apply()
    [hold] = [o.change for o in passed.outcomes if isinstance(o.change, Hold)]
    assert hold.reason is HoldReason.RUNNING_WORK
    assert str(hold.ref) == POD
    world.files["policy.yaml"] = policy_text(GENEROUS, "allowRestarts: [team-a/one]")
    assert world.apply().of(Status.CREATED) == [POD]
    assert is_quiet(world.plan().plan)


def test_an_author_who_allows_it_gets_a_new_pod_for_something_new_only():
    world = settled()
    world.add("one", f"initialPrompt: work\n{RECREATE}").apply()
    world.cluster.tick(60)
    world.cluster.finish(ref_of("Pod", "one-runner"), 0)
    world.apply()
    world.remove("Pod", "one-runner")
    assert is_quiet(world.plan().plan)
    world.add("one", f"{CHANGED}\n{RECREATE}")
    assert world.apply().of(Status.CREATED) == [POD]


def test_an_end_that_could_not_be_recorded_is_recorded_by_the_next_pass():
    world = settled()
    world.cluster.tick(60)
    world.cluster.finish(ref_of("Pod", "one-runner"), 0)
    assert world.apply(Times(ForbiddenError("no"), "apply", name="session-one")).failures
    world.apply()
    world.remove("Pod", "one-runner")
    assert is_quiet(world.plan().plan)


def with_status(world, status):
    operation = {"op": "replace", "path": "/status", "value": status}
    world.edit("Pod", "one-runner", operation)


def runner(**state):
    return {"name": "runner", "ready": False, "restartCount": 0, "state": state}


ENDED = {"exitCode": 0, "reason": "Completed"}
DISRUPTED = {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"}


@pytest.mark.parametrize(
    "status",
    [
        {"phase": "Failed", "reason": "Evicted", "containerStatuses": [runner(terminated=ENDED)]},
        {
            "phase": "Succeeded",
            "conditions": [DISRUPTED],
            "containerStatuses": [runner(terminated=ENDED)],
        },
        {
            "phase": "Running",
            "conditions": [DISRUPTED],
            "containerStatuses": [runner(terminated=ENDED)],
        },
    ],
)
def test_a_pod_that_was_evicted_has_not_ended_its_work(status):
    world = settled()
    with_status(world, status)
    assert status_of(world).phase is not Phase.COMPLETED
    world.apply()
    world.remove("Pod", "one-runner")
    world.cluster.tick(1000)
    assert world.apply().of(Status.CREATED) == [POD]


def never_ran(failed):
    """The status of a pod of which one init container has failed."""
    ended = {"exitCode": 4, "reason": "Error"}
    return {
        "phase": "Failed",
        "initContainerStatuses": [{"name": failed, "state": {"terminated": ended}}],
        "containerStatuses": [runner(waiting={"reason": "PodInitializing"})],
    }


NEVER_RAN = never_ran("prepare")


@pytest.mark.parametrize("failed", ["hydrate", "prepare"])
def test_a_pod_whose_runner_never_started_is_replaced(failed):
    world = settled()
    with_status(world, never_ran(failed))
    passed = world.apply()
    assert passed.of(Status.REPLACED) == [POD]
    assert is_quiet(world.plan().plan)


@pytest.mark.parametrize("on_conflict", ["heal", "report"])
def test_that_is_neither_a_conflict_nor_a_restart_of_work(on_conflict):
    world = settled()
    world.files["policy.yaml"] = policy_text(
        f"onConflict: {on_conflict}", "budgets: {restarts: {percent: 0, atLeast: 0}}"
    )
    with_status(world, NEVER_RAN)
    assert world.apply().of(Status.REPLACED) == [POD]


def test_the_replacement_of_a_pod_that_never_starts_backs_off():
    world = settled()
    attempts = []
    for second in range(0, 121, 5):
        with_status(world, NEVER_RAN)
        passed = world.apply()
        if passed.of(Status.REPLACED):
            attempts.append(second)
        else:
            [hold] = [o for o in passed.outcomes if isinstance(o.change, Hold)]
            assert hold.change.reason is HoldReason.BACK_OFF
            assert "due in" in hold.message
            assert status_of(world).held == (f"Replace {POD}: BACK_OFF",)
        world.clock.sleep(5)
    assert attempts == [0, 10, 30, 70]
    world.clock.sleep(3600)
    assert world.apply().of(Status.REPLACED) == [POD]
    assert is_quiet(world.plan().plan)


def test_a_pod_whose_runner_has_run_is_not_replaced():
    world = settled()
    with_status(
        world, {"phase": "Failed", "containerStatuses": [runner(terminated={"exitCode": 1})]}
    )
    assert world.apply().of(Status.REPLACED) == []
