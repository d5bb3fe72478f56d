"""HTTP servers on 127.0.0.1 for the time of a test."""

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson

from tests.controlplane.ports import free


class JsonHandler(BaseHTTPRequestHandler):
    """Reads and writes JSON, and logs nothing; a client that hangs up is no error."""

    def read(self) -> Any:
        """Return the request's body; an empty object if there is none."""
        return orjson.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")

    def send(self, status: int, content: Any) -> None:
        """Answer; HEAD has no body."""
        data = b"" if self.command == "HEAD" else orjson.dumps(content)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextlib.contextmanager
def serving(handler: type[BaseHTTPRequestHandler], port: int = 0) -> Iterator[str]:
    """Serve until the end of the block, and return the URL; open requests are left to their end."""
    port = port or free(1)[0]
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
