"""A front before any S3 server: passes bytes on, counts, delays, and fails on demand.

Requests keep their `Host`, so that their signature holds. Each connection has a thread; where it
must not share the interpreter with what is measured, `python -m tests.s3 front` runs it alone.
"""

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from tests.controlplane import ports
from tests.s3 import exchange
from tests.s3.access import S3Server
from tests.s3.faults import Asked, Fault, Plan, nothing


@dataclass(slots=True)
class Front:
    """A running front; plan and latency may be changed while it runs.

    Attributes:
        server: The server behind it, as clients should see it: at the front's own address.
        behind: Host and port of the server itself.
        plan: Says what happens to a request.
        latency: Seconds that each request waits.
        received: Every request so far.
        sent_bytes: How many bytes of bodies clients have sent.
        got_bytes: How many bytes of bodies clients have got.
        ended: Set when the front ends.
    """

    server: S3Server
    behind: tuple[str, int]
    plan: Plan = nothing
    latency: float = 0.0
    received: list[Asked] = field(default_factory=list)
    sent_bytes: int = 0
    got_bytes: int = 0
    ended: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def reset(self) -> None:
        """Count from nothing again, and let everything pass."""
        with self._lock:
            self.plan = nothing
            self.received, self.sent_bytes, self.got_bytes = [], 0, 0

    def asked(self, method: str, path: str) -> Fault:
        """Note a request, let it wait, and say what happens to it."""
        with self._lock:
            asked = Asked(len(self.received) + 1, method, path)
            self.received.append(asked)
            fault = self.plan(asked)
        if self.latency:
            self.ended.wait(self.latency)
        return fault

    def count(self, sent: int = 0, got: int = 0) -> None:
        """Note bytes of bodies."""
        with self._lock:
            self.sent_bytes += sent
            self.got_bytes += got

    def connected(self) -> socket.socket:
        """Return a new connection to the server."""
        server = socket.create_connection(self.behind)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return server


@contextlib.contextmanager
def running(server: S3Server, *, port: int = 0) -> Iterator[Front]:
    """Run a front for as long as the block lasts."""
    url = urlsplit(server.url)
    assert url.hostname
    port = port or ports.free(1)[0]
    own = replace(server, url=f"http://127.0.0.1:{port}")
    front = Front(own, (url.hostname, url.port or 80))
    with socket.create_server(("127.0.0.1", port), backlog=256) as listener:
        accepting = threading.Thread(target=_accept, args=[front, listener])
        accepting.start()
        try:
            yield front
        finally:
            front.ended.set()
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()


def _accept(front: Front, listener: socket.socket) -> None:
    serving: list[tuple[threading.Thread, socket.socket]] = []
    with contextlib.suppress(OSError):
        while not front.ended.is_set():
            client, _ = listener.accept()
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=_serve, args=[front, client])
            thread.start()
            serving = [each for each in serving if each[0].is_alive()]
            serving.append((thread, client))
    for thread, client in serving:
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
        thread.join()


def _serve(front: Front, client: socket.socket) -> None:
    with client:
        exchange.converse(front, client)
