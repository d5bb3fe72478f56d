"""The double's misbehaviour, and the doubles around it."""

import subprocess
import sys
from collections.abc import Iterator

import httpx
import orjson
import pytest

from tests.runner import backend, commands, messages_api
from tests.runner.client import TOKEN_HEADER, RunnerClient
from tests.runner.double.settings import RUN_FAULTS, name_at_start, name_of_url
from tests.runner.pods import SESSION, TOKEN, Pods
from tests.runner.targets import ROOT, DoubleTarget

BODY = {"threadId": SESSION, "messages": [{"id": "1", "role": "user", "content": "Hello."}]}


@pytest.fixture
def pods(tmp_path) -> Iterator[Pods]:
    with backend.running() as listener, messages_api.running() as model:
        yield Pods(DoubleTarget(), tmp_path, listener, model)


def post(pod, path="/", timeout=30.0):
    headers = {TOKEN_HEADER: TOKEN}
    return httpx.post(
        f"{pod.runner.url}{path}", json=BODY, headers=headers, timeout=timeout, trust_env=False
    )


@pytest.mark.parametrize("status", ["401", "500"])
def test_a_run_is_refused(pods, status):
    with pods.running(DOUBLE_RUN=status) as pod:
        assert post(pod).status_code == int(status)


def test_a_run_is_never_answered(pods):
    with pods.running(DOUBLE_RUN="never") as pod, pytest.raises(httpx.ReadTimeout):
        post(pod, timeout=1)


@pytest.mark.parametrize(("fault", "count"), [("silent", 1), ("endless", 3)])
def test_a_run_never_ends(pods, fault, count):
    with pods.running(DOUBLE_RUN=fault) as pod:
        run = pod.client.start("Hello.")
        run.wait_for("TEXT_MESSAGE_CONTENT" if fault == "endless" else "RUN_STARTED")
        pod.runner.has_ended_after(0.5)
        assert len(run.events) >= count
        assert not run.is_closed


def test_a_stream_breaks_in_the_middle_of_an_event(pods):
    with pods.running(DOUBLE_RUN="break") as pod, pytest.raises(httpx.RemoteProtocolError):
        post(pod)


@pytest.mark.parametrize(
    ("fault", "content"),
    [
        ("typeless", b'data: {"messageId":"without-type"}\n\n'),
        ("not-json", b"data: {not json\n\n"),
        ("invalid-utf8", b"\xff\xfe"),
        ("huge", b"x" * (1 << 20)),
    ],
)
def test_a_bad_event_comes_in_a_run_that_goes_on(pods, fault, content):
    with pods.running(DOUBLE_RUN=fault, DOUBLE_HUGE_BYTES=str(1 << 20)) as pod:
        answer = post(pod).content
    assert content in answer
    assert b'"RUN_FINISHED"' in answer


def test_a_run_ends_without_result_or_with_an_error(pods):
    with pods.running(DOUBLE_RUN="no-result") as pod:
        run = pod.client.run("Hello.")
        assert (run.text, run.result) == ("Turn 1: Hello.", None)
    with pods.running(DOUBLE_RUN="run-error") as pod:
        assert pod.client.run("Hello.").types == ["RUN_ERROR"]


def test_only_some_runs_misbehave(pods):
    with pods.running(DOUBLE_RUN="500", DOUBLE_RUN_TIMES="1") as pod:
        assert [post(pod).status_code for _ in range(2)] == [500, 200]


@pytest.mark.parametrize("path", ["/repos/add", "/repos/remove", "/workflow", "/model"])
def test_changes_fail(pods, path):
    with pods.running(DOUBLE_CHANGES="503") as pod:
        assert post(pod, path).status_code == 503


def test_requests_are_recorded_with_their_headers(pods, tmp_path):
    with pods.running(DOUBLE_RECORD=str(tmp_path / "requests")) as pod:
        pod.client.post("/repos/remove", {"name": "shop"}, {"X-GitHub-Token": "canary"})
        post(pod)
    first, second = map(orjson.loads, (tmp_path / "requests").read_bytes().splitlines())
    assert (first["path"], first["headers"]["x-github-token"]) == ("/repos/remove", "canary")
    assert orjson.loads(second["body"]) == BODY


def test_files_of_the_workspace_are_read_and_no_others(pods, tmp_path):
    (tmp_path / "secret").write_text("secret")
    with pods.running() as pod:
        pod.client.run("write note.txt Hello.")
        items = pod.client.get("/content/list?path=artifacts").json()["items"]
        assert [(each["path"], each["size"]) for each in items] == [("/artifacts/note.txt", 6)]
        assert pod.client.get("/content/file?path=/artifacts/note.txt").text == "Hello."
        assert pod.client.get("/content/file?path=../secret").status_code == 404
        assert pod.client.get("/content/list?path=..").status_code == 404


def test_a_fault_that_does_not_exist_is_named(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tests.runner.double"],
        cwd=ROOT, env={"DOUBLE_RUN": "typo", "HOME": str(tmp_path)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("DOUBLE_RUN=typo is not one of never, 401")
    assert all(fault in done.stderr for fault in RUN_FAULTS)


def test_home_that_cannot_be_written_fails_the_run(pods, tmp_path):
    (tmp_path / "file").touch()
    with pods.running(HOME=str(tmp_path / "file")) as pod:
        run = pod.client.run("Hello.")
    assert run.types[-1] == "RUN_ERROR"
    assert "file/.claude.json" in run.events[-1]["message"]


@pytest.mark.parametrize(
    ("url", "at_start", "later"),
    [
        ("https://git.example.com/a/shop.git", "shop", "shop"),
        ("https://git.example.com/a/b/shop.git", "b", "shop"),
        ("git@git.example.com:a/shop.git", "shop", "shop"),
        ("git@git.example.com:shop.git", "git@git.example.com:shop", "git@git.example.com:shop"),
        ("git@git.example.com:a/b/shop.git", "shop", "shop"),
        ("https://git.example.com/a/b/shop.git/", "b", ""),
        ("https://git.example.com/shop", "shop", "shop"),
    ],
)
def test_names_of_folders(url, at_start, later):
    assert (name_at_start(url), name_of_url(url)) == (at_start, later)


def test_the_model_answers_without_a_stream_and_counts_tokens():
    content = [{"type": "text", "text": "<system-reminder>x"}, {"type": "text", "text": "Hi."}]
    body = {"model": "m", "messages": [{"role": "user", "content": content}]}
    with messages_api.running() as model:
        answer = httpx.post(f"{model.url}/v1/messages", json=body, trust_env=False).json()
        assert answer["content"] == [{"type": "text", "text": commands.answer(1, "Hi.")}]
        count = httpx.post(f"{model.url}/v1/messages/count_tokens", json=body, trust_env=False)
        assert count.json() == {"input_tokens": 1}
        assert model.requests == [body]
        model.refuses = True
        refusal = httpx.post(f"{model.url}/v1/messages", json=body, trust_env=False)
        assert refusal.status_code == 401


def test_a_client_without_token_is_refused(pods):
    with pods.running() as pod:
        client = RunnerClient(pod.runner.url, "", SESSION)
        assert client.post("/interrupt", {}).status_code == 401
        client.close()
