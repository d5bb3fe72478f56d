"""What the status of a pod says about `prepare` and `bridge`, and what it never fails on."""

import json

import pytest

from reconcile.core.lifecycle.containers import Remark
from reconcile.core.lifecycle.health import Health, assess_health, describe_pod
from reconcile.core.lifecycle.pod_status import (
    Phase,
    find_end,
    has_started,
    takes_prompts,
)
from reconcile.core.mask.masker import Masker
from reconcile.core.model import SessionState
from reconcile.core.report.remarks import format_remark
from tests.core.lifecycle.kubelet_pods import (
    HYDRATED,
    INITIALIZING,
    SYNCING,
    WORKING,
    conditions,
    container,
    running,
    terminated,
    waiting,
)
from tests.core.lifecycle.kubelet_pods import pod as kubelet_pod

BRIDGING = container("bridge", running())
UNREADY_BRIDGE = BRIDGING | {"ready": False}
UNREADY = conditions(Ready=("False", "ContainersNotReady"), ContainersReady="False")
NOT_PREPARED = "the workspace could not be prepared: init container prepare ended with exit code 1"


def pod(phase="Running", init=(), main=(WORKING,), **fields):
    """A pod with native sidecars and `prepare`; `init` are more of its init containers' states."""
    body = kubelet_pod(phase, (HYDRATED, SYNCING, *main), **fields)
    body["status"]["initContainerStatuses"] += init
    body["spec"]["initContainers"] += [
        {"name": "prepare", "image": "registry.example/reconcile:1"},
        {"name": "bridge", "image": "registry.example/reconcile:1", "restartPolicy": "Always"},
    ]
    return body


def prepared(message, code=0, reason="Error"):
    """A `prepare` that has ended with this message."""
    text = message if isinstance(message, str) else json.dumps(message)
    return container("prepare", terminated(code, reason if code else "Completed", text))


def not_prepared(message, reason="Error"):
    """A pod whose `prepare` has failed."""
    return pod("Failed", [prepared(message, 1, reason)], [INITIALIZING], conditions=UNREADY)


def bridged(message, last=None):
    """A pod whose bridge ended with this message, in its state or before its last restart."""
    text = message if isinstance(message, str) else json.dumps(message)
    if last is None:
        bridge = container("bridge", terminated(0, "Completed", text))
    else:
        bridge = container("bridge", last, terminated(0, "Completed", text), 4)
    return pod("Running", [bridge | {"ready": False}], conditions=UNREADY)


def health(given):
    return assess_health(given, SessionState.RUNNING)


FAILED = {"name": "shop", "state": "failed", "reason": "authentication failed"}
READY = {"name": "docs", "state": "ready"}
RESTORED = {"name": "old", "state": "restored"}


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"prepare": "failed", "repositories": [FAILED, READY]}, "repository shop: "),
        ({"repositories": [{"name": "shop", "state": "failed"}]}, "repository shop: failed"),
        ({"workflow": FAILED | {"name": "flow"}}, "workflow flow: authentication failed"),
        ({"problem": "the disk is full"}, "the disk is full"),
        ({"repositories": [RESTORED | {"reason": "it stays"}]}, "repository old: it stays"),
        ({"interruptedRun": True}, "a run was cut off when its pod ended"),
        ({"movedAside": [".claude", 3, None]}, ": .claude, 3"),
        ({"removedConversations": ["one"]}, "the conversation is gone, so that a new one begins: "),
    ],
)
def test_a_workspace_that_could_not_be_prepared_says_why(message, words):
    given = not_prepared(message)
    assert (health(given).phase, health(given).reason) == (Phase.FAILED, "PrepareFailed")
    [remark] = describe_pod(given)
    assert remark == health(given).remark
    assert remark.text == NOT_PREPARED
    assert words in remark.output


def test_failures_come_first():
    message = {"interruptedRun": True, "repositories": [READY, FAILED], "problem": "first"}
    words = "first; repository shop: authentication failed; a run was cut off when its pod ended"
    assert health(not_prepared(message)).remark.output == words


@pytest.mark.parametrize(
    "message",
    [
        "",
        "Traceback: no space left",
        "[1]",
        "{}",
        "3",
        '{"repositories": 3, "workflow": [], "movedAside": {"a": 1}, "problem": null}',
        '{"repositories": [3, null, {"state": "failed"}, {"state": {}}]}',
        '{"repositories": [{"state": "failed", "name": [1], "reason": {"a": {}}}]}',
        '{"repositories": [{"state": "failed", "name": 1e999, "reason": 12}], "problem": [[]]}',
        json.dumps({"repositories": [FAILED] * 500}),
        json.dumps({"problem": "x" * 100_000}),
        '{"problem":' + "[" * 900 + "]" * 900 + "}",
    ],
)
def test_any_message_of_prepare_gives_one_line(message):
    given = not_prepared(message)
    [remark] = describe_pod(given)
    line = format_remark(remark, Masker())
    assert line.startswith(NOT_PREPARED)
    assert len(line) < 450
    assert "\n" not in line


def test_more_than_an_error_code_is_said():
    assert health(not_prepared("", "OOMKilled")).reason == "OOMKilled"


def test_a_secret_in_a_reason_is_masked_also_where_a_line_is_cut():
    token = "ghp_" + "a1B2" * 9
    reason = FAILED | {"reason": "x" * 180 + token + "y" * 200}
    line = format_remark(health(not_prepared({"repositories": [reason]})).remark, Masker())
    assert "ghp_" not in line
    assert "a1B2" not in line


