"""A proxy for any S3 server: relays, counts and delays requests, and injects faults.

Requests keep their `Host`, so that their signature stays valid. Each connection has a thread;
`python -m tests.s3 front` runs the proxy in a separate process, for measurements.
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
from tests.s3.faults import Fault, Plan, ProxiedRequest, nothing


@dataclass(slots=True)
class Front:
    """A running proxy; plan and latency may be changed while it runs.

    Attributes:
        server: The server as clients should use it, with the address of the proxy.
        behind: Host and port of the server itself.
        plan: Returns the fault of a request.
        latency: Delay of each request in seconds.
        received: Every request so far.
        sent_bytes: The bytes of bodies that clients have sent.
        got_bytes: The bytes of bodies that clients have received.
        ended: Set when the proxy ends.
    """

    server: S3Server
    behind: tuple[str, int]
    plan: Plan = nothing
    latency: float = 0.0
    received: list[ProxiedRequest] = field(default_factory=list)
    sent_bytes: int = 0
    got_bytes: int = 0
    ended: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def reset(self) -> None:
        """Reset the counts, and inject no more faults."""
        with self._lock:
            self.plan = nothing
            self.received, self.sent_bytes, self.got_bytes = [], 0, 0

    def next_fault(self, method: str, path: str) -> Fault:
        """Record and delay a request, and return its fault."""
        with self._lock:
            request = ProxiedRequest(len(self.received) + 1, method, path)
            self.received.append(request)
            fault = self.plan(request)
        if self.latency:
            self.ended.wait(self.latency)
        return fault

    def count(self, sent: int = 0, got: int = 0) -> None:
        """Count bytes of bodies."""
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
    """Run a proxy for the duration of the block."""
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
