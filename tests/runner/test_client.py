"""The client of the runner: what it sends, and streams of every kind."""

import asyncio
import socket
import tracemalloc

import pytest

from reconcile.runner.client import LARGEST_EVENT, EventParser, RunnerClient, RunnerError
from tests.runner.scripted import BREAK, NO_ANSWER, STARTED, WELL, encode, finished, scripted_runner

BODY = {"threadId": "s", "runId": "r", "messages": [{"id": "1", "metadata": {"source": "x"}}]}


def read_run(skipped=None, **script):
    """Do one run against a scripted runner; returns its events and the runner's requests."""

    async def read():
        async with scripted_runner(**script) as runner:
            reasons = skipped if skipped is not None else []
            client = RunnerClient(runner.port, "token", "s", reasons.append, answer_seconds=0.3)
            try:
                return [event async for event in client.run(BODY)], runner.requests
            finally:
                await client.close()

    return asyncio.run(read())


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_a_run_is_the_body_unchanged_with_the_token_and_without_a_user():
    events, (request,) = read_run(streams=[WELL])
    assert [event.type for event in events] == ["RUN_STARTED", "RUN_FINISHED"]
    assert request.json == BODY
    assert request.headers["x-ambient-session-token"] == "token"
    assert request.headers["content-type"] == "application/json"
    assert not {name for name in request.headers if "user-id" in name or "caller" in name}


def test_each_run_has_a_connection_of_its_own():
    async def read():
        async with scripted_runner() as runner:
            client = RunnerClient(runner.port, "token", "s")
            for _ in range(3):
                assert [event async for event in client.run(BODY)]
            await client.close()
            return {request.port for request in runner.runs}

    assert len(asyncio.run(read())) == 3


def test_a_proxy_of_the_environment_is_not_used(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    events, _ = read_run()
    assert len(events) == 2


def test_acceptance_is_reported_before_the_first_event():
    async def read():
        silent = asyncio.Event()
        async with scripted_runner(streams=[[silent, *WELL]]) as runner:
            client = RunnerClient(runner.port, "token", "s")
            events = [event async for event in client.run(BODY, silent.set)]
            await client.close()
            return events

    assert len(asyncio.run(read())) == 2


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"data: {not json\n\n", "invalid-json"),
        (b'data: {"type": "\xff\xfe"}\n\n', "invalid-json"),
        (encode(delta="x"), "without-type"),
        (encode(type=5), "without-type"),
        (b"data: [1]\n\n", "without-type"),
        (b"data: " + b"[" * 5000 + b"\n\n", "invalid-json"),
    ],
)
def test_an_event_that_is_not_understood_is_skipped_and_counted(line, reason):
    skipped = []
    events, _ = read_run(skipped, streams=[[STARTED, line, finished()]])
    assert [event.type for event in events] == ["RUN_STARTED", "RUN_FINISHED"]
    assert skipped == [reason]


def test_an_event_of_100_mib_is_skipped_and_never_held():
    part = b"x" * (1 << 16)
    stream = [STARTED, b"data: {", *([part] * 1600), b"}\n\n", finished()]
    skipped = []
    tracemalloc.start()
    events, _ = read_run(skipped, streams=[stream])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [event.type for event in events] == ["RUN_STARTED", "RUN_FINISHED"]
    assert skipped == ["too-large"]
    assert peak < 8 << 20


def test_an_event_of_exactly_the_limit_is_read():
    overhead = len(encode(type="A", delta="").strip())
    line = encode(type="A", delta="x" * (LARGEST_EVENT - overhead))
    events = list(EventParser(pytest.fail).feed(line))
    assert [event.type for event in events] == ["A"]


def test_comments_other_fields_and_windows_line_ends_are_understood():
    parser = EventParser(pytest.fail)
    text = b': heartbeat\r\n\r\nevent: x\r\ndata:{"type":"A"}\r\n\r\nid: 1\n\n'
    assert [event.type for each in text for event in parser.feed(bytes([each]))] == ["A"]


def test_a_stream_that_breaks_is_an_error_after_the_events_before_it():
    with pytest.raises(RunnerError, match="broke") as error:
        read_run(streams=[[STARTED, BREAK]])
    assert not error.value.is_refused


@pytest.mark.parametrize("status", [401, 404, 500, 503])
def test_a_status_other_than_200_is_a_refusal(status):
    with pytest.raises(RunnerError, match=str(status)) as error:
        read_run(statuses=[status])
    assert error.value.is_refused
    assert error.value.status == status


def test_a_runner_that_never_answers_may_have_begun():
    with pytest.raises(RunnerError, match=r"not answered a run for 0\.3 s") as error:
        read_run(statuses=[NO_ANSWER])
    assert not error.value.is_refused


def test_a_connection_that_is_refused_has_no_effect():
    async def read():
        client = RunnerClient(free_port(), "token", "s")
        try:
            assert not await client.is_healthy()
            with pytest.raises(RunnerError, match="does not answer /model"):
                await client.post("/model", {})
            return [event async for event in client.run(BODY)]
        finally:
            await client.close()

    with pytest.raises(RunnerError, match="cannot be reached") as error:
        asyncio.run(read())
    assert error.value.is_refused


def test_short_requests_have_a_status_a_body_and_headers():
    async def ask():
        async with scripted_runner() as runner:
            client = RunnerClient(runner.port, "token", "s")
            assert await client.is_healthy()
            answer = await client.post("/repos/add", {"url": "u"}, {"X-GitHub-Token": "t"})
            await client.interrupt()
            runner.health = 500
            assert not await client.is_healthy()
            await client.close()
            return answer, runner.requests

    answer, (add, interrupt) = asyncio.run(ask())
    assert (answer.status, answer.json()) == (200, {})
    assert add.headers["x-github-token"] == "t"
    assert interrupt.json == {"thread_id": "s"}
