"""A small HTTP server for probes, which no client can block."""

import contextlib
import errno
import os
import re
import selectors
import socket
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, TypeAlias

from msgspec import Struct

MAX_CONNECTIONS = 128
"""How many clients may be connected; the oldest is disconnected for the next one."""

MAX_REQUEST_SIZE: Final = 16 << 10
"""Bytes of a request; a client that sends more is disconnected."""

CLIENT_TIMEOUT = 5.0
"""Seconds that a client may take to send its request and to read the response."""

_POLL_INTERVAL: Final = 1.0
_ACCEPT_PAUSE: Final = 0.1
_READ_SIZE: Final = 4096
_BACKLOG: Final = 128
_ACCEPT_BATCH: Final = 16
"""How many clients to accept before the requests that have arrived are answered."""

_HEADERS_END: Final = re.compile(rb"\r?\n\r?\n")


class HttpResponse(Struct, frozen=True):
    """The response to a request."""

    status: int
    content_type: str
    body: bytes


Responder: TypeAlias = Callable[[str], HttpResponse]
"""Returns the response to a GET of a path; does no I/O."""


class _Connection:
    """A client: sends its request, then receives the response."""

    def __init__(self, client: socket.socket, deadline: float) -> None:
        self.client = client
        self.deadline = deadline
        self.request = b""
        self.response = b""


class HttpServer:
    """Serves until it is closed, in one daemon thread.

    No client keeps the others waiting: every socket is non-blocking, and a client that is silent,
    slow, or one of too many is disconnected. Requests that have arrived are answered first.
    """

    def __init__(self, address: tuple[str, int], respond: Responder) -> None:
        """Start listening.

        Raises:
            OSError: The address cannot be listened on.
        """
        self._respond = respond
        self._listener = open_listener(*address)
        self._listener.settimeout(0)
        self.port: int = self._listener.getsockname()[1]
        self._connections: dict[int, _Connection] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="http-server", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening, and disconnect all clients."""
        self._closed.set()
        self._thread.join()

    def _serve(self) -> None:
        with self._selector, self._listener:
            while not self._closed.is_set():
                self._serve_ready_clients()
            while self._connections:
                self._disconnect_oldest()

    def _serve_ready_clients(self) -> None:
        ready = [key.fd for key, _ in self._selector.select(_POLL_INTERVAL)]
        for descriptor in ready:
            if descriptor in self._connections:
                self._continue(self._connections[descriptor])
        if self._listener.fileno() in ready:
            self._accept_batch()
        now = time.monotonic()
        # They are in the order of their deadlines.
        while self._connections and self._oldest().deadline <= now:
            self._disconnect_oldest()

    def _accept_batch(self) -> None:
        for _ in range(_ACCEPT_BATCH):
            if len(self._connections) >= MAX_CONNECTIONS:
                self._disconnect_oldest()
            try:
                client, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError:
                self._free_descriptor()
                return
            self._add(client)

    def _free_descriptor(self) -> None:
        """Close the oldest client: the process has no descriptors left, most likely."""
        if self._connections:
            self._disconnect_oldest()
        else:
            self._closed.wait(_ACCEPT_PAUSE)

    def _add(self, client: socket.socket) -> None:
        client.settimeout(0)
        connection = _Connection(client, time.monotonic() + CLIENT_TIMEOUT)
        self._connections[client.fileno()] = connection
        self._selector.register(client, selectors.EVENT_READ)
        self._continue(connection)

    def _continue(self, connection: _Connection) -> None:
        """Receive or send what is possible now."""
        try:
            is_over = self._send(connection) if connection.response else self._receive(connection)
        except BlockingIOError:
            return
        except OSError:
            is_over = True
        if is_over:
            self._disconnect(connection)

    def _receive(self, connection: _Connection) -> bool:
        """Receive a part of the request; returns whether the connection is over."""
        data = connection.client.recv(_READ_SIZE)
        connection.request += data
        if _HEADERS_END.search(connection.request):
            connection.response = build_response(connection.request, self._respond)
            self._selector.modify(connection.client, selectors.EVENT_WRITE)
            return self._send(connection)
        return not data or len(connection.request) > MAX_REQUEST_SIZE

    def _send(self, connection: _Connection) -> bool:
        """Send a part of the response; returns whether that was all of it."""
        sent = connection.client.send(connection.response)
        connection.response = connection.response[sent:]
        return not connection.response

    def _oldest(self) -> _Connection:
        return next(iter(self._connections.values()))

    def _disconnect_oldest(self) -> None:
        self._disconnect(self._oldest())

    def _disconnect(self, connection: _Connection) -> None:
        del self._connections[connection.client.fileno()]
        self._selector.unregister(connection.client)
        with contextlib.suppress(OSError):
            connection.client.shutdown(socket.SHUT_RDWR)
        connection.client.close()


def open_listener(host: str, port: int) -> socket.socket:
    """Listen on an IPv4 or IPv6 address, with or without brackets, or on a name.

    `::` listens on the addresses of both families, and of IPv4 alone where there is no IPv6.

    Raises:
        OSError: That is not possible.
    """
    name = host.removeprefix("[").removesuffix("]")
    is_dual = name == "::" and socket.has_dualstack_ipv6()
    if name == "::" and not is_dual:
        name = ""
    problem = OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    for family, _, _, _, address in socket.getaddrinfo(
        name or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    ):
        try:
            return socket.create_server(
                address, family=family, backlog=_BACKLOG, dualstack_ipv6=is_dual
            )
        except OSError as error:
            problem = error
    raise problem


def build_response(request: bytes, respond: Responder) -> bytes:
    """Return the bytes of the response to a request whose headers are complete."""
    method, _, rest = request.partition(b"\n")[0].decode("latin-1").partition(" ")
    if method in {"GET", "HEAD"}:
        response = HttpResponse(500, "text/plain", b"a defect of reconcile-mirror\n")
        with contextlib.suppress(Exception):
            response = respond(rest.partition(" ")[0].rstrip("\r"))
    else:
        response = HttpResponse(501, "text/plain", b"there are only GET and HEAD\n")
    headers = (
        f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}\r\n"
        f"Content-Type: {response.content_type}\r\n"
        f"Content-Length: {len(response.body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return headers.encode() + (b"" if method == "HEAD" else response.body)
