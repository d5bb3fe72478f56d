"""The bridge's endpoints, by HTTP on real sockets."""

import asyncio
import contextlib
import socket
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import orjson
import pytest

from reconcile.runner import server
from reconcile.runner.api import (
    LARGEST_BODY,
    ApiOptions,
    Readiness,
    build_loopback_app,
    build_pod_app,
    build_single_app,
)
from reconcile.runner.client import RunnerClient
from reconcile.runner.credentials import Credentials, CredentialSource, answer_request
from reconcile.runner.metrics import COUNTERS, GAUGES, Metrics
from reconcile.runner.prompt import build_body
from reconcile.runner.runs import LONGEST_QUEUE, Runs, RunsOptions
from reconcile.runner.server import ListenError, is_loopback, listen, serve
from tests.runner.scripted import STARTED, Log, scripted_runner
from tests.runner.test_runs import Sink

SESSION = "/api/projects/ns/agentic-sessions/s"
RUN = f"{SESSION}/agui/run"


class Stage:
    def __init__(self, runner, credentials):
        self.runner = runner
        self.metrics = Metrics()
        self.posted = []
        self.readiness = Readiness(is_ready=True)
        self.client = RunnerClient(runner.port, "token", "s")
        self.runs = Runs(self.client, RunsOptions(logger=Log(), events=Sink()))
        self.stops = 0
        self.followed = []
        self.options = ApiOptions(
            namespace="ns",
            session="s",
            answer_credential=lambda provider: answer_request(credentials, provider),
            prepare_stop=self.prepare_stop,
            assess=lambda: self.readiness,
            is_runner_healthy=self.client.is_healthy,
        )
        self.http = None

    async def prepare_stop(self):
        self.stops += 1
        return True

    async def handle_posted_prompt(self, body):
        self.posted.append(body)

    def follow(self, run):
        self.followed.append(run.body)

    def build(self, kind):
        parts = self.options, self.runs, self, self.metrics
        match kind:
            case "loopback":
                return build_loopback_app(*parts)
            case "pod":
                return build_pod_app(self.options, self.metrics)
            case _:
                return build_single_app(*parts)


@asynccontextmanager
async def serving(kind="loopback", credentials=None, connections=64, **script):
    async with scripted_runner(**script) as runner:
        stage = Stage(runner, credentials or Credentials(Path("/nonexistent")))
        listener = listen("127.0.0.1", 0)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        tasks = [
            asyncio.create_task(serve(listener, stage.build(kind), connections)),
            asyncio.create_task(stage.runs.run()),
        ]
        async with httpx.AsyncClient(base_url=url, trust_env=False) as stage.http:
            yield stage
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await stage.client.close()


def ask(method, path, kind="loopback", **request):
    """Send one request; returns its answer, and the stage after it."""

    async def do():
        async with serving(kind) as stage:
            return await stage.http.request(method, path, **request), stage

    return asyncio.run(do())


def test_the_runners_prompt_is_handed_over_and_answered_at_once():
    body = build_body("s", "do it", "runner_initial_prompt")
    answer, stage = ask("POST", RUN, json=body)
    assert answer.status_code == 200
    assert answer.json() == {"runId": body["runId"], "threadId": "s"}
    assert stage.posted == [body]
    assert not stage.runner.runs


@pytest.mark.parametrize("source", ["repo_added", "workflow_startup_prompt"])
def test_what_the_runner_says_about_a_change_is_answered_and_not_run(source):
    answer, stage = ask("POST", RUN, json=build_body("s", "x", source))
    assert answer.status_code == 200
    assert not stage.posted
    assert not stage.runs.has_open_run


def test_a_message_of_a_person_is_run_with_the_ids_that_it_lacks():
    async def do():
        async with serving() as stage:
            message = {"role": "user", "content": "hello"}
            answer = await stage.http.post(RUN, json={"messages": [message], "threadId": None})
            await stage.runs.wait_idle()
            (run,) = stage.runner.runs
            assert run.json == {"messages": [message], **answer.json()}
            assert run.json["threadId"] == "s"
            assert stage.followed == [run.json]

    asyncio.run(do())


