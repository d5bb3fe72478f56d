"""Canaries in everything that a session may know: none is in what others can read of it."""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.e2e.running import (
    CREDENTIAL,
    NAME,
    STORE,
    RunningSession,
    wait_for_call,
    wait_for_marks,
    wait_for_snapshot,
)
from tests.local_pod.pod import LocalPod, wait_until
from tests.local_pod.session import send_message
from tests.runner.git_server import PASSWORD, TOKEN

pytestmark = [pytest.mark.cluster, pytest.mark.s3]

KEYS = "agent-keys"
FIELDS = {
    "jira": ("apiToken",),
    "google": ("accessToken", "refreshToken"),
    "gerrit": ("httpToken",),
    "coderabbit": ("apiKey",),
    "kubeconfig": ("token",),
    "mcp/tracker": ("password",),
}
CANARIES = {
    f"{provider.replace('/', '-')}-{name}": f'canary of {provider} "{name}" 0123456789'
    for provider, names in FIELDS.items()
    for name in names
}
MODEL_KEY = "sk-ant-canary-of-the-model-0123456789"
MCP_SERVER = "canary-of-a-server-0123456789"
KNOWN = " and ".join(
    [*CANARIES.values(), TOKEN, MODEL_KEY, f"https://user:{PASSWORD}@git.example/shop"]
)
"""What the agent knows, and may say."""


def credentials() -> list[dict[str, Any]]:
    """All canaries as declared credentials."""
    others = [
        {
            "provider": provider,
            "secretName": KEYS,
            "keys": {name: f"{provider.replace('/', '-')}-{name}" for name in names},
        }
        for provider, names in FIELDS.items()
    ]
    return [CREDENTIAL, *others]


@pytest.fixture
def secrets(session: RunningSession) -> tuple[str, ...]:
    """Every value that must not be shown."""
    session.local.secrets = {**session.local.secrets, KEYS: CANARIES}
    store = session.local.secrets[STORE]
    return (TOKEN, PASSWORD, MODEL_KEY, MCP_SERVER, *CANARIES.values(), store["S3_SECRET_KEY"])


def test_no_secret_is_in_what_others_can_read_of_a_session(
    session: RunningSession, secrets: tuple[str, ...]
) -> None:
    declare(session)
    shown = [str(session.on_server.diff("-o", each, expect=1)) for each in ("text", "json")]
    first = session.start()
    wait_for_marks(first, "finished")
    shown += talk(session, first)
    first.stop()
    second = session.replace(DOUBLE_RUN="run-error", DOUBLE_ERROR=f"wrong: {KNOWN}")
    wait_for_call(second)
    send_message(second, "more")
    assert second.containers["bridge"].wait() == 0
    second.lose()
    message = json.loads(second.containers["bridge"].termination_message)
    assert message["ended"] == "run-failed"
    assert "***" in message["message"]
    assert "***" in (first.workspace / ".session/events.jsonl").read_text()
    shown += [str(session.on_server.run("status")), *list_objects(session)]
    shown += [text for pod in session.local.pods for text in list_files(pod)]
    shown += list_stored_files(session, first)
    for secret in secrets:
        assert_hidden(secret, shown)


def declare(session: RunningSession) -> None:
    """Declare the session, with two repositories whose servers do not give them."""
    server = {"command": "tracker", "env": {"TRACKER_TOKEN": MCP_SERVER}}
    session.declare(
        initialPrompt="hello",
        repos=[session.repository("shop", "private"), session.repository("refused", "refused")],
        activeWorkflow={"gitUrl": session.repository("flows", "to-login")["url"]},
        credentials=credentials(),
        mcpServers={"custom": {"tracker": server}},
        onPrepareFailure="Continue",
    )


def talk(session: RunningSession, pod: LocalPod) -> list[str]:
    """Let the agent say all it knows, let a change fail, and return what the pod answers then."""
    send_message(pod, KNOWN)
    send_message(pod, base64.b64encode(f"user:{TOKEN}".encode()).decode())
    wait_until(lambda: len(pod.files.find_events("RUN_FINISHED")) == 3, "all answers")
    moved = session.repository("moved", "to-login")
    session.declare(repos=[session.repository("shop", "private"), moved])
    session.apply_to(pod)
    wait_until(lambda: "repository moved" in pod.files.changes, "the change that fails")
    wait_for_snapshot(pod)
    pages = ["8095/metrics", "8095/readyz", "8091/metrics", "8091/status", "8091/readyz"]
    with httpx.Client(trust_env=False) as client:
        texts = [client.get(f"http://127.0.0.1:{page}").text for page in pages]
    assert all(texts)
    return texts


def assert_hidden(secret: str, texts: list[str]) -> None:
    """Assert that a secret is in no text, in none of its usual forms."""
    forms = {secret, json.dumps(secret)[1:-1], quote(secret, safe="")}
    forms |= {base64.b64encode(secret.encode()).decode().rstrip("=")}
    found = [text for text in texts for form in forms if form in text]
    assert not found, f"{secret} is in:\n" + "\n---\n".join(found)


def list_files(pod: LocalPod) -> Iterator[str]:
    """Logs, last messages, what the bridge has written, and what our programs keep for the pod."""
    for container in pod.containers.values():
        yield from (container.output, container.termination_message)
    for folder in (pod.workspace / ".session", pod.volume("runner-state")):
        yield from (each.read_text() for each in folder.rglob("*") if each.is_file())


def list_objects(session: RunningSession) -> Iterator[str]:
    """All objects of the session; only its pod has the servers, which the runner needs."""
    for name, body in session.on_server.everything().items():
        if name.startswith("Pod/"):
            variables = body["spec"]["containers"][0]["env"]
            variables[:] = [each for each in variables if each["name"] != "CUSTOM_MCP_SERVERS"]
        yield json.dumps(body)


def list_stored_files(session: RunningSession, pod: LocalPod) -> list[str]:
    """What each generation in the bucket has below `.session`."""

    def run(*arguments: str) -> str:
        options = ("--prefix", f"{session.site.namespace}/{NAME}", "--shared-secret", str(keys))
        command = [sys.executable, "-m", "reconcile.mirror", *arguments, *options]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    keys, folder = pod.volume("store-keys"), pod.folder / "restored"
    numbers = [
        str(each["generation"]) for each in json.loads(run("log", "-o", "json"))["generations"]
    ]
    assert numbers
    for number in numbers:
        run("restore", "--at", number, str(folder / number))
    found = [each for each in folder.glob("*/.session/*") if each.is_file()]
    assert any(each.name == "events.jsonl" for each in found)
    return [each.read_text() for each in found]
