"""How a running session ends: by itself, and when its pod is ended."""

import json
from typing import Any

import pytest

from tests.e2e.running import RunningSession, wait_for_marks
from tests.local_pod.pod import Container, LocalPod, wait_until

NATIVE = pytest.mark.parametrize("session", [("native", "fixed")], indirect=True)
QUIET = {"RECONCILE_RUNNER_QUIET_SECONDS": "1"}


def ending_of(bridge: Container) -> dict[str, Any]:
    """The termination message of a bridge that ends by itself."""
    assert bridge.wait() == 0
    return dict(json.loads(bridge.termination_message))


@NATIVE
def test_a_session_that_ends_with_its_run_ends_again_when_its_bridge_is_started_again(
    session: RunningSession,
) -> None:
    session.declare(initialPrompt="hello", stopOnRunFinished=True)
    session.site.apply()
    pod = session.local.take()
    pod.variables = {**pod.variables, "bridge": QUIET}
    pod.start()
    message = ending_of(pod.containers["bridge"])
    assert message["ended"] == "run-finished"
    assert message["runs"] == {"finished": 1, "failed": 0}
    assert ending_of(pod.start_container("bridge")) == message
    assert pod.files.answers == ["Turn 1: hello"]


@NATIVE
def test_a_first_run_that_fails_ends_the_session(session: RunningSession) -> None:
    session.declare(initialPrompt="hello", storage={"mode": "none"})
    session.site.apply()
    pod = session.local.start(DOUBLE_RUN="run-error")
    message = ending_of(pod.containers["bridge"])
    assert (message["ended"], message["message"]) == ("run-failed", "the model has no key")


@NATIVE
def test_a_session_ends_after_a_time_without_activity(session: RunningSession) -> None:
    session.declare(initialPrompt="hello", inactivityTimeout=3)
    pod = session.start()
    message = ending_of(pod.containers["bridge"])
    assert (message["ended"], message["runs"]["finished"]) == ("inactive", 1)


@pytest.mark.parametrize(
    "session",
    [
        pytest.param(
            ("plain", "fixed"), marks=[pytest.mark.cluster, pytest.mark.s3], id="plain-fixed"
        ),
        pytest.param(("native", "fixed"), id="native-fixed"),
    ],
    indirect=True,
)
def test_a_runner_with_an_open_run_ends_soon_and_the_flush_has_its_work(
    session: RunningSession,
) -> None:
    """The double's own time for an open run is 25 s, as the platform's."""
    session.declare(initialPrompt="sleep 600")
    pod = session.start()
    wait_for_conversation(pod)
    (pod.workspace / "artifacts/late.txt").write_text("late")
    ended = pod.stop()
    runner = ended["runner"]
    print(
        f"\nthe hook took {runner.hook_seconds:.1f} s, the runner {runner.seconds:.1f} s, ", end=""
    )
    print(f"the pod {max(each.seconds for each in ended.values()):.1f} s")
    assert runner.hook_seconds < 10
    assert runner.seconds - runner.hook_seconds < 10
    assert ended["sync"].code == 0
    assert [each["run"] for each in pod.files.marks] == ["open"]

    following = session.replace()
    wait_for_marks(following, "interrupted")
    assert (following.workspace / "artifacts/late.txt").read_text() == "late"
    assert json.loads(following.containers["prepare"].termination_message)["interruptedRun"]
    assert following.files.find_events("RUN_FINISHED")
    assert "run interrupted" in following.containers["bridge"].output


def wait_for_conversation(pod: LocalPod) -> None:
    """Wait until the agent works on the prompt: before, it cannot be interrupted."""
    wait_until(lambda: list(pod.workspace.glob(".claude/projects/*/*.jsonl")), "the conversation")
