"""An HTTP server that sends prepared responses and records the requests."""

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.controlplane import ports


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it was received."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class PreparedResponse:
    """One prepared response."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(slots=True)
class Recorder:
    """A running server; `answer` may be changed while it runs. Header names are in lower case."""

    url: str
    answer: Callable[[Received], PreparedResponse]
    received: list[Received] = field(default_factory=list)


def plain(_received: Received) -> PreparedResponse:
    """Accept everything."""
    return PreparedResponse(headers={"ETag": '"0123"'})


class Handler(BaseHTTPRequestHandler):
    """Records a request, and sends the current response."""

    server: "Server"
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self) -> None:
        recorder = self.server.recorder
        headers = {name.lower(): value for name, value in self.headers.items()}
        received = Received(self.command, self.path, headers, self.body())
        recorder.received.append(received)
        response = recorder.answer(received)
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        self.wfile.write(response.body)

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        content = b""
        while size := int(self.rfile.readline(), 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return content

    do_GET = do_PUT = do_POST = do_DELETE = answer  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Log nothing."""


class Server(ThreadingHTTPServer):
    """The server of a recorder."""

    daemon_threads = True

    def __init__(self, port: int, recorder: Recorder) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.recorder = recorder

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that close the connection."""


@contextlib.contextmanager
def running(tls: ssl.SSLContext | None = None) -> Iterator[Recorder]:
    """Run a recorder for the duration of the block."""
    [port] = ports.free(1)
    recorder = Recorder(f"{'https' if tls else 'http'}://127.0.0.1:{port}", plain)
    server = Server(port, recorder)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    try:
        yield recorder
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
