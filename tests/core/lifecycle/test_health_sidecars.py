"""The health of a session whose pod has a sidecar next to the runner."""

import pytest

from reconcile.core.lifecycle.containers import Remark
from reconcile.core.lifecycle.health import Health, assess_health
from reconcile.core.lifecycle.pod_status import Phase
from reconcile.core.model import SessionState
from tests.core.lifecycle.pod_status import container, ended, pod, waiting


def for_good(given):
    """A pod whose containers are not started again."""
    return {**given, "spec": {"restartPolicy": "Never"}}


SYNC = container("sync", ready=True, running={})
FLUSHED = container("sync", **ended(0, "Completed"))
PARTIAL = container("sync", **ended(8, "Error", '{"outcome":"partial"}'))
DONE = container(**ended(0, "Completed"))
LOST = ("Error", Remark("container sync ended with exit code 8", '{"outcome":"partial"}'))
WORKING = container(ready=True, running={})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (pod("Running", DONE, SYNC), Health(Phase.COMPLETED)),
        (pod("Running", SYNC, DONE), Health(Phase.COMPLETED)),
        (pod("Failed", DONE, PARTIAL), Health(Phase.COMPLETED, *LOST)),
        (
            pod("Running", container(**ended(3, "Error", "no")), SYNC),
            Health(Phase.FAILED, "Error", Remark("container runner ended with exit code 3", "no")),
        ),
        (
            pod("Failed", container(**ended(3, "Error")), PARTIAL),
            Health(Phase.FAILED, "Error", Remark("container runner ended with exit code 3")),
        ),
        (pod("Running", WORKING, PARTIAL), Health(Phase.RUNNING, *LOST)),
        (
            pod("Running", WORKING, container("sync", running={})),
            Health(Phase.RUNNING, "NotReady", Remark("not ready: sync")),
        ),
        (
            pod("Failed", DONE, FLUSHED, reason="DeadlineExceeded"),
            Health(Phase.FAILED, "DeadlineExceeded"),
        ),
    ],
)
def test_the_runners_end_is_the_sessions_whatever_the_sidecar_does(given, expected):
    assert assess_health(for_good(given), SessionState.RUNNING) == expected


def test_a_runner_that_is_started_again_has_not_ended():
    given = {**pod("Running", DONE, SYNC), "spec": {"restartPolicy": "Always"}}
    assert assess_health(given, SessionState.RUNNING).phase is Phase.RUNNING


def test_a_native_sidecar_that_is_not_ready_is_named_and_a_finished_hydrate_is_not():
    init = [container("hydrate", **ended(0, "Completed")), container("sync", running={})]
    given = for_good(pod("Running", WORKING, init=init))
    assert assess_health(given, SessionState.RUNNING) == Health(
        Phase.RUNNING, "NotReady", Remark("not ready: sync")
    )


def test_a_workspace_that_cannot_be_restored_fails_the_session_with_the_reason():
    said = '{"level":"error","event":"the key is not known"}'
    begun = container(**waiting("PodInitializing"))
    given = for_good(pod("Failed", begun, init=[container("hydrate", **ended(4, "Error", said))]))
    assert assess_health(given, SessionState.RUNNING) == Health(
        Phase.FAILED, "Error", Remark("init container hydrate ended with exit code 4", said)
    )
