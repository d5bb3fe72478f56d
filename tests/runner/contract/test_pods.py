"""Rendered pods with the real `hydrate`, `prepare`, `sync` and `bridge` around the runner."""

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import skip_if_missing
from tests.e2e import embedded_site, running
from tests.e2e.running import CREDENTIAL, GIT, MODEL, RunningSession, wait_for_marks
from tests.local_pod.launch import require_users
from tests.local_pod.pod import LocalPod, wait_until
from tests.local_pod.session import send_message
from tests.runner import git_server
from tests.runner.git_server import TOKEN, make_repository
from tests.runner.messages_api import MessagesApi
from tests.runner.pods import SHORT
from tests.runner.targets import Target
from tests.s3.access import S3Server

BRIDGE, RUNNER = "http://127.0.0.1:8095", "http://127.0.0.1:8001"
AT_ONCE_S = 8.0
"""Above the end of an idle runner on a busy machine, below that of one with an open run."""

LONGEST_RUN_S = 300.0


@pytest.fixture
def session(
    tmp_path: Path, target: Target, model: MessagesApi, moto_server: S3Server
) -> Iterator[RunningSession]:
    with skip_if_missing():
        require_users()
    site = embedded_site.make(tmp_path)
    capabilities = {"sidecar": "native"}
    with (
        git_server.serving(tmp_path / "git") as git,
        running.opened(site, moto_server, git, tmp_path, capabilities=capabilities) as opened,
    ):
        local = opened.local
        local.target = target
        identity = {"TOKEN": TOKEN, "NAME": "Ada", "EMAIL": "ada@example.com"}
        of_model = {"ANTHROPIC_API_KEY": "a-key-for-tests", "ANTHROPIC_BASE_URL": model.url}
        local.secrets = {**local.secrets, GIT: identity, MODEL: of_model}
        keys = {"token": "TOKEN", "userName": "NAME", "email": "EMAIL"}
        opened.declare(credentials=[{**CREDENTIAL, "keys": keys}])
        yield opened


def start(session: RunningSession, **bridge: str) -> LocalPod:
    """Start the session's pod; the variables of the bridge are given without their prefix."""
    session.site.apply()
    pod = session.local.take(**{**SHORT, "DOUBLE_REFUSED_SECONDS": "3"})
    variables = {f"RECONCILE_RUNNER_{name}": value for name, value in bridge.items()}
    pod.variables = {**pod.variables, "bridge": variables}
    pod.start()
    return pod


def replace_lost(session: RunningSession, pod: LocalPod) -> LocalPod:
    """Lose a pod after its workspace was stored, and start the next one."""
    running.wait_for_snapshot(pod)
    pod.lose()
    return session.replace(**SHORT)


def ask(pod: LocalPod, text: str) -> str:
    """Send a message once the runner is there, and return the answer."""
    wait_until(lambda: read(f"{BRIDGE}/readyz") and read(f"{RUNNER}/health"), "the runner")
    count = len(pod.files.find_events("RUN_FINISHED"))
    send_message(pod, text)
    wait_until(lambda: len(pod.files.find_events("RUN_FINISHED")) > count, f"the answer to {text}")
    return pod.files.answers[-1]


def read(url: str) -> str:
    """Ask a container; empty if it does not listen yet."""
    with httpx.Client(trust_env=False) as client, contextlib.suppress(httpx.ConnectError):
        return client.get(url).text
    return ""


def message_of(pod: LocalPod, name: str) -> dict[str, Any]:
    """The termination message of a container."""
    return json.loads(pod.containers[name].termination_message)


def in_home(pod: LocalPod, path: str) -> Path:
    """A path in the home directory, as the running runner sees it."""
    return Path(f"/proc/{pod.containers['runner'].process.pid}/root/app") / path


def list_ids(pod: LocalPod) -> list[str]:
    """The ids of all conversations that the runner knows."""
    return list(
        json.loads((pod.workspace / ".claude/claude_session_ids.json").read_text()).values()
    )


def conversations_of(pod: LocalPod) -> list[str]:
    """The ids of all conversations that are there."""
    return [each.stem for each in (pod.workspace / ".claude/projects").glob("*/*.jsonl")]


def check_masked(pod: LocalPod) -> None:
    """Events repeat the prompt, what is written, and the answer."""
    logs = [pod.containers[each].log for each in ("hydrate", "prepare", "sync", "bridge")]
    for file in (*(pod.workspace / ".session").iterdir(), *logs):
        assert "canary" not in file.read_text(), file
    assert "canary" not in read(f"{BRIDGE}/metrics")


def test_the_prompt_runs_once_in_the_clone_and_the_next_pod_goes_on(session):
    prompt = f"write note.txt {TOKEN}"
    session.declare(initialPrompt=prompt, repos=[session.repository("shop", "private")])
    first = start(session)
    wait_for_marks(first, "finished")
    assert first.files.answers[0].startswith("Turn 1: write note.txt ")
    assert (first.workspace / "repos/shop/note.txt").read_text() == TOKEN
    check_masked(first)
    assert in_home(first, ".claude.json").exists()
    configuration = in_home(first, ".gitconfig").read_text()
    assert "Ada" in configuration
    assert "ada@example.com" in configuration
    assert conversations_of(first) == list_ids(first)

    second = replace_lost(session, first)
    repeated = 'prompt_deliveries_total{result="repeated"} 1.0'
    wait_until(lambda: repeated in read(f"{BRIDGE}/metrics"), "the runner's call")
    assert ask(second, "more") == "Turn 2: more"
    assert list_ids(second) == list_ids(first)
    assert [each["run"] for each in second.files.marks] == ["finished"]
    assert len(second.files.find_events("RUN_STARTED")) == 2
    assert message_of(second, "prepare")["repositories"] == [{"name": "shop", "state": "restored"}]


