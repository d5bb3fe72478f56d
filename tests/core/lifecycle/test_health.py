"""What a pod's status means to people, and whether work may have begun in it."""

import pytest

from reconcile.core.lifecycle.containers import Remark
from reconcile.core.lifecycle.health import Health, assess_health
from reconcile.core.lifecycle.pod_status import Phase, find_end, has_started
from reconcile.core.model import SessionState
from tests.core.lifecycle.pod_status import container, ended, pod, waiting

READY = {"type": "Ready", "status": "True"}
UNSCHEDULABLE = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/3 nodes are available",
}
CREATING = container(**waiting("ContainerCreating"))


def test_without_a_pod_a_session_is_stopped_or_about_to_start():
    assert assess_health(None, SessionState.STOPPED) == Health(Phase.STOPPED)
    assert assess_health(None, SessionState.RUNNING).phase is Phase.PENDING
    assert assess_health(None, SessionState.RUNNING).reason == "NoPod"


@pytest.mark.parametrize(
    ("given", "reason", "message"),
    [
        (
            pod("Pending", conditions=[UNSCHEDULABLE]),
            "Unschedulable",
            ("", "0/3 nodes are available"),
        ),
        (
            pod("Pending", conditions=[{"type": "PodScheduled", "status": "False"}]),
            "Unschedulable",
            ("",),
        ),
        (
            pod("Pending", container(**waiting("ImagePullBackOff", "no such image"))),
            "ImagePullBackOff",
            ("container runner waits (ImagePullBackOff)", "no such image"),
        ),
        (
            pod("Pending", container(**waiting("CreateContainerConfigError"))),
            "CreateContainerConfigError",
            ("container runner waits (CreateContainerConfigError)",),
        ),
        (pod("Pending", CREATING), "ContainerCreating", ("",)),
        (
            pod("Pending", CREATING, init=[container("hydrate", running={})]),
            "Initializing",
            ("init container hydrate is running",),
        ),
        (
            pod("Pending", CREATING, init=[container("mirror", ready=True, running={})]),
            "ContainerCreating",
            ("",),
        ),
        (
            pod("Pending", CREATING, init=[container("hydrate", **waiting("CrashLoopBackOff"))]),
            "CrashLoopBackOff",
            ("init container hydrate waits (CrashLoopBackOff)",),
        ),
        (
            pod("Pending", CREATING, init=[container("hydrate", **ended(3, message=" no key\n"))]),
            "Error",
            ("init container hydrate ended with exit code 3", " no key\n"),
        ),
        (pod("Pending"), "Scheduling", ("no node has taken the pod yet",)),
        ({}, "Scheduling", ("no node has taken the pod yet",)),
    ],
)
def test_a_pending_pod_says_what_it_waits_for(given, reason, message):
    assert assess_health(given, SessionState.RUNNING) == Health(
        Phase.PENDING, reason, Remark(*message)
    )


def test_a_running_pod_that_is_ready_is_healthy_whatever_its_restart_policy():
    given = pod("Running", container(ready=True, running={}), conditions=[READY])
    assert assess_health(given, SessionState.RUNNING) == Health(Phase.RUNNING, is_ready=True)


@pytest.mark.parametrize(
    ("given", "reason", "message"),
    [
        (pod("Running", container(running={})), "NotReady", ("not ready: runner",)),
        (pod("Running"), "NotReady", ("",)),
        (
            pod("Running", container(ready=True, running={}), conditions=[{"type": "Other"}]),
            "NotReady",
            ("",),
        ),
        (
            pod("Running", container(**waiting("CrashLoopBackOff", "back-off"))),
            "CrashLoopBackOff",
            ("container runner waits (CrashLoopBackOff)", "back-off"),
        ),
        (
            pod("Running", container("mirror", running={}), container(**ended(1))),
            "Error",
            ("container runner ended with exit code 1",),
        ),
    ],
)
def test_a_running_pod_that_is_not_ready_says_why(given, reason, message):
    assert assess_health(given, SessionState.RUNNING) == Health(
        Phase.RUNNING, reason, Remark(*message)
    )


def test_a_phase_of_a_later_kubernetes_is_shown_as_it_is():
    expected = Health(Phase.UNKNOWN, "Paused", Remark("the pod's phase is not a known one"))
    assert assess_health(pod("Paused"), SessionState.RUNNING) == expected


def test_a_pod_that_succeeded_is_completed():
    assert assess_health(pod("Succeeded"), SessionState.RUNNING) == Health(Phase.COMPLETED)


@pytest.mark.parametrize(
    ("given", "reason", "message"),
    [
        (
            pod("Failed", container(**ended(137, "OOMKilled"))),
            "OOMKilled",
            ("container runner ended with exit code 137 (SIGKILL, OOMKilled)",),
        ),
        (
            pod("Failed", container(**ended(0, "OOMKilled"))),
            "OOMKilled",
            ("container runner ended with exit code 0 (OOMKilled)",),
        ),
        (
            pod("Failed", container("mirror", **ended(0, "Completed")), container(**ended(2))),
            "Error",
            ("container runner ended with exit code 2",),
        ),
        (
            pod("Failed", reason="Evicted", message="The node was low on memory"),
            "Evicted",
            ("", "The node was low on memory"),
        ),
        (
            pod("Failed", container(**ended(143, "Error")), reason="DeadlineExceeded"),
            "DeadlineExceeded",
            ("container runner ended with exit code 143 (SIGTERM)",),
        ),
        (pod("Failed"), "Error", ("",)),
    ],
)
def test_a_failed_pod_is_failed_and_says_why(given, reason, message):
    assert assess_health(given, SessionState.RUNNING) == Health(
        Phase.FAILED, reason, Remark(*message)
    )


