"""A session's pod as it is rendered, its containers run as processes, with real git and S3."""

import json
import time
from pathlib import Path

import pytest

from tests.conftest import skip_if_missing
from tests.e2e.running import POD, RunningSession, wait_for_call, wait_for_marks, wait_for_snapshot
from tests.local_pod.launch import require_users
from tests.local_pod.pod import LocalPod, wait_until
from tests.local_pod.session import send_message
from tests.runner.git_server import make_repository

ON_SERVERS = (pytest.mark.cluster, pytest.mark.s3)


def conversation_of(pod: LocalPod) -> str:
    """The id of the session's conversation."""
    ids = json.loads((pod.workspace / ".claude/claude_session_ids.json").read_text())
    [identifier] = ids.values()
    return str(identifier)


def in_root(pod: LocalPod, path: str) -> Path:
    """A path as the running runner sees it."""
    return Path(f"/proc/{pod.containers['runner'].process.pid}/root{path}")


@pytest.mark.parametrize(
    "session",
    [
        pytest.param(("plain", "fixed"), marks=ON_SERVERS, id="plain-fixed"),
        pytest.param(("native", "assigned"), id="native-assigned"),
    ],
    indirect=True,
)
def test_the_prompt_runs_once_in_the_clone_and_the_next_pod_goes_on(
    session: RunningSession,
) -> None:
    with skip_if_missing():
        require_users()
    session.declare(
        initialPrompt="write answer.md done", repos=[session.repository("shop", "private")]
    )
    first = session.start()
    wait_for_marks(first, "finished")
    assert first.files.answers == ["Turn 1: write answer.md done"]
    assert (first.workspace / "repos/shop/answer.md").read_text() == "done"
    assert "Agent" in in_root(first, "/app/.gitconfig").read_text()
    [conversation] = in_root(first, "/app/.claude/projects").glob("*/*.jsonl")
    assert conversation.name == f"{conversation_of(first)}.jsonl"
    assert conversation.parent.name == "-workspace-repos-shop"
    ended = first.stop()
    print(f"\nended: {ended}")

    second = session.replace()
    wait_for_call(second)
    send_message(second, "more")
    wait_until(lambda: len(second.files.answers) == 2, "the answer to the message")
    assert second.files.answers[-1] == "Turn 2: more"
    assert conversation_of(second) == conversation_of(first)
    assert [each["run"] for each in second.files.marks] == ["finished"]
    message = json.loads(second.containers["prepare"].termination_message)
    assert message == {"repositories": [{"name": "shop", "state": "restored"}]}


CHANGES = {"repository tools", "workflow flows", "model model-2", "prompt"}


@pytest.mark.cluster
@pytest.mark.s3
def test_changed_inputs_reach_the_running_session_without_a_new_pod(
    session: RunningSession,
) -> None:
    repos = [session.repository("shop")]
    session.declare(initialPrompt="silent", repos=repos, llmSettings={"model": "model-1"})
    pod = session.start()
    session.on_server.start_pod(POD)
    wait_until(lambda: pod.files.find_events("RUN_STARTED"), "the first run")
    session.declare(
        initialPrompt="write second.md now",
        repos=[*repos, session.repository("tools")],
        llmSettings={"model": "model-2"},
        activeWorkflow={"gitUrl": session.repository("flows")["url"]},
    )
    apply_in_place(session, pod)
    wait_until(lambda: states_of(pod) == dict.fromkeys(CHANGES, "waiting"), "changes that wait")
    with session.client(pod) as client:
        assert client.interrupt().is_success
        begin = time.monotonic()
        wait_until(lambda: states_of(pod) == dict.fromkeys(CHANGES, "done"), "all changes")
        print(f"\nall changes are applied {time.monotonic() - begin:.1f} s after the run's end")
        wait_for_marks(pod, "failed", "finished")
        assert client.get("/capabilities").json()["model"] == "model-2"
    assert pod.files.answers == ["Turn 2: write second.md now"]
    assert (pod.workspace / "repos/tools/README").exists()
    assert (pod.workspace / "workflows/flows/second.md").read_text() == "now"
    change_what_the_runner_does_not_read(session, pod)