def test_a_conversation_that_is_gone_is_not_waited_for(session):
    session.declare(initialPrompt="Hello.")
    first = start(session)
    wait_for_marks(first, "finished")
    [lost] = conversations_of(first)
    shutil.rmtree(first.workspace / ".claude/projects")
    second = replace_lost(session, first)
    assert lost in json.dumps(message_of(second, "prepare"))
    assert ask(second, "more") == "Turn 1: more"


def test_changed_inputs_reach_the_running_session(session, model):
    shop, tools, flows = (session.repository(name) for name in ("shop", "tools", "flows"))
    session.declare(initialPrompt="Hello.", repos=[shop], llmSettings={"model": "model-1"})
    pod = start(session)
    wait_for_marks(pod, "finished")
    session.declare(
        initialPrompt="write second.md now",
        repos=[tools],
        activeWorkflow={"gitUrl": flows["url"]},
        llmSettings={"model": "model-2"},
    )
    session.apply_to(pod)
    wait_for_marks(pod, "finished", "finished")
    names = ("repository shop", "repository tools", "workflow flows", "model model-2", "prompt")
    assert {name: each["state"] for name, each in pod.files.changes.items()} == dict.fromkeys(
        names, "done"
    )
    assert pod.files.answers == ["Turn 1: Hello.", "Turn 2: write second.md now"]
    assert (pod.workspace / "workflows/flows/second.md").read_text() == "now"
    assert [each.name for each in (pod.workspace / "repos").iterdir()] == ["tools"]
    assert (pod.workspace / "repos/tools/.git/HEAD").read_text() == "ref: refs/heads/main\n"
    with session.client(pod) as client:
        assert client.get("/capabilities").json()["model"] == "model-2"
    assert all(each["model"] == "model-2" for each in model.requests[-1:])
    assert len(pod.files.find_events("RUN_STARTED")) == 2


def test_a_key_that_the_model_refuses_is_reported(session, model):
    model.refuses = True
    session.declare(initialPrompt="unauthorized")
    pod = start(session, SILENT_SECONDS="1")
    wait_until(lambda: "has said nothing for 1 s" in read(f"{BRIDGE}/readyz"), "a report")
    wait_until(lambda: pod.files.marks[0]["run"] != "open", "the end of the run", LONGEST_RUN_S)
    assert pod.files.marks[0]["run"] == "failed"
    assert pod.files.find_events("RUN_FINISHED")[0]["result"]["is_error"] is True
    assert pod.containers["bridge"].is_running


def test_a_missing_key_ends_the_session_with_what_is_missing(session):
    session.local.secrets = {**session.local.secrets, MODEL: {"ANTHROPIC_API_KEY": ""}}
    session.declare(initialPrompt="Hello.")
    pod = start(session)
    assert pod.containers["bridge"].wait() == 0
    ended = message_of(pod, "bridge")
    assert (ended["ended"], ended["runs"]) == ("run-failed", {"finished": 0, "failed": 1})
    assert "ANTHROPIC_API_KEY" in ended["message"]


def test_a_workflow_has_its_prompt_first_and_a_session_may_end_after_its_run(session):
    """In a group of repositories, the runner takes the group's name for the workflow's."""
    files = {".ambient/ambient.json": '{"startupPrompt": "Greet."}'}
    make_repository(session.git.folder / "team/flows.git", files)
    workflow = {"gitUrl": session.git.url("public/team/flows.git")}
    session.declare(initialPrompt="Hello.", activeWorkflow=workflow, stopOnRunFinished=True)
    pod = start(session, QUIET_SECONDS="1")
    assert pod.containers["bridge"].wait() == 0
    assert message_of(pod, "bridge")["ended"] == "run-finished"
    assert pod.files.answers == ["Turn 1: Greet.\n\nHello."]
    [conversations] = (pod.workspace / ".claude/projects").iterdir()
    assert conversations.name == "-workspace-workflows-team"


def test_a_pod_with_an_open_run_ends_at_once_and_the_next_one_knows(session, target):
    """The double loses the first interrupt; the real one loses all for longer than 2 s."""
    session.declare(initialPrompt="silent")
    first = start(session)
    if target.is_real:
        wait_until(lambda: first.files.find_events("RUN_STARTED"), "the run")
    else:
        wait_until(lambda: '"run started"' in first.containers["bridge"].output, "the run")
    ended = first.stop()
    assert ended["runner"].code == 143
    assert ended["runner"].seconds - ended["runner"].hook_seconds < AT_ONCE_S
    second = session.replace(**SHORT)
    wait_for_marks(second, "interrupted")
    assert ask(second, "more") == "Turn 2: more"
