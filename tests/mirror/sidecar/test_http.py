"""The responses of the status server, and that no client can block it."""

import contextlib
import json
import socket
import threading
import time
import urllib.error
import urllib.request

import pytest

from reconcile.mirror.errors import SettingsError, WorkspaceError
from reconcile.mirror.sidecar import http_server
from reconcile.mirror.sidecar.http import (
    COUNTERS,
    GAUGES,
    StatusEndpoints,
    build_metric_values,
    fetch_status,
    start_status_server,
)
from reconcile.mirror.sidecar.http_server import HttpServer
from reconcile.mirror.sidecar.status import (
    StatusRegistry,
    StatusServerOptions,
    SyncStatus,
    assess_freshness,
)
from tests.clocks import FakeClock
from tests.mirror.mirror_pod import RecordingLogger
from tests.s3 import recorder

NOW = 1_000 * 10**9


@pytest.fixture
def facts():
    return StatusRegistry(
        SyncStatus(committed=NOW - 5 * 10**9, written=NOW - 7 * 10**9, generation=3)
    )


def open_server(facts, host="127.0.0.1"):
    return HttpServer((host, 0), StatusEndpoints(facts, FakeClock(1_000.0), 90).respond)


@pytest.fixture
def server(facts):
    opened = open_server(facts)
    yield opened
    opened.close()


def _get(server, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_healthz_says_that_the_process_is_alive(server):
    assert _get(server, "/healthz") == (200, b"ok\n")


def test_readyz_says_both_ages(server):
    code, body = _get(server, "/readyz")
    assert code == 200
    said = json.loads(body)
    assert (said["commitAgeSeconds"], said["writeAgeSeconds"]) == (5.0, 7.0)
    assert said["generation"] == 3


def test_readyz_is_503_when_something_is_not_committed_for_too_long(server, facts):
    facts.update(behind_since=NOW - 91 * 10**9, reachable=False, error="no route")
    code, body = _get(server, "/readyz")
    assert code == 503
    assert json.loads(body)["error"] == "no route"
    assert json.loads(body)["storeReachable"] is False
    assert _get(server, "/status")[0] == 200


@pytest.mark.parametrize(
    ("facts", "fresh"),
    [
        (SyncStatus(), False),
        (SyncStatus(committed=1), True),
        (SyncStatus(committed=1, behind_since=NOW - 10**9), True),
        (SyncStatus(committed=1, phase="fenced"), False),
    ],
)
def test_freshness_depends_on_what_is_not_committed(facts, fresh):
    assert assess_freshness(facts, NOW, 90).is_fresh is fresh


def test_metrics_has_every_metric_that_is_declared(server):
    code, body = _get(server, "/metrics")
    text = body.decode()
    assert code == 200
    assert "reconcile_mirror_generation 3.0" in text
    for name in GAUGES:
        assert f"\n{name} " in text
    for name in COUNTERS:
        assert f"\n{name}_total " in text
    assert set(build_metric_values(SyncStatus(), NOW, 90)) == {*GAUGES, *COUNTERS}


def test_other_paths_list_the_endpoints(server):
    code, body = _get(server, "/nothing")
    assert code == 404
    assert b"/readyz" in body


def _connect(server, request=b""):
    client = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    client.sendall(request)
    return client


@pytest.mark.parametrize("request_part", [b"", b"G", b"GET /healthz HTTP/1.1\r\nHost: a\r\n"])
def test_no_number_of_silent_clients_blocks_a_probe(server, request_part):
    silent = [_connect(server, request_part) for _ in range(3 * http_server.MAX_CONNECTIONS)]
    try:
        assert [_get(server, "/healthz")[0] for _ in range(10)] == [200] * 10
    finally:
        for each in silent:
            each.close()


def test_clients_that_connect_again_at_once_do_not_block_a_probe(server):
    stop = threading.Event()

    def connect_again():
        while not stop.is_set():
            with contextlib.suppress(OSError), _connect(server, b"GET /") as client:
                client.recv(1)

    threads = [threading.Thread(target=connect_again, daemon=True) for _ in range(24)]
    for each in threads:
        each.start()
    try:
        assert [_get(server, "/healthz")[0] for _ in range(10)] == [200] * 10
    finally:
        stop.set()


def test_a_silent_client_is_disconnected_after_a_while(facts, monkeypatch):
    monkeypatch.setattr(http_server, "CLIENT_TIMEOUT", 0.1)
    opened = open_server(facts)
    with _connect(opened, b"GET /heal") as client:
        assert client.recv(1) == b""
    opened.close()


def test_a_client_that_does_not_read_blocks_no_other(server):
    greedy = [_connect(server) for _ in range(4)]
    for each in greedy:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        each.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
    assert _get(server, "/healthz")[0] == 200
    for each in greedy:
        each.close()


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        (b"GET /healthz HTTP/1.0\n\n", b"200 OK"),
        (b"GET /healthz\r\n\r\n", b"200 OK"),
        (b"HEAD /healthz HTTP/1.1\r\n\r\n", b"200 OK"),
        (b"POST /healthz HTTP/1.1\r\nContent-Length: 0\r\n\r\n", b"501 Not Implemented"),
        (b"\r\n\r\n", b"501 Not Implemented"),
        (b"\xff\x00 \xfe\r\n\r\n", b"501 Not Implemented"),
        (b"GET " + b"/" * 9_000 + b" HTTP/1.1\r\n\r\n", b"404 Not Found"),
    ],
)
def test_unusual_requests_get_a_response(server, request_text, status):
    with _connect(server, request_text) as client:
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    assert answer.split(b"\r\n")[0] == b"HTTP/1.1 " + status
    assert answer.endswith(b"ok\n") == request_text.startswith(b"GET /h")


