"""Credentials: when they are asked for, and what they do."""

from collections import Counter

import pytest

from tests.runner.pods import NAMESPACE, SESSION

PROVIDERS = ["coderabbit", "gerrit", "github", "gitlab", "google", "jira", "kubeconfig"]
TOKEN = {"token": "ghp_canary", "userName": "Ada", "email": "ada@example.com", "provider": "github"}


def identity(home):
    config = (home / ".gitconfig").read_text()
    return [line.split(" = ")[1] for line in config.splitlines() if line.strip().startswith(("name", "email"))]  # fmt: skip  # noqa: E501


def test_seven_are_asked_for_before_each_run_and_twice_before_the_first(pod, backend):
    pod.client.run("Hello.")
    assert Counter(backend.asked) == dict.fromkeys(PROVIDERS, 2)
    path = f"/api/projects/{NAMESPACE}/agentic-sessions/{SESSION}/credentials/github"
    assert path in {call.path for call in backend.calls}
    pod.client.run("And now?")
    assert Counter(backend.asked) == dict.fromkeys(PROVIDERS, 3)


def test_fourteen_are_asked_for_after_a_change(pod, backend):
    pod.client.run("Hello.")
    assert pod.client.post("/model", {"model": "another"}).is_success
    backend.calls.clear()
    pod.client.run("And now?")
    assert Counter(backend.asked) == dict.fromkeys(PROVIDERS, 2)


def test_a_token_brings_git_an_identity(pod, backend):
    backend.credentials["github"] = (200, TOKEN)
    pod.client.run("Hello.")
    assert identity(pod.home) == ["Ada", "ada@example.com"]


def test_the_identity_of_github_is_stronger_than_that_of_gitlab(pod, backend):
    backend.credentials["gitlab"] = (200, {**TOKEN, "userName": "Bob", "email": "bob@example.com"})
    pod.client.run("Hello.")
    assert identity(pod.home) == ["Bob", "bob@example.com"]
    backend.credentials["github"] = (200, TOKEN)
    pod.client.run("And now?")
    assert identity(pod.home) == ["Ada", "ada@example.com"]


def test_an_answer_without_token_brings_no_identity(pod, backend):
    backend.credentials["github"] = (200, {**TOKEN, "token": ""})
    pod.client.run("Hello.")
    assert "Ada" not in identity(pod.home)


@pytest.mark.parametrize("answer", [(404, {}), (500, {}), (200, {})])
def test_some_answers_are_harmless(pod, backend, answer):
    backend.credentials = dict.fromkeys(
        [p for p in PROVIDERS if p == "gerrit" or answer[1] != []], answer
    )
    assert pod.client.run("Hello.").result["is_error"] is False


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_fails_the_run(pod, backend, status):
    backend.credentials["jira"] = (status, {})
    assert pod.client.run("Hello.").types == ["RUN_ERROR"]
    backend.credentials.clear()
    assert pod.client.run("Hello.").text == "Turn 1: Hello."


def test_a_late_answer_delays_the_run(pod, backend):
    backend.latency = 1.0
    run = pod.client.start("Hello.")
    assert run.is_silent_for(1, events=0)
    assert run.wait().text == "Turn 1: Hello."
