"""The runner's own call, which asks the backend to run its prompt."""

import pytest

from tests.controlplane import waiting
from tests.runner.pods import NAMESPACE, SESSION

PATH = f"/api/projects/{NAMESPACE}/agentic-sessions/{SESSION}/agui/run"
PROMPT = {"INITIAL_PROMPT": "Fix the build."}


def wait_for_prompts(backend, count):
    waiting.until(f"{count} prompt calls", lambda: len(backend.prompts) >= count)


def test_it_comes_by_itself_and_the_runner_then_waits(pods, backend):
    with pods.running(**PROMPT) as pod:
        wait_for_prompts(backend, 1)
        call = backend.prompts[0]
        assert (call.method, call.path) == ("POST", PATH)
        assert "authorization" not in call.headers
        assert call.headers["content-type"] == "application/json"
        assert set(call.body) == {"threadId", "runId", "messages"}
        (message,) = call.body["messages"]
        assert call.body["threadId"] == SESSION
        assert set(message) == {"id", "role", "content", "metadata"}
        assert (message["role"], message["content"]) == ("user", "Fix the build.")
        assert message["metadata"] == {
            "hidden": True, "autoSent": True, "source": "runner_initial_prompt",
        }  # fmt: skip
        assert pod.runner.is_running
    assert pods.identifier == ""  # it has not run by itself


def test_its_body_can_be_posted_to_the_runner_as_it_is(pods, backend):
    with pods.running(**PROMPT) as pod:
        wait_for_prompts(backend, 1)
        run = pod.client.start_body(backend.prompts[0].body).wait()
        assert run.text == "Turn 1: Fix the build."
        assert run.result["is_error"] is False


@pytest.mark.parametrize("status", [500, 503, 401])
def test_it_comes_again_with_a_new_run_id_after_some_answers(pods, backend, status):
    backend.statuses = [status, status]
    with pods.running(**PROMPT):
        wait_for_prompts(backend, 3)
        bodies = [call.body for call in backend.prompts]
    assert len({body["runId"] for body in bodies}) == 3
    assert len({body["messages"][0]["id"] for body in bodies}) == 1


@pytest.mark.parametrize("status", [200, 202, 404, 409])
def test_it_does_not_come_again_after_others(pods, backend, status):
    backend.statuses = [status]
    with pods.running(**PROMPT) as pod:
        wait_for_prompts(backend, 1)
        assert not pod.runner.has_ended_after(pods.quiet_s)
        assert len(backend.prompts) == 1


def test_it_comes_at_each_start_unless_the_variable_says_true(pods, backend):
    with pods.running(**PROMPT):
        wait_for_prompts(backend, 1)
    with pods.running(**PROMPT, IS_RESUME="1"):
        wait_for_prompts(backend, 2)
    with pods.running(**PROMPT, IS_RESUME="true") as pod:
        assert not pod.runner.has_ended_after(pods.quiet_s)
        assert len(backend.prompts) == 2


def test_nothing_is_asked_without_a_prompt(pods, backend):
    with pods.running() as pod:
        assert not pod.runner.has_ended_after(pods.quiet_s)
        assert backend.calls == []


def test_the_startup_prompt_of_the_workflow_comes_first(pods, backend, flow):
    flow.git("clone", "-q", flow.url, str(pods.workspace / "workflows" / "flow"))
    with pods.running(**PROMPT, ACTIVE_WORKFLOW_GIT_URL=flow.url):
        wait_for_prompts(backend, 1)
    content = backend.prompts[0].body["messages"][0]["content"]
    assert content == "Greet.\n\nFix the build."


@pytest.mark.parametrize("content", [None, "no JSON", "{}"])
def test_a_workflow_without_a_startup_prompt_asks_for_nothing(pods, backend, content):
    folder = pods.workspace / "workflows" / "flow" / ".ambient"
    folder.mkdir(parents=True)
    if content is not None:
        (folder / "ambient.json").write_text(content)
    with pods.running(ACTIVE_WORKFLOW_GIT_URL="https://git.example.com/a/flow.git") as pod:
        assert not pod.runner.has_ended_after(pods.quiet_s)
        assert backend.calls == []
