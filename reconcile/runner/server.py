"""HTTP servers in an event loop that others share: bounded, without a log, quiet when idle.

What a client does wrong is not logged: a program of the agent may send a thousand a second.

uvicorn's own loop wakes up ten times a second and handles signals; here the caller does that.
"""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

LOOPBACK: Final = "127.0.0.1"

Application = Any
"""An ASGI application."""

_BACKLOG: Final = 128
_LARGEST_HEAD: Final = 16 << 10
_KEEP_ALIVE_SECONDS: Final = 5
_CONNECTION_SECONDS: Final = 15.0
"""Seconds of a connection: one whose client says nothing, or has gone, would be kept for ever."""


class ListenError(Exception):
    """An address cannot be listened on."""


def is_loopback(host: str) -> bool:
    """Whether an address is one of this machine alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listen(host: str, port: int) -> socket.socket:
    """Listen on an IPv4 or IPv6 address.

    Raises:
        ListenError: It is not an address of this pod, or another program uses the port.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio sends small parts of an answer at once: 40 ms sooner.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        text = f"cannot listen on {host} port {port}: {error.strerror}; a program of the agent"
        raise ListenError(f"{text} may use the port, or --host is not the pod's address") from error
    listener.setblocking(False)  # noqa: FBT003
    return listener


async def serve(listener: socket.socket, app: Application, connections: int) -> None:
    """Serve until this is cancelled; more than `connections` at once are answered with 503."""
    config = uvicorn.Config(
        app,
        http=_Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        limit_concurrency=connections,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=_LARGEST_HEAD,
    )
    await _Server(config).serve([listener])


class _Connection(H11Protocol):
    """A connection that ends after some seconds, whatever its client does."""

    _end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._end = self.loop.call_later(_CONNECTION_SECONDS, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._end is not None:
            self._end.cancel()


class _Server(uvicorn.Server):
    """A server that sleeps until it is cancelled, and then closes its connections at once."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        self.force_exit = True
        for connection in list(self.server_state.connections):
            connection.transport.abort()
