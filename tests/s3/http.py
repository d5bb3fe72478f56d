"""The part of HTTP/1.1 that a proxy needs to relay bodies without parsing them."""

import socket
from collections.abc import Callable
from dataclasses import dataclass

PIECE = 1 << 20
Emit = Callable[[memoryview], None]


class EndError(Exception):
    """The peer has closed the connection."""


@dataclass(frozen=True, slots=True)
class Head:
    """The first line and the header lines of a request or a response, unchanged."""

    first: str
    lines: tuple[bytes, ...]

    def header(self, name: str) -> str:
        """Return the value of a header; empty if there is none."""
        wanted = name.lower().encode() + b":"
        for line in self.lines:
            if line.lower().startswith(wanted):
                return line[len(wanted) :].strip().decode("latin-1")
        return ""

    def without(self, prefix: str) -> "Head":
        """Return the head without the headers whose name begins with `prefix`."""
        start = prefix.lower().encode()
        kept = tuple(line for line in self.lines if not line.lower().startswith(start))
        return Head(self.first, kept)

    def encoded(self) -> bytes:
        """Return the bytes to send."""
        return b"\r\n".join([self.first.encode("latin-1"), *self.lines, b"", b""])

    @property
    def status(self) -> int:
        """The status code of a response."""
        return int(self.first.split(" ", 2)[1])

    @property
    def size(self) -> int:
        """The size of the body in bytes; 0 if unknown."""
        return int(self.header("Content-Length") or 0)


class Stream:
    """One side of a connection: heads are parsed, bodies are relayed through one buffer."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self._buffer = memoryview(bytearray(PIECE))
        self._early = b""

    def head(self) -> Head:
        """Read up to the empty line."""
        first, *lines = self._until(b"\r\n\r\n")[:-4].split(b"\r\n")
        return Head(first.decode("latin-1"), tuple(lines))

    def pass_body(self, head: Head, emit: Emit) -> None:
        """Relay a body as it arrives, chunked or with a length."""
        if "chunked" in head.header("Transfer-Encoding").lower():
            self._pass_chunks(emit)
        else:
            self._pass_bytes(head.size, emit)

    def _pass_chunks(self, emit: Emit) -> None:
        while True:
            line = self._until(b"\r\n")
            emit(memoryview(line))
            size = int(line.split(b";")[0], 16)
            if size == 0:
                break
            self._pass_bytes(size + 2, emit)
        while line != b"\r\n":
            line = self._until(b"\r\n")
            emit(memoryview(line))

    def _pass_bytes(self, left: int, emit: Emit) -> None:
        if left and self._early:
            early, self._early = self._early[:left], self._early[left:]
            left -= len(early)
            emit(memoryview(early))
        while left:
            got = self.end.recv_into(self._buffer, min(left, PIECE))
            if not got:
                raise EndError
            left -= got
            emit(self._buffer[:got])

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._early:
            more = self.end.recv(1 << 16)
            if not more:
                raise EndError
            self._early += more
        found, mark, self._early = self._early.partition(mark)
        return found + mark