def test_a_message_to_a_runner_that_has_not_started_is_refused_and_not_lost():
    async def do():
        async with serving(health=503) as stage:
            body = {"messages": [{"content": "x"}]}
            answer = await stage.http.post(RUN, json=body)
            assert (answer.status_code, stage.followed) == (503, [])
            assert "try again" in answer.json()["error"]
            stage.runner.health = 200
            assert (await stage.http.post(RUN, json=body)).status_code == 200

    asyncio.run(do())


def test_an_answer_does_not_wait_for_the_run():
    async def do():
        async with serving(streams=[[STARTED, asyncio.Event()]]) as stage:
            for number in range(3):
                body = {"messages": [{"content": "x"}], "runId": str(number)}
                answer = await stage.http.post(RUN, json=body)
                assert answer.json()["runId"] == str(number)

    asyncio.run(do())


def test_more_runs_than_may_wait_are_answered_with_429():
    async def do():
        async with serving(streams=[[STARTED, asyncio.Event()]]) as stage:
            body = {"messages": [{"content": "x"}]}
            codes = [
                (await stage.http.post(RUN, json=body)).status_code
                for _ in range(LONGEST_QUEUE + 5)
            ]
            assert codes[0] == 200
            assert codes[-1] == 429

    asyncio.run(do())


@pytest.mark.parametrize(
    ("content", "status", "text"),
    [
        (b"{not json", 400, "not JSON"),
        (b"\xff\xfe", 400, "not JSON"),
        (b"[" * 300 + b"]" * 300, 400, "not JSON"),
        (b"[]", 400, "messages"),
        (b'{"messages": 5}', 400, "messages"),
        (b'{"messages": ["x"]}', 400, "messages"),
        (b" " * (LARGEST_BODY + 1), 413, "bytes"),
    ],
)
def test_a_body_that_is_no_run_is_refused_with_a_reason(content, status, text):
    answer, stage = ask("POST", RUN, content=content)
    assert answer.status_code == status
    assert text in answer.json()["error"]
    assert not stage.runs.has_open_run


@pytest.mark.parametrize(
    "path",
    [
        "/api/projects/ns/agentic-sessions/other/agui/run",
        "/api/projects/other/agentic-sessions/s/agui/run",
    ],
)
def test_another_session_is_not_found(path):
    answer, stage = ask("POST", path, json=build_body("s", "x", "runner_initial_prompt"))
    assert answer.status_code == 404
    assert "this is session s in namespace ns" in answer.json()["error"]
    assert not stage.posted


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/projects/ns/agentic-sessions"),
        ("POST", "/api/projects/ns/agentic-sessions"),
        ("GET", SESSION),
        ("DELETE", SESSION),
        ("GET", RUN),
        ("PUT", f"{SESSION}/credentials/github"),
        ("GET", "/prestop"),
        ("GET", "/api"),
        ("GET", "/api/../../etc/passwd"),
    ],
)
def test_anything_else_of_the_platforms_api_says_what_to_use(method, path):
    answer, _ = ask(method, path)
    assert answer.status_code == 404
    assert answer.json()["error"]


def test_the_loopback_address_has_no_probes_and_the_pods_address_nothing_else():
    for path in ("/readyz", "/metrics", "/", "/health"):
        assert ask("GET", path)[0].status_code == 404
    for method, path in (("POST", RUN), ("POST", "/prestop"), ("GET", f"{SESSION}/credentials/x")):
        answer, stage = ask(method, path, "pod", json={})
        assert answer.status_code == 404
        assert not stage.stops


def test_one_listener_has_both():
    assert ask("GET", "/readyz", "single")[0].status_code == 200
    assert ask("POST", "/prestop", "single")[1].stops == 1
    assert ask("GET", "/other", "single")[0].status_code == 404


def test_prestop_is_done_before_it_is_answered():
    answer, stage = ask("POST", "/prestop")
    assert answer.json() == {"idle": True}
    assert stage.stops == 1


def test_readiness_has_a_reason():
    async def do():
        async with serving("pod") as stage:
            ready = await stage.http.get("/readyz")
            stage.readiness = Readiness(is_ready=False, reason="not yet")
            return ready, await stage.http.get("/readyz")

    ready, waiting = asyncio.run(do())
    assert (ready.status_code, ready.json()) == (200, {"ready": True, "reason": ""})
    assert (waiting.status_code, waiting.json()["reason"]) == (503, "not yet")


