"""What two processes of one program say to each other about tasks."""

import contextlib
import socket
from typing import TypeAlias

from msgspec import Struct, msgpack

from reconcile.mirror.restore.tasks import Piece, Task

WAKE = b"wake"


class Failed(Struct, frozen=True, tag=True):
    """The task raised an error of this class of `errors`, or one that is a defect."""

    kind: str
    message: str


Answer: TypeAlias = Piece | Failed

TASKS: msgpack.Decoder[Task] = msgpack.Decoder(Task)
ANSWERS: msgpack.Decoder[Answer] = msgpack.Decoder(Answer)


class Line:
    """Messages over a socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._incoming = connection.makefile("rb")

    def send(self, message: bytes) -> None:
        self._connection.sendall(len(message).to_bytes(4, "big") + message)

    def receive(self) -> bytes:
        """Return the next message; EOFError if the other end is gone."""
        size = int.from_bytes(self._exactly(4), "big")
        return self._exactly(size)

    def close(self) -> None:
        """End it, also for a thread that waits for a message."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()

    def _exactly(self, size: int) -> bytes:
        found = self._incoming.read(size)
        if len(found) < size:
            raise EOFError
        return found