def test_a_pod_that_is_being_deleted_is_stopping():
    given = pod("Running", container(ready=True, running={}), conditions=[READY])
    given["metadata"]["deletionTimestamp"] = "2026-01-31T12:00:30Z"
    assert assess_health(given, SessionState.STOPPED) == Health(
        Phase.STOPPING, "Terminating", Remark("is to be gone by 2026-01-31T12:00:30Z")
    )


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"status": None, "metadata": None},
        {"status": {"phase": "Pending", "containerStatuses": "odd", "conditions": [None, 3]}},
        {"status": {"phase": 7, "reason": []}},
        {"status": {"phase": "Failed", "containerStatuses": [{"state": {"terminated": None}}, 1]}},
        {
            "status": {
                "phase": "Running",
                "containerStatuses": [{"state": {"terminated": {"exitCode": "x"}}}],
            }
        },
    ],
)
def test_an_invalid_status_raises_nothing(given):
    assert isinstance(assess_health(given, SessionState.RUNNING).phase, Phase)


@pytest.mark.parametrize(
    "given",
    [
        pod("Pending"),
        pod("Pending", CREATING),
        pod("Pending", CREATING, init=[container("hydrate", running={})]),
        pod("Pending", {"name": "runner", "restartCount": 0, "lastState": {}, "state": {}}),
        {"status": {"phase": "Pending", "containerStatuses": None}},
    ],
)
def test_a_pending_pod_in_which_no_main_container_ran_has_not_started(given):
    assert not has_started(given)


@pytest.mark.parametrize(
    "given",
    [
        pod("Running"),
        pod("Succeeded"),
        pod("Failed"),
        pod("Unknown"),
        {},
        {"status": None},
        pod("Pending", container(running={"startedAt": "now"}), CREATING),
        pod("Pending", container(**ended(1))),
        pod("Pending", {**CREATING, "lastState": {"terminated": {"exitCode": 1}}}),
        pod("Pending", {**CREATING, "restartCount": 2}),
        pod("Pending", {**CREATING, "started": True}),
        pod("Pending", {**CREATING, "state": "odd"}),
        pod("Pending", None),
        pod("Failed", reason="Evicted"),
        pod("Failed", container(**ended(1))),
        pod("Failed", container(**ended(137, "ContainerStatusUnknown"))),
        pod("Failed", {**container(**ended(128, "StartError")), "restartCount": 1}),
        pod("Failed", container(**ended(0)), container("sync", **waiting("PodInitializing"))),
        {"status": {"phase": "Pending", "containerStatuses": "odd"}},
    ],
)
def test_in_doubt_work_may_have_begun(given):
    assert has_started(given)


@pytest.mark.parametrize(
    "given",
    [
        pod("Failed", container(**waiting("PodInitializing")), init=[container(**ended(4))]),
        pod("Failed", container(**ended(128, "StartError"))),
        pod("Failed", container(**ended(127, "ContainerCannotRun"))),
        pod("Failed", container(**waiting("PodInitializing")), container("sync", **ended(1))),
        pod("Failed", reason="OutOfcpu"),
        pod("Failed", reason="UnexpectedAdmissionError"),
    ],
)
def test_a_pod_that_failed_before_its_runner_started_has_no_work(given):
    assert not has_started(given)
    assert find_end(given) is None


TARGET = {
    "type": "DisruptionTarget",
    "status": "True",
    "reason": "EvictionByEvictionAPI",
    "message": "Eviction API: evicting",
}
DONE = container(**ended(0, "Completed"))
GONE_OVER = 'Usage of EmptyDir volume "workspace" exceeds the limit "10Gi".'


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            pod("Running", DONE, conditions=[TARGET]),
            Health(
                Phase.STOPPING,
                "EvictionByEvictionAPI",
                Remark("the pod is ended from outside", "Eviction API: evicting"),
            ),
        ),
        (
            pod("Succeeded", DONE, conditions=[TARGET]),
            Health(Phase.FAILED, "EvictionByEvictionAPI", Remark("", "Eviction API: evicting")),
        ),
        (
            pod("Failed", DONE, conditions=[{"type": "DisruptionTarget", "status": "True"}]),
            Health(Phase.FAILED, "Disrupted"),
        ),
        (
            pod("Failed", DONE, reason="Evicted", message=GONE_OVER),
            Health(Phase.FAILED, "Evicted", Remark("", GONE_OVER)),
        ),
    ],
)
def test_a_pod_that_is_ended_from_outside_has_not_completed(given, expected):
    assert assess_health(given, SessionState.RUNNING) == expected
    assert find_end(given) is None


@pytest.mark.parametrize(
    ("given", "phase"),
    [
        (pod("Succeeded", DONE), Phase.COMPLETED),
        (pod("Failed", container(**ended(3))), Phase.FAILED),
        (
            pod("Succeeded", DONE, conditions=[{**TARGET, "status": "False"}]),
            Phase.COMPLETED,
        ),
    ],
)
def test_work_ends_with_its_runner(given, phase):
    found = find_end(given)
    assert found is not None
    assert found.phase is phase


def test_work_goes_on_in_a_pod_that_runs():
    assert find_end(pod("Running", container(running={}))) is None
