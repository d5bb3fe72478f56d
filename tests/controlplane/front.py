"""The server of the proxy: one thread per connection; each request is relayed or gets a fault.

HTTP/1.1 with keep-alive, without protocol upgrades (`exec`, `port-forward`).
"""

import contextlib
import json
import select
import socket
import socketserver
import ssl
import sys
import threading
from collections.abc import Iterator
from email.message import Message
from http.client import HTTPResponse, HTTPSConnection
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, assert_never
from urllib.parse import urlsplit

import trustme

from tests.controlplane import ports
from tests.controlplane.plans import Answer, Drop, Fault, Hang, Plan, Received, When

# Headers that describe one connection, not the message.
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding"}
PIECE = 65536
HANDSHAKE_TIMEOUT_S = 10.0
REASONS = {
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


class FrontServer(socketserver.ThreadingTCPServer):
    """Accepts TLS connections and tracks the open ones on both sides.

    Attributes:
        received: All requests so far, in order of arrival.
        unexpected: Errors of the proxy itself.
    """

    request_queue_size = 128

    def __init__(
        self, upstream: str, ca_file: Path, certificate: trustme.LeafCert, plan: Plan
    ) -> None:
        self.received: list[Received] = []
        self.unexpected: list[Exception] = []
        self._plan = plan
        self._upstream = urlsplit(upstream)
        self._to_upstream = ssl.create_default_context(cafile=str(ca_file))
        self._to_clients = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(self._to_clients)
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._closing = False
        [port] = ports.free(1)
        super().__init__(("127.0.0.1", port), _Handler)
        self.url = f"https://127.0.0.1:{port}"

    def next_fault(self, method: str, path: str) -> Fault | None:
        """Record a request and return its fault."""
        with self._lock:
            request = Received(len(self.received) + 1, method, path)
            self.received.append(request)
        return self._plan(request.number, method, path)

    @contextlib.contextmanager
    def ask(self, request: BaseHTTPRequestHandler, body: bytes) -> Iterator[HTTPResponse]:
        """Send a request to the API server, each on a new connection, which cannot be stale."""
        host, port = str(self._upstream.hostname), self._upstream.port
        with contextlib.closing(HTTPSConnection(host, port, context=self._to_upstream)) as upstream:
            try:
                upstream.connect()
            except OSError as refused:
                raise RuntimeError(f"no API server behind the proxy: {refused}") from refused
            assert upstream.sock is not None
            with self._tracked(upstream.sock):
                yield _exchange(upstream, request, body)

    def close_connections(self) -> None:
        """Close all connections, so that every thread that waits on one ends."""
        with self._lock:
            self._closing = True
            for connection in self._connections:
                _shut(connection)

    @contextlib.contextmanager
    def _tracked(self, connection: socket.socket) -> Iterator[None]:
        with self._lock:
            self._connections.add(connection)
            if self._closing:
                _shut(connection)
        try:
            yield
        finally:
            with self._lock:
                self._connections.discard(connection)

    def finish_request(self, request: Any, client_address: Any) -> None:
        # In the connection's own thread, so that a slow TLS handshake does not delay other clients.
        request.settimeout(HANDSHAKE_TIMEOUT_S)
        with (
            self._to_clients.wrap_socket(request, server_side=True) as secured,
            self._tracked(secured),
        ):
            secured.settimeout(None)
            super().finish_request(secured, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        error = sys.exception()
        client_left = isinstance(error, OSError)
        if isinstance(error, Exception) and not client_left and not self._closing:
            self.unexpected.append(error)


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        # The base class's method: that of SSLSocket removes the TLS state while a thread reads.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """Serves the requests of one connection, one after the other."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: FrontServer

    def serve(self) -> None:
        if "Transfer-Encoding" in self.headers:
            raise NotImplementedError("a chunked request, which the tested clients never send")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.server.next_fault(self.command, self.path)
        match fault:
            case None:
                with self.server.ask(self, body) as response:
                    self.relay(response)
            case Answer():
                self.answer(fault)
            case Drop(when):
                self.perform_if_after(when, body)
                self.close_connection = True
            case Hang(when):
                self.perform_if_after(when, body)
                self.wait_for_close()
                self.close_connection = True
            case _:
                assert_never(fault)

    # The base class calls these names.
    do_GET = do_HEAD = do_OPTIONS = do_POST = do_PUT = do_PATCH = do_DELETE = serve  # noqa: N815

    def relay(self, response: HTTPResponse) -> None:
        """Relay a response in pieces, as it arrives."""
        chunked = response.length is None
        self.send_response_only(response.status, response.reason)
        for name, value in _end_to_end(response.headers):
            self.send_header(name, value)
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        while piece := response.read1(PIECE):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n" if chunked else b"")

    def answer(self, fault: Answer) -> None:
        """Respond as the API server does when it refuses a request."""
        status = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "message": "an injected fault",
            "reason": REASONS.get(fault.code, "Unknown"),
            "code": fault.code,
        }
        body = json.dumps(status).encode()
        self.send_response_only(fault.code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if fault.retry_after_s is not None:
            self.send_header("Retry-After", str(fault.retry_after_s))
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else body)

    def perform_if_after(self, when: When, body: bytes) -> None:
        if when is When.AFTER:
            with self.server.ask(self, body) as response:
                response.read()

    def wait_for_close(self) -> None:
        """Wait until the client or the proxy closes the connection."""
        poll = select.poll()
        poll.register(self.connection, select.POLLIN)
        poll.poll()


def _exchange(
    upstream: HTTPSConnection, request: BaseHTTPRequestHandler, body: bytes
) -> HTTPResponse:
    upstream.putrequest(request.command, request.path, skip_host=True, skip_accept_encoding=True)
    for name, value in _end_to_end(request.headers):
        upstream.putheader(name, value)
    upstream.endheaders(body)
    return upstream.getresponse()


def _end_to_end(headers: Message) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers.items() if name.lower() not in HOP_BY_HOP]
