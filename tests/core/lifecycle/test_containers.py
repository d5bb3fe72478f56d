"""What a kubelet reports of the containers of a session, in words."""

import pytest

from reconcile.core.lifecycle.containers import Remark
from reconcile.core.lifecycle.health import assess_health, describe_pod
from reconcile.core.lifecycle.pod_status import Phase, read_containers
from reconcile.core.model import SessionState
from tests.core.lifecycle.kubelet_pods import (
    HYDRATED,
    INITIALIZING,
    SYNCING,
    WORKING,
    conditions,
    container,
    pod,
    terminated,
    waiting,
)

UNREADY = conditions(
    Ready=("False", "ContainersNotReady", "containers with unready status: [sync]"),
    ContainersReady=("False", "ContainersNotReady", "containers with unready status: [sync]"),
)
BACK_OFF = (
    "back-off 5m0s restarting failed container=sync pod=one-runner_team-a(0b9b1bb8-d0c7-4f7e)"
)
PULL = (
    'Back-off pulling image "registry.example/runner:1": ErrImagePull: failed to resolve '
    "reference: registry.example/runner:1: not found"
)


def phase_and_remarks(given):
    health = assess_health(given, SessionState.RUNNING)
    return health.phase, health.reason, describe_pod(given)


@pytest.mark.parametrize(
    ("state", "reason", "message"),
    [
        (waiting("ImagePullBackOff", PULL), "ImagePullBackOff", PULL),
        (
            waiting("CreateContainerConfigError", 'secret "runner-keys" not found'),
            "CreateContainerConfigError",
            'secret "runner-keys" not found',
        ),
        (waiting("InvalidImageName"), "InvalidImageName", ""),
    ],
)
def test_a_container_that_cannot_start_says_why(state, reason, message):
    given = pod("Pending", (HYDRATED, SYNCING, container("runner", state)), conditions=UNREADY)
    remark = Remark(f"container runner waits ({reason})", message)
    assert phase_and_remarks(given) == (Phase.PENDING, reason, (remark,))
    assert assess_health(given, SessionState.RUNNING).remark == remark


def test_a_native_sidecar_that_ends_again_and_again_says_why_it_ended_and_how_often():
    ended = terminated(8, message='{"outcome":"late"}')
    sync = container("sync", waiting("CrashLoopBackOff", BACK_OFF), ended, 7)
    given = pod(containers=(HYDRATED, sync, WORKING), conditions=UNREADY)
    assert phase_and_remarks(given) == (
        Phase.RUNNING,
        "CrashLoopBackOff",
        (
            Remark("sidecar sync waits (CrashLoopBackOff)", BACK_OFF),
            Remark(
                "sidecar sync was restarted 7 times; before, it ended with exit code 8",
                '{"outcome":"late"}',
            ),
        ),
    )
    assert [each.restarts for each in read_containers(given)] == [0, 7, 0]


def test_a_sidecar_that_runs_again_still_says_why_it_ended():
    sync = container("sync", *({"running": {}}, terminated(137, "OOMKilled")), 1)
    given = pod(containers=(HYDRATED, sync, WORKING))
    ended = "before, it ended with exit code 137 (SIGKILL, OOMKilled)"
    restarted = Remark(f"sidecar sync was restarted once; {ended}")
    assert phase_and_remarks(given) == (Phase.RUNNING, "", (restarted,))


def test_a_container_that_is_about_to_be_restarted_has_ended_before():
    unknown = terminated(137, "ContainerStatusUnknown", "The container could not be located")
    sync = container("sync", waiting("PodInitializing"), unknown)
    ended = "before, it ended with exit code 137 (SIGKILL, ContainerStatusUnknown)"
    assert describe_pod(pod(containers=(HYDRATED, sync, WORKING))) == (
        Remark(f"sidecar sync: {ended}", "The container could not be located"),
    )


def test_a_restart_whose_reason_the_kubelet_has_lost_is_counted():
    sync = container("sync", {"running": {}}, restarts=2)
    assert describe_pod(pod(containers=(HYDRATED, sync, WORKING))) == (
        Remark("sidecar sync was restarted 2 times"),
    )


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        (terminated(1), "exit code 1"),
        (terminated(137, "OOMKilled"), "exit code 137 (SIGKILL, OOMKilled)"),
        (terminated(139), "exit code 139 (SIGSEGV)"),
        (terminated(143), "exit code 143 (SIGTERM)"),
        (terminated(200), "exit code 200"),
        (terminated(128, "StartError"), "exit code 128 (StartError)"),
        ({"terminated": {"exitCode": 255, "signal": 9}}, "exit code 255 (SIGKILL)"),
        ({"terminated": {"exitCode": 255, "signal": "KILL"}}, "exit code 255"),
    ],
)
def test_an_exit_code_is_explained(ended, words):
    given = pod("Failed", (HYDRATED, SYNCING, container("runner", ended)))
    phase, _, [remark] = phase_and_remarks(given)
    assert phase is Phase.FAILED
    assert remark.text == f"container runner ended with {words}"


def test_an_init_container_that_fails_fails_the_session_and_is_named():
    hydrate = container("hydrate", terminated(4, message="no such bucket"))
    given = pod("Failed", (hydrate, container("sync", waiting("PodInitializing")), INITIALIZING))
    remark = Remark("init container hydrate ended with exit code 4", "no such bucket")
    assert phase_and_remarks(given) == (Phase.FAILED, "Error", (remark,))


def test_the_last_words_of_a_container_that_ended_well_are_kept():
    flushed = container("sync", terminated(0, "Completed", '{"outcome":"flushed"}'))
    done = container("runner", terminated(0, "Completed", " \n"))
    assert phase_and_remarks(pod("Succeeded", (HYDRATED, flushed, done))) == (
        Phase.COMPLETED,
        "",
        (Remark("sidecar sync ended with exit code 0", '{"outcome":"flushed"}'),),
    )


EVICTED = (
    "The node was low on resource: ephemeral-storage. Threshold quantity: 1Gi, available: 700Mi. "
    "Container runner was using 9Gi, request is 0, has larger consumption of ephemeral-storage. "
)


@pytest.mark.parametrize(
    "message",
    [
        EVICTED,
        'Usage of EmptyDir volume "workspace" exceeds the limit "10Gi". ',
        'Container runner exceeded its local ephemeral storage limit "2Gi". ',
        "Pod ephemeral local storage usage exceeds the total limit of containers 4Gi. ",
    ],
)
@pytest.mark.parametrize("is_in_condition", [False, True])
def test_an_evicted_pod_says_what_size_was_exceeded(message, is_in_condition):
    ended = (HYDRATED, container("sync", terminated(0)), container("runner", terminated(137)))
    target = conditions(DisruptionTarget=("True", "TerminationByKubelet", message))
    also = {} if is_in_condition else {"message": message}
    given = pod("Failed", ended, reason="Evicted", conditions=target, **also)
    health = assess_health(given, SessionState.RUNNING)
    assert (health.phase, health.reason) == (Phase.FAILED, "Evicted")
    assert health.remark == Remark("", message)


def test_a_session_without_a_pod_has_no_containers():
    assert describe_pod(None) == ()
