"""The responses of the status server, and that no client can block it."""

import contextlib
import json
import socket
import urllib.error
import urllib.request

import pytest

from reconcile.mirror.errors import SettingsError, WorkspaceError
from reconcile.mirror.sidecar import http
from reconcile.mirror.sidecar.http import (
    COUNTERS,
    GAUGES,
    StatusEndpoints,
    StatusServer,
    build_metric_values,
    fetch_status,
)
from reconcile.mirror.sidecar.status import StatusRegistry, SyncStatus, assess_freshness
from tests.clocks import FakeClock

NOW = 1_000 * 10**9


@pytest.fixture
def facts():
    return StatusRegistry(
        SyncStatus(committed=NOW - 5 * 10**9, written=NOW - 7 * 10**9, generation=3)
    )


@pytest.fixture
def server(facts):
    opened = StatusServer(("127.0.0.1", 0), StatusEndpoints(facts, FakeClock(1_000.0), 90))
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


def test_silent_clients_do_not_block_others(server):
    silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(4)]
    try:
        assert _get(server, "/healthz")[0] == 200
    finally:
        for each in silent:
            each.close()


def test_clients_beyond_the_limit_are_rejected_and_the_server_keeps_running(facts, monkeypatch):
    monkeypatch.setattr(http, "MAX_CONCURRENT_REQUESTS", 2)
    monkeypatch.setattr(http, "CLIENT_TIMEOUT", 0.2)
    opened = StatusServer(("127.0.0.1", 0), StatusEndpoints(facts, FakeClock(1_000.0), 90))
    silent = [socket.create_connection(("127.0.0.1", opened.port)) for _ in range(3)]
    try:
        for each in silent:
            each.settimeout(30)
            assert each.recv(1) == b""
        assert _patiently(opened) == 200
    finally:
        for each in silent:
            each.close()
        opened.close()


def _patiently(server):
    """A place becomes free a moment after its client was turned away."""
    for _ in range(1000):
        with contextlib.suppress(OSError):
            return _get(server, "/healthz")[0]
    raise AssertionError("the server does not answer")


def test_a_port_in_use_is_a_settings_error(server):
    with pytest.raises(SettingsError, match=str(server.port)):
        StatusServer(("127.0.0.1", server.port), StatusEndpoints(StatusRegistry(), FakeClock(), 90))


def test_status_asks_the_running_sync(server):
    assert json.loads(fetch_status("127.0.0.1", server.port))["generation"] == 3


def test_status_says_that_no_sync_answers():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(WorkspaceError, match=f"no sync answers on 127.0.0.1:{port}"):
        fetch_status("127.0.0.1", port)
