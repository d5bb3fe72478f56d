"""As much HTTP/1.1 as a front needs that passes bodies on unread."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

PIECE = 1 << 18
Emit = Callable[[bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Head:
    """The first line and the header lines of a request or an answer, as they came."""

    first: str
    lines: tuple[bytes, ...]

    def header(self, name: str) -> str:
        """Return a header's value, empty where there is none."""
        wanted = name.lower().encode() + b":"
        for line in self.lines:
            if line.lower().startswith(wanted):
                return line[len(wanted) :].strip().decode("latin-1")
        return ""

    def without(self, prefix: str) -> "Head":
        """Return the head without the headers whose name begins so."""
        start = prefix.lower().encode()
        kept = tuple(line for line in self.lines if not line.lower().startswith(start))
        return Head(self.first, kept)

    def encoded(self) -> bytes:
        """Return the bytes that go over the wire."""
        return b"\r\n".join([self.first.encode("latin-1"), *self.lines, b"", b""])

    @property
    def status(self) -> int:
        """Of an answer."""
        return int(self.first.split(" ", 2)[1])


async def read_head(reader: asyncio.StreamReader) -> Head:
    """Read up to the empty line.

    Raises:
        asyncio.IncompleteReadError: The peer has ended the connection.
    """
    first, *lines = (await reader.readuntil(b"\r\n\r\n"))[:-4].split(b"\r\n")
    return Head(first.decode("latin-1"), tuple(lines))


async def pass_body(reader: asyncio.StreamReader, head: Head, emit: Emit) -> None:
    """Pass a body on as it comes, whichever way its end is told."""
    if "chunked" in head.header("Transfer-Encoding").lower():
        await _pass_chunks(reader, emit)
    else:
        await _pass_bytes(reader, int(head.header("Content-Length") or 0), emit)


async def _pass_bytes(reader: asyncio.StreamReader, left: int, emit: Emit) -> None:
    while left:
        piece = await reader.read(min(left, PIECE))
        if not piece:
            raise asyncio.IncompleteReadError(b"", left)
        left -= len(piece)
        await emit(piece)


async def _pass_chunks(reader: asyncio.StreamReader, emit: Emit) -> None:
    while True:
        line = await reader.readuntil(b"\r\n")
        await emit(line)
        size = int(line.split(b";")[0], 16)
        if size == 0:
            break
        await _pass_bytes(reader, size + 2, emit)
    while line != b"\r\n":
        line = await reader.readuntil(b"\r\n")
        await emit(line)