@pytest.mark.parametrize("message", ["", "{}", {"repositories": [READY, RESTORED]}])
def test_a_prepared_workspace_is_not_remarkable(message):
    assert describe_pod(pod(init=[prepared(message), BRIDGING])) == ()


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"repositories": [FAILED]}, "repository shop: authentication failed"),
        ({"interruptedRun": True}, "a run was cut off when its pod ended"),
        ("a warning", "a warning"),
    ],
)
def test_what_prepare_continued_with_is_said(message, words):
    given = pod(init=[prepared(message), BRIDGING])
    assert describe_pod(given) == (Remark("init container prepare", words),)
    assert health(given) == Health(Phase.RUNNING, is_ready=True)


def test_work_has_not_started_while_the_workspace_is_prepared_or_could_not_be():
    preparing = pod("Pending", [container("prepare", running()) | {"ready": False}], [INITIALIZING])
    assert not has_started(preparing)
    assert health(preparing).remark == Remark("init container prepare is running")
    assert not has_started(not_prepared({}))
    assert find_end(not_prepared({})) is None


ENDS = [
    ({"ended": "run-finished", "message": ""}, "RunFinished", Remark("the run finished")),
    (
        {"ended": "run-failed", "message": "no credit"},
        "RunFailed",
        Remark("the run failed", "no credit"),
    ),
    ({"ended": "inactive"}, "Inactive", Remark("nothing happened for the stated time")),
    (
        {"ended": "prompt-not-delivered", "message": 503},
        "PromptNotDelivered",
        Remark("the prompt could not be delivered", "503"),
    ),
]


@pytest.mark.parametrize(("message", "reason", "remark"), ENDS)
@pytest.mark.parametrize("last", [None, running(), waiting("CrashLoopBackOff", "back-off 5m0s")])
def test_the_bridge_says_why_the_work_has_ended(message, reason, remark, last):
    given = bridged(message, last)
    assert health(given) == Health(Phase.RUNNING, reason, remark)
    assert describe_pod(given) == (remark,)
    assert not takes_prompts(given)


@pytest.mark.parametrize(
    "message", ["", "{}", "[]", "run-finished", '{"ended": "x"}', '{"ended": ["run-finished"]}']
)
def test_another_message_of_the_bridge_is_shown_as_of_any_container(message):
    given = bridged(message)
    assert health(given).reason == "NotReady"
    [*remarks] = describe_pod(given)
    assert remarks == ([Remark("sidecar bridge ended with exit code 0", message)] * bool(message))


def test_a_bridge_that_has_ended_next_to_a_runner_delivers_no_more():
    given = kubelet_pod(
        containers=(
            HYDRATED,
            SYNCING,
            WORKING,
            {**BRIDGING, "state": terminated(0), "ready": False},
        )
    )
    given["status"]["conditions"] = UNREADY
    assert health(given) == Health(Phase.RUNNING, "NotReady", Remark("not ready: bridge"))


def test_a_bridge_that_fails_is_a_trouble():
    bridge = container("bridge", waiting("CrashLoopBackOff"), terminated(1), 2)
    given = pod(init=[bridge], conditions=UNREADY)
    assert health(given).reason == "CrashLoopBackOff"


def test_the_end_of_the_bridge_of_a_pod_that_has_ended_is_still_said():
    given = bridged({"ended": "run-failed", "message": "no credit"})
    given["status"]["phase"] = "Succeeded"
    assert health(given).phase is Phase.COMPLETED
    assert describe_pod(given) == (Remark("the run failed", "no credit"),)


def test_a_prompt_that_is_not_delivered_yet_is_said():
    given = pod(init=[prepared({}), UNREADY_BRIDGE], conditions=UNREADY)
    remark = Remark("the prompt is not delivered yet")
    assert health(given) == Health(Phase.RUNNING, "PromptPending", remark)
    both = pod(init=[UNREADY_BRIDGE], main=[WORKING | {"ready": False}], conditions=UNREADY)
    assert health(both) == Health(Phase.RUNNING, "NotReady", Remark("not ready: bridge, runner"))


def with_changes(**status):
    given = pod(init=[prepared({}), BRIDGING])
    given["status"] |= status
    return given


DELETED = {"deletionTimestamp": "2026-01-31T12:00:00Z"}
DONE = container("runner", terminated(0, "Completed"))


@pytest.mark.parametrize(
    ("given", "takes"),
    [
        (pod(init=[BRIDGING]), True),
        (pod(init=[UNREADY_BRIDGE], conditions=UNREADY), True),
        (pod(init=[container("bridge", running(), terminated(1), 1)]), True),
        (kubelet_pod(), False),
        (pod(init=[BRIDGING], metadata=DELETED), False),
        (pod("Pending", [BRIDGING], [INITIALIZING]), False),
        (with_changes(phase="Succeeded"), False),
        (with_changes(phase="Failed"), False),
        (pod(init=[BRIDGING], main=[DONE]), False),
        (not_prepared({}), False),
        ({"spec": {"containers": [{"name": "bridge"}]}}, True),
        ({"spec": {"containers": 3}, "status": []}, False),
    ],
)
def test_a_new_prompt_reaches_only_work_that_runs(given, takes):
    assert takes_prompts(given) is takes
