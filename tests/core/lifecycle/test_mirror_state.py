"""How the last flush of a pod went, read from its status."""

import json

import pytest

from reconcile.core.lifecycle.pod_status import MirrorEnded, MirrorRunning, find_mirror_state
from tests.core.lifecycle.pod_status import container, ended, pod, waiting

RUNNING = {"running": {"startedAt": "2026-01-31T12:00:00Z"}}
MESSAGE = {
    "outcome": "late",
    "generation": 3,
    "missingFiles": 0,
    "missingBytes": 0,
    "reason": "time was short",
}
PARTIAL = "not everything is stored: time was short; the last generation is 3"
LATE = "the last changes are not stored in time: time was short; the last generation is 3"


def stored(phase, sync=None, runner=RUNNING, *, deleted=False, **status):
    """A pod with a mirror's sidecar in this state, none if it reports none."""
    init = [] if sync is None else [container("sync", **sync)]
    body = pod(phase, container(**runner), init=init, **status)
    body["spec"] = {"initContainers": [{"name": "hydrate"}, {"name": "sync"}], "containers": []}
    if deleted:
        body["metadata"]["deletionTimestamp"] = "2026-01-31T12:00:00Z"
    return body


@pytest.mark.parametrize("spec", [{}, {"spec": {"containers": [{"name": "runner"}]}}])
def test_a_pod_without_the_sidecar_keeps_no_workspace(spec):
    assert find_mirror_state({**pod("Succeeded", container(**ended(0))), **spec}) is None


def test_a_sidecar_beside_the_runner_counts_too():
    body = pod("Failed", container(**ended(0)), container("sync", **ended(8, "Error")))
    body["spec"] = {"containers": [{"name": "runner"}, {"name": "sync"}]}
    assert find_mirror_state(body) == MirrorEnded("", "sync ended with exit code 8 (Error)")


@pytest.mark.parametrize(
    "body",
    [
        stored("Running", RUNNING),
        stored("Running", ended(1)),
        stored("Running", RUNNING, deleted=True),
        stored("Running", None, deleted=True),
        stored("Failed", RUNNING, ended(0)),
        stored("Failed", ended(4), waiting("PodInitializing")),
        stored("Pending", None, waiting("PodInitializing"), deleted=True),
    ],
)
def test_it_has_not_ended(body):
    assert find_mirror_state(body) == MirrorRunning()


@pytest.mark.parametrize(
    "body", [stored("Succeeded", ended(0)), stored("Running", ended(0), deleted=True)]
)
def test_everything_is_stored(body):
    assert find_mirror_state(body) == MirrorEnded()


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ("", "sync ended with exit code 8 (Error)"),
        ("[1]", "sync ended with exit code 8 (Error)"),
        ('{"outcome": "partial"}', "sync ended with exit code 8 (Error)"),
        (json.dumps(MESSAGE), LATE),
        (
            json.dumps({**MESSAGE, "outcome": "partial", "missingFiles": 2, "missingBytes": 9}),
            f"{PARTIAL} and lacks 2 files with 9 bytes",
        ),
        (
            json.dumps({**MESSAGE, "reason": [], "missingFiles": None, "missingBytes": 1.5}),
            "the last changes are not stored in time: …; the last generation is 3",
        ),
        (json.dumps({**MESSAGE, "outcome": "x"}), "sync ended with exit code 8 (Error)"),
    ],
)
def test_why_not_everything_is_stored(message, problem):
    sync = ended(8, "Error", message)
    sync["terminated"]["finishedAt"] = "then"
    assert find_mirror_state(stored("Failed", sync)) == MirrorEnded("then", problem)


def test_a_killed_sidecar_of_an_evicted_pod():
    body = stored("Failed", ended(137, "OOMKilled"), reason="Evicted")
    problem = "Evicted: sync ended with exit code 137 (OOMKilled)"
    assert find_mirror_state(body) == MirrorEnded("", problem)
    killed = stored("Failed", ended(137), reason="Evicted")
    assert find_mirror_state(killed) == MirrorEnded(
        "", "Evicted: sync ended with exit code 137 (Error)"
    )


@pytest.mark.parametrize("sync", [None, waiting("CrashLoopBackOff")])
def test_a_pod_that_ended_without_a_word_of_its_sidecar(sync):
    body = stored("Failed", sync, ended(137), reason="NodeShutdown")
    assert find_mirror_state(body) == MirrorEnded("", "NodeShutdown: no last flush")
