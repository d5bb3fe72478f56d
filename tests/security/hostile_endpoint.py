"""A server that sends any bytes as its response, without an end if they have none."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from tests.controlplane import ports


@dataclass(slots=True)
class Endpoint:
    """A running server; `answer` returns the pieces of the response to the first line."""

    port: int
    answer: Callable[[str], Iterable[bytes]] = lambda _first: ()
    received: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextlib.contextmanager
def running() -> Iterator[Endpoint]:
    """Run a server for the duration of the block."""
    [port] = ports.free(1)
    endpoint = Endpoint(port)
    with socket.create_server(("127.0.0.1", port)) as listener:
        thread = threading.Thread(target=_accept, args=[endpoint, listener], daemon=True)
        thread.start()
        yield endpoint
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def _accept(endpoint: Endpoint, listener: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_serve, args=[endpoint, client], daemon=True).start()


def _serve(endpoint: Endpoint, client: socket.socket) -> None:
    with client, contextlib.suppress(OSError):
        head = b""
        while b"\r\n\r\n" not in head:
            data = client.recv(65536)
            if not data:
                return
            head += data
        endpoint.received.append(head)
        for piece in endpoint.answer(head.partition(b"\r\n")[0].decode()):
            client.sendall(piece)
