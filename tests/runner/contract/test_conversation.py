"""Session ids, conversations, and what a new pod resumes."""

import orjson
import pytest

from tests.runner.pods import SESSION, STATE_DIR


def test_the_id_is_below_the_workspace_and_the_conversation_below_home(pod, pods):
    pod.client.run("Hello.")
    assert orjson.loads((pod.workspace / STATE_DIR / "claude_session_ids.json").read_bytes()) == {
        SESSION: pods.identifier
    }
    folder = f"{pod.workspace}/artifacts".replace("/", "-").replace("_", "-")
    assert (pod.home / STATE_DIR / "projects" / folder / f"{pods.identifier}.jsonl").is_file()


def test_home_is_written(pod):
    pod.client.run("Hello.")
    assert (pod.home / ".claude.json").is_file()
    assert "email" in (pod.home / ".gitconfig").read_text()


@pytest.mark.parametrize("ending", ["term", "kill"])
def test_the_next_pod_resumes_the_conversation(pods, ending):
    with pods.running() as pod:
        pod.client.run("Hello.")
        first = pods.identifier
        if ending == "term":
            pod.runner.send_term()
            assert pod.runner.wait() == 143
    with pods.running() as pod:
        assert pod.client.run("And now?").text == "Turn 2: And now?"
    assert pods.identifier == first
    assert len(pods.conversations) == 1


def test_a_conversation_is_resumed_in_another_working_directory(pods):
    with pods.running() as pod:
        pod.client.run("Hello.")
        first = pods.identifier
    with pods.running(REPOS_JSON='[{"url": "https://git.example.com/a/shop.git"}]') as pod:
        assert pod.client.run("And now?").text == "Turn 2: And now?"
    assert pods.identifier == first


def test_an_interrupted_pod_resumes_what_it_had(pods):
    with pods.running() as pod:
        pod.client.run("Hello.")
        pod.client.start("silent").wait_for("RUN_STARTED")
        assert not pod.runner.has_ended_after(1)
    with pods.running() as pod:
        assert pod.client.run("And now?").text == "Turn 3: And now?"


def test_an_id_without_its_conversation_hangs_for_ever(pods):
    with pods.running() as pod:
        pod.client.run("Hello.")
    for file in pods.conversations:
        file.unlink()
    with pods.running() as pod:
        run = pod.client.start("And now?")
        run.wait_for("RUN_STARTED")
        assert run.is_silent_for(pods.quiet_s, events=1)
        assert pod.client.interrupt().is_success
        assert pod.client.start("Still?").is_silent_for(pods.quiet_s, events=1)
        assert run.is_silent_for(0, events=1)
        assert pod.client.get("/health").is_success
    (pods.workspace / STATE_DIR / "claude_session_ids.json").write_text("{}")
    with pods.running() as pod:
        assert pod.client.run("And now?").text == "Turn 1: And now?"


@pytest.mark.parametrize("content", ["", "no JSON", "[]"])
def test_an_ids_file_that_is_broken_begins_a_conversation(pods, content):
    (pods.workspace / STATE_DIR).mkdir(parents=True)
    (pods.workspace / STATE_DIR / "claude_session_ids.json").write_text(content)
    with pods.running() as pod:
        assert pod.client.run("Hello.").text == "Turn 1: Hello."