def test_a_request_without_an_end_is_given_up(server):
    with _connect(server) as client, contextlib.suppress(OSError):
        for _ in range(100):
            client.sendall(b"x" * 4096)
        assert client.recv(1) == b""
    assert _get(server, "/healthz")[0] == 200


def test_a_defect_of_an_endpoint_is_a_response():
    def fail(_path):
        raise KeyError("x")

    assert http_server.build_response(b"GET / HTTP/1.1\r\n\r\n", fail).startswith(b"HTTP/1.1 500 ")


@pytest.mark.parametrize("host", ["::1", "[::1]", "::", "0.0.0.0", "localhost", ""])
def test_both_address_families_are_listened_on(host, facts):
    opened = open_server(facts, host)
    for client in {"::1": ["::1"], "[::1]": ["::1"], "::": ["::1", "127.0.0.1"]}.get(host, []):
        assert json.loads(fetch_status(client, opened.port))["generation"] == 3
    opened.close()


def test_all_addresses_are_those_of_ipv4_where_there_is_no_ipv6(facts, monkeypatch):
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    opened = open_server(facts, "::")
    assert json.loads(fetch_status("127.0.0.1", opened.port))["generation"] == 3
    opened.close()


def test_a_port_in_use_is_listened_on_when_it_is_free(facts):
    clock, logger = FakeClock(), RecordingLogger()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        waits = iter(range(3))
        clock.during_sleep = lambda: None if next(waits, None) is not None else other.close()
        start_status_server(StatusServerOptions("127.0.0.1", port, 90), facts, clock, logger)
        deadline = time.monotonic() + 20
        while len(logger.events) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert [event for event, _ in logger.events] == [
        "status server is not available",
        "status server is available",
    ]
    assert json.loads(fetch_status("127.0.0.1", port))["generation"] == 3


@pytest.mark.parametrize("host", ["no.such.host.invalid.", "300.1.1.1"])
def test_an_address_that_can_never_be_listened_on_is_a_settings_error(host, facts):
    with pytest.raises(SettingsError, match="correct --host or --port"):
        start_status_server(StatusServerOptions(host, 1, 90), facts, FakeClock(), RecordingLogger())


def test_status_asks_the_running_sync(server):
    assert json.loads(fetch_status("127.0.0.1", server.port))["generation"] == 3


@pytest.mark.parametrize("body", [b"\xff\x1b[31m", b"{" * 100_000, b"x" * (1 << 20)])
def test_status_of_another_program_on_the_port_is_not_shown(body):
    with recorder.running() as other:
        other.answer = lambda _request: recorder.PreparedResponse(body=body)
        port = int(other.url.rpartition(":")[2])
        with pytest.raises(WorkspaceError, match="no sync answers"):
            fetch_status("127.0.0.1", port)


def test_control_characters_of_a_status_are_escaped():
    with recorder.running() as other:
        other.answer = lambda _request: recorder.PreparedResponse(
            body=b'{"a":"\\u009b\xe2\x80\xae"}'
        )
        status = fetch_status("127.0.0.1", int(other.url.rpartition(":")[2]))
    assert status == '{"a":"\\u009b\\u202e"}'


def test_status_says_that_no_sync_answers():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(WorkspaceError, match=f"no sync answers on 127.0.0.1:{port}"):
        fetch_status("127.0.0.1", port)