def apply_in_place(session: RunningSession, pod: LocalPod) -> None:
    """Apply a change of all that the bridge acts on, to the same pod."""
    site = session.on_server
    changes = {(each["kind"], each["action"]) for each in site.plan()}
    assert changes == {("ConfigMap", "patch"), ("Pod", "patch")}
    assert "delivers a new prompt" in site.diff(expect=1).out
    session.apply_to(pod)
    assert site.get("Pod", POD)["metadata"]["uid"] == pod.uid


def change_what_the_runner_does_not_read(session: RunningSession, pod: LocalPod) -> None:
    """Apply it: neither the pod's object nor the bridge have anything to do."""
    site = session.on_server
    version = site.get("Pod", POD)["metadata"]["resourceVersion"]
    settings = {"model": "model-2", "temperature": 0.1, "maxTokens": 99}
    session.declare(interactive=False, timeout=77, llmSettings=settings)
    assert [(each["kind"], each["action"]) for each in site.plan()] == [("ConfigMap", "patch")]
    session.apply_to(pod)
    assert site.get("Pod", POD)["metadata"]["resourceVersion"] == version
    # The bridge has seen it once it has seen the change after it.
    session.declare(llmSettings={**settings, "model": "model-3"})
    session.apply_to(pod)
    wait_until(lambda: "model model-3" in pod.files.changes, "the next change")
    assert pod.files.changes.keys() == CHANGES - {"model model-2"} | {"model model-3"}
    assert len(pod.files.find_events("RUN_STARTED")) == 2


def states_of(pod: LocalPod) -> dict[str, str]:
    """The states of all changes."""
    return {name: each["state"] for name, each in pod.files.changes.items()}


KEPT = ("dirty", "ahead", "stashed", "moved", "branched")
WORK = """
set -e
for each in dirty moved branched; do echo work > repos/$each/README; done
git -C repos/ahead -c user.name=a -c user.email=a@example.com commit -q --allow-empty -m work
echo work > repos/stashed/README
git -C repos/stashed -c user.name=a -c user.email=a@example.com stash -q
echo work > workflows/flows/file
"""
LOOK = """
cd $0
cat README file 2>/dev/null
test -d .git && git status --short --branch && git log --all --format=%H
"""


@pytest.mark.cluster
@pytest.mark.s3
def test_work_that_is_not_pushed_survives_every_change_of_the_inputs(
    session: RunningSession,
) -> None:
    repos = {each: session.repository(each) for each in (*KEPT, "clean")}
    make_repository(session.git.folder / "flows.git", {"a/file": "a\n", "b/file": "b\n"})
    workflow = {"gitUrl": session.git.url("public/flows.git"), "path": "a"}
    session.declare(initialPrompt="hello", repos=[*repos.values()], activeWorkflow=workflow)
    pod = session.start()
    wait_for_marks(pod, "finished")
    made = pod.execute("runner", "sh", "-c", WORK)
    assert made.code == 0, made.output
    work = look(pod)
    assert all("work" in work[each] for each in ("repos/dirty", "workflows/flows"))
    session.declare(
        initialPrompt="more",
        repos=[
            session.repository("elsewhere", name="moved"),
            {**repos["branched"], "branch": "next"},
        ],
        activeWorkflow={**workflow, "path": "b"},
        llmSettings={"model": "model-2"},
    )
    session.apply_to(pod)
    expected = dict.fromkeys([*(f"repository {each}" for each in KEPT), "prompt"], "waiting")
    expected |= {"workflow flows": "waiting"}
    expected |= {"repository clean": "done", "model model-2": "done"}
    wait_until(lambda: states_of(pod) == expected, "the results of all changes")
    assert "not committed" in pod.files.changes["repository moved"]["reason"]
    assert not (pod.workspace / "repos/clean").exists()
    assert look(pod) == work
    wait_for_snapshot(pod)
    pod.lose()
    following = session.replace()
    wait_for_marks(following, "finished", "finished")
    assert look(following) == work


def look(pod: LocalPod) -> dict[str, str]:
    """Describe all repositories that have work, and the workflow."""
    names = [*(f"repos/{each}" for each in KEPT), "workflows/flows"]
    return {each: pod.execute("runner", "sh", "-c", LOOK, each).output for each in names}
