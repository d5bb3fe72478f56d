"""The mirror's HTTP door inside the pod: is it alive, is the snapshot fresh, what are the facts.

Asks a running sync what it says of itself.

The facts as metrics; `docs/mirror.md` lists them, and a test compares.
"""

import contextlib
import http.client
import socket
import threading
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import orjson
from msgspec import Struct

from reconcile.mirror.clock import Clock
from reconcile.mirror.errors import SettingsError, WorkspaceError
from reconcile.mirror.sidecar.status import FactBook, Facts, freshness

if TYPE_CHECKING:
    from prometheus_client import Metric

_PATIENCE = 5.0


def ask_status(host: str, port: int) -> str:
    """Return the JSON of /status; WorkspaceError where no sync answers."""
    connection = http.client.HTTPConnection(host, port, timeout=_PATIENCE)
    try:
        connection.request("GET", "/status")
        return connection.getresponse().read().decode().strip()
    except (OSError, http.client.HTTPException) as error:
        raise WorkspaceError(f"no sync answers on {host}:{port}: {error}") from error
    finally:
        connection.close()


GAUGES = {
    "reconcile_mirror_generation": "Number of the last committed generation.",
    "reconcile_mirror_partial": "1 if that generation lacks files.",
    "reconcile_mirror_fresh": "1 if the snapshot is fresh enough, as /readyz has it.",
    "reconcile_mirror_commit_timestamp_seconds": "When the snapshot was last equal, since 1970.",
    "reconcile_mirror_write_timestamp_seconds": "Last write to the workspace, since 1970.",
    "reconcile_mirror_behind_seconds": "For how long something is not committed; 0 if all is.",
    "reconcile_mirror_store_reachable": "1 if the store answered last time.",
    "reconcile_mirror_fenced": "1 if another pod has taken the workspace over.",
    "reconcile_mirror_entries": "Entries of the workspace in the last pass.",
    "reconcile_mirror_restless_files": "Files that changed while they were read, last time.",
    "reconcile_mirror_unreadable_files": "Files that may not be read, last time.",
    "reconcile_mirror_skipped_entries": "Entries that no snapshot takes, last time.",
    "reconcile_mirror_beyond_entries": "Entries beyond --max-files that are not stored, at least.",
    "reconcile_mirror_pass_seconds": "How long the last pass took.",
}
COUNTERS = {
    "reconcile_mirror_passes": "Passes, failed ones included.",
    "reconcile_mirror_failures": "Passes that failed.",
    "reconcile_mirror_commits": "Generations that this process has committed.",
    "reconcile_mirror_sent_bytes": "Bytes of packs and blobs that were stored.",
    "reconcile_mirror_restored_bytes": "Bytes that hydrate has brought.",
    "reconcile_mirror_restored_files": "Files that hydrate has written.",
    "reconcile_mirror_held_seconds": "Seconds that requests waited for --bandwidth, all together.",
}


def values(facts: Facts, now: int, stale_after: float) -> dict[str, float]:
    """Return each metric's value by name."""
    behind = (now - facts.behind_since) / 1e9 if facts.behind_since else 0.0
    return {
        "reconcile_mirror_generation": facts.generation,
        "reconcile_mirror_partial": facts.partial,
        "reconcile_mirror_fresh": freshness(facts, now, stale_after).fresh,
        "reconcile_mirror_commit_timestamp_seconds": facts.committed / 1e9,
        "reconcile_mirror_write_timestamp_seconds": facts.written / 1e9,
        "reconcile_mirror_behind_seconds": behind,
        "reconcile_mirror_store_reachable": facts.reachable,
        "reconcile_mirror_fenced": facts.phase == "fenced",
        "reconcile_mirror_entries": facts.files,
        "reconcile_mirror_restless_files": facts.restless,
        "reconcile_mirror_unreadable_files": facts.unreadable,
        "reconcile_mirror_skipped_entries": facts.skipped,
        "reconcile_mirror_beyond_entries": facts.beyond,
        "reconcile_mirror_pass_seconds": facts.seconds,
        "reconcile_mirror_passes": facts.passes,
        "reconcile_mirror_failures": facts.failures,
        "reconcile_mirror_commits": facts.commits,
        "reconcile_mirror_sent_bytes": facts.sent,
        "reconcile_mirror_restored_bytes": facts.restored,
        "reconcile_mirror_restored_files": facts.restored_files,
        "reconcile_mirror_held_seconds": facts.held,
    }


