"""Runs: the events of several turns, where the agent works, and what is refused."""

import orjson
import pytest

from tests.runner.pods import SESSION


def test_the_agent_answers_several_turns_of_one_conversation(pod, pods):
    first, second = pod.client.run("Hello."), pod.client.run("And now?")
    assert (first.text, second.text) == ("Turn 1: Hello.", "Turn 2: And now?")
    for run in (first, second):
        assert run.response.headers["content-type"].startswith("text/event-stream")
        assert run.types[0] == "RUN_STARTED"
        assert run.types[-2:] == ["MESSAGES_SNAPSHOT", "RUN_FINISHED"]
        assert run.result["is_error"] is False
    assert len(pods.conversations) == 1


def test_events_name_the_thread_and_the_run(pod):
    run = pod.client.start("Hello.", runId="run-1").wait()
    for event in (run.events[0], run.events[-1]):
        assert (event["threadId"], event["runId"]) == (SESSION, "run-1")


def test_an_event_repeats_the_prompt(pod):
    """So that a secret in a prompt is in the events too."""
    assert "canary-1" in orjson.dumps(pod.client.run("canary-1").events[0]).decode()


def test_a_second_run_waits_silently_for_the_first(pod):
    first = pod.client.start("sleep 4")
    first.wait_for("RUN_STARTED")
    second = pod.client.start("Hello.")
    assert second.is_silent_for(1, events=0)
    assert first.wait().text == "Turn 1: sleep 4"
    assert second.wait().text == "Turn 2: Hello."


def test_a_reader_that_hangs_up_does_not_end_the_turn(pod):
    first = pod.client.start("sleep 3")
    first.wait_for("RUN_STARTED")
    first.close()
    second = pod.client.run("Hello.")
    assert second.text.endswith("Turn 2: Hello.")


def test_an_interrupt_ends_a_turn_whose_reader_has_hung_up(pod):
    pod.client.run("Hello.")
    lost = pod.client.start("silent")
    lost.wait_for("RUN_STARTED")
    assert not lost.is_silent_for(1, events=0)  # The agent is at work by then.
    lost.close()
    assert pod.client.interrupt().is_success
    assert pod.client.run("And now?").text.endswith("Turn 3: And now?")


def test_a_run_without_thread_fails(pod):
    message = {"id": "1", "role": "user", "content": "Hello."}
    assert pod.client.post("/", {"messages": [message]}).status_code == 500
    assert pod.client.post("/", {"threadId": SESSION}).status_code == 422


def test_a_run_without_prompt_has_no_result(pod):
    run = pod.client.start_body({"threadId": SESSION, "messages": []}).wait()
    assert (run.types, run.result) == (["RUN_STARTED", "RUN_FINISHED"], None)


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({}, "artifacts"),
        ({"REPOS_JSON": '[{"url": "https://git.example.com/a/shop.git"}]'}, "repos/shop"),
        ({"REPOS_JSON": '[{"url": "https://git.example.com/a/b/shop.git"}]'}, "repos/b"),
        ({"REPOS_JSON": '[{"url": "https://x/a/b", "name": "y"}]'}, "repos/y"),
        ({"REPOS_JSON": "no JSON"}, "artifacts"),
        ({"ACTIVE_WORKFLOW_GIT_URL": "https://git.example.com/a/flow.git"}, "workflows/flow"),
        ({"ACTIVE_WORKFLOW_GIT_URL": "https://git.example.com/a/b/flow.git"}, "workflows/b"),
        ({"ACTIVE_WORKFLOW_GIT_URL": "git@git.example.com:a/b/flow.git"}, "workflows/flow"),
        ({"ACTIVE_WORKFLOW_GIT_URL": "ssh://git@git.example.com/a/b/flow"}, "workflows/flow"),
        ({"ACTIVE_WORKFLOW_GIT_URL": "https://git.example.com/flow.git"}, "workflows/flow"),
        ({"ACTIVE_WORKFLOW_GIT_URL": "file:///srv/a/b/flow.git"}, "workflows/flow"),
    ],
)  # fmt: skip
def test_the_agent_works_in_the_folder_of_the_workflow_or_repository(pods, variables, folder):
    with pods.running(**variables) as pod:
        pod.client.run("write note.txt Hello.")
        assert (pod.workspace / folder / "note.txt").read_text() == "Hello."


def test_without_a_key_the_run_has_an_error_alone(pods):
    with pods.running(ANTHROPIC_API_KEY="") as pod:
        run = pod.client.start("Hello.", runId="run-1").wait()
        assert run.types == ["RUN_ERROR"]
        assert "ANTHROPIC_API_KEY" in run.events[0]["message"]
        assert pod.client.get("/health").is_success


def test_events_between_runs_say_nothing_by_themselves(pod):
    with pod.client._client.stream("GET", f"/events/{SESSION}") as stream:
        assert stream.status_code == 200
        assert pod.client.run("Hello.").result["is_error"] is False
