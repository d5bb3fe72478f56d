"""The mirror's HTTP door inside the pod: is it alive, is the snapshot fresh, what are the facts."""

import contextlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
from msgspec import Struct

from reconcile.mirror.clock import Clock
from reconcile.mirror.errors import SettingsError
from reconcile.mirror.metrics import exposition, values
from reconcile.mirror.sidecar.status import FactBook, freshness

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
