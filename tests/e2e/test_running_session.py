"""A session's pod as it is rendered, its containers run as processes, with real git and S3."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import skip_if_missing
from tests.e2e import embedded_site, running
from tests.e2e.running import RunningSession, wait_for_marks
from tests.local_pod.launch import require_users
from tests.local_pod.pod import LocalPod, wait_until
from tests.local_pod.session import send_message
from tests.runner import git_server
from tests.runner.git_server import GitServer

PLAIN = pytest.param("plain", marks=[pytest.mark.cluster, pytest.mark.s3])


@pytest.fixture
def git(tmp_path: Path) -> Iterator[GitServer]:
    with git_server.serving(tmp_path / "git") as server:
        yield server


@pytest.fixture
def session(
    request: pytest.FixtureRequest, tmp_path: Path, git: GitServer
) -> Iterator[RunningSession]:
    """A session; native sidecars need a newer API server than the real one."""
    sidecar, user_ids = getattr(request, "param", ("plain", "fixed"))
    capabilities = {"sidecar": sidecar, "userIds": user_ids}
    if sidecar == "native":
        site, server = embedded_site.make(tmp_path), request.getfixturevalue("moto_server")
    else:
        site, server = request.getfixturevalue("site"), request.getfixturevalue("s3_server")
    with running.opened(site, server, git, tmp_path, capabilities=capabilities) as opened:
        yield opened


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
        pytest.param((sidecar, ids), id=f"{sidecar}-{ids}", marks=marks)
        for sidecar, marks in (("plain", PLAIN.marks), ("native", ()))
        for ids in ("fixed", "assigned")
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
    repeated = "the prompt call was answered 200"
    wait_until(lambda: repeated in second.containers["runner"].output, "the runner's call")
    send_message(second, "more")
    wait_until(lambda: len(second.files.answers) == 2, "the answer to the message")
    assert second.files.answers[-1] == "Turn 2: more"
    assert conversation_of(second) == conversation_of(first)
    assert [each["run"] for each in second.files.marks] == ["finished"]
    message = json.loads(second.containers["prepare"].termination_message)
    assert message == {"repositories": [{"name": "shop", "state": "restored"}]}