def test_every_series_exists_from_the_start():
    answer, _ = ask("GET", "/metrics", "pod")
    for name, (_, label, values) in COUNTERS.items():
        for value in values:
            assert f'{name}_total{{{label}="{value}"}} 0.0' in answer.text
    for name in GAUGES:
        assert f"\n{name} " in answer.text
    with pytest.raises(ValueError, match="has no label"):
        Metrics().count("runs", "other")


def test_credentials_are_answered_as_they_are_now_and_never_with_401_or_403(tmp_path):
    async def do():
        sources = (CredentialSource("github", "secret", {"token": "key"}),)
        async with serving(credentials=Credentials(tmp_path, sources)) as stage:
            missing = await stage.http.get(f"{SESSION}/credentials/github")
            (tmp_path / "github").mkdir()
            (tmp_path / "github/token").write_text("canary-token")
            found = await stage.http.get(f"{SESSION}/credentials/github")
            unknown = await stage.http.get(f"{SESSION}/credentials/mcp/other")
            other = await stage.http.get("/api/projects/x/agentic-sessions/s/credentials/github")
            count = stage.metrics.get
            assert count("credential_requests", "answered") == 1
            assert count("credential_requests", "missing") == 2
            assert found.json()["token"] == "canary-token"
            return [each.status_code for each in (missing, found, unknown, other)]

    assert asyncio.run(do()) == [404, 200, 404, 404]


def test_a_web_page_in_a_persons_browser_gets_nothing():
    body = orjson.dumps({"messages": [{"content": "x"}]})
    hosts = ("evil.example", "evil_name.example", "127.0.0.1.evil.example", "[", "a b", "")
    for headers in ({"Origin": "http://evil.example"}, *({"Host": each} for each in hosts)):
        answer, stage = ask("POST", RUN, content=body, headers=headers)
        assert answer.status_code == 400, headers
        assert not stage.runs.has_open_run
    for host in ("localhost:8095", "127.0.0.1", "[::1]:8095"):
        assert ask("POST", "/prestop", headers={"Host": host})[0].status_code == 200


def test_a_client_that_leaves_in_the_middle_of_its_body_harms_nothing():
    async def do():
        async with serving() as stage:
            port = stage.http.base_url.port
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            head = f"POST {RUN} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\n"
            writer.write(head.encode() + b'{"messages"')
            await writer.drain()
            writer.close()
            await writer.wait_closed()
            del reader
            assert (await stage.http.post("/prestop")).status_code == 200

    asyncio.run(do())


def test_more_connections_than_are_kept_are_refused_and_later_ones_served():
    async def do():
        async with serving(connections=4) as stage:
            port = stage.http.base_url.port
            pairs = [await asyncio.open_connection("127.0.0.1", port) for _ in range(8)]
            codes = {(await stage.http.post("/prestop")).status_code}
            for _, writer in pairs:
                writer.close()
                await writer.wait_closed()
            async with asyncio.timeout(20):
                while 200 not in codes:
                    codes.add((await stage.http.post("/prestop")).status_code)
            assert codes == {200, 503}

    asyncio.run(do())


def test_connections_that_say_nothing_are_ended(monkeypatch):
    monkeypatch.setattr(server, "_CONNECTION_SECONDS", 0.2)

    async def do():
        async with serving(connections=4) as stage:
            port = stage.http.base_url.port
            pairs = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
            for reader, writer in pairs:
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
                writer.close()
            assert (await stage.http.post("/prestop")).status_code == 200

    asyncio.run(do())


def test_a_port_in_use_is_an_error_that_says_so():
    with (
        listen("127.0.0.1", 0) as used,
        pytest.raises(ListenError, match="Address already in use"),
    ):
        listen("127.0.0.1", used.getsockname()[1])


def test_small_parts_of_an_answer_are_sent_at_once():
    with listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP  # asyncio then sets TCP_NODELAY.


def test_addresses_of_both_families_are_understood():
    assert is_loopback("127.0.0.1")
    assert is_loopback("::1")
    assert is_loopback("localhost")
    assert not is_loopback("10.0.0.1")
    assert not is_loopback("fd00::1")
    assert not is_loopback("pod.example")
    with pytest.raises(ListenError, match="fd00::1"):
        listen("fd00::1", 1)