class FactCollector:
    """Gives prometheus-client the facts when it is asked for them, and keeps no copy."""

    def __init__(self, current: Callable[[], dict[str, float]]) -> None:
        self._current = current

    def collect(self) -> "Iterable[Metric]":
        from prometheus_client.core import (
            CounterMetricFamily,
            GaugeMetricFamily,
        )

        found = self._current()
        for name, meaning in GAUGES.items():
            yield GaugeMetricFamily(name, meaning, value=found[name])
        for name, meaning in COUNTERS.items():
            yield CounterMetricFamily(name, meaning, value=found[name])


def exposition(current: Callable[[], dict[str, float]]) -> bytes:
    """Write all metrics in Prometheus' text format."""
    from prometheus_client import (
        CollectorRegistry,
        generate_latest,
    )

    registry = CollectorRegistry()
    registry.register(FactCollector(current))
    return generate_latest(registry)


AT_ONCE = 16
"""How many requests are answered at a time; more are turned away."""

PATIENCE = 5.0
"""Seconds that a client may take for its request, or for taking the answer."""

_TEXT = "text/plain; charset=utf-8"
_JSON = "application/json"
_METRICS = "text/plain; version=0.0.4; charset=utf-8"


class Answer(Struct, frozen=True):
    """What is sent back."""

    status: int
    kind: str
    body: bytes


class Answers:
    """From a path to an answer; knows nothing of HTTP's bytes."""

    def __init__(self, facts: FactBook, clock: Clock, stale_after: float) -> None:
        self._facts = facts
        self._clock = clock
        self._stale_after = stale_after

    def answer(self, path: str) -> Answer:
        """Answer a GET."""
        match path.partition("?")[0]:
            case "/healthz":
                return Answer(200, _TEXT, b"ok\n")
            case "/readyz":
                detail = self.status()
                return Answer(200 if detail["fresh"] else 503, _JSON, _line(detail))
            case "/status":
                return Answer(200, _JSON, _line(self.status()))
            case "/metrics":
                return Answer(200, _METRICS, exposition(self._values))
            case _:
                paths = b"there are /healthz, /readyz, /status and /metrics\n"
                return Answer(404, _TEXT, paths)

    def status(self) -> dict[str, Any]:
        """Return the detail: all that the reconciler needs to know."""
        facts = self._facts.now
        found = freshness(facts, self._clock.steady_ns(), self._stale_after)
        return {
            "phase": facts.phase,
            "fresh": found.fresh,
            "generation": facts.generation,
            "partial": facts.partial,
            "commitAgeSeconds": found.commit_age,
            "writeAgeSeconds": found.write_age,
            "storeReachable": facts.reachable,
            "error": facts.error or None,
            "restlessFiles": facts.restless,
            "unreadableFiles": facts.unreadable,
            "skippedEntries": facts.skipped,
            "beyondEntries": facts.beyond,
        }

    def _values(self) -> dict[str, float]:
        return values(self._facts.now, self._clock.steady_ns(), self._stale_after)


def _line(value: dict[str, Any]) -> bytes:
    return orjson.dumps(value) + b"\n"


class Service:
    """Serves until the process ends, in daemon threads."""

    def __init__(self, address: tuple[str, int], answers: Answers) -> None:
        """Listen.

        Raises:
            SettingsError: The address cannot be listened on.
        """
        try:
            self._server = _Server(address, answers)
        except OSError as error:
            host, port = address
            raise SettingsError(f"cannot listen on {host}:{port}: {error.strerror}") from error
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, name="service", daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], answers: Answers) -> None:
        self.answers = answers
        self._free = threading.BoundedSemaphore(AT_ONCE)
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        # What a client sends slowly, byte by byte, must end as well: time-outs are for each byte.
        watch = threading.Timer(PATIENCE, _hang_up, (request,))
        watch.daemon = True
        watch.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            watch.cancel()
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no event."""


def _hang_up(request: socket.socket) -> None:
    """Wake whoever reads or writes it; closing it is the business of its own thread."""
    with contextlib.suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "reconcile-mirror"
    sys_version = ""
    timeout = PATIENCE

    def do_GET(self) -> None:
        answer = self.server.answers.answer(self.path)
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Probes are no events."""
