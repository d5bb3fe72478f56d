"""One connection of a front: request by request, each with what the plan does to it."""

import asyncio
import contextlib
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from tests.s3 import http
from tests.s3.faults import PASS, Answer, Asked, Cut, Fault, Flip, Hang, Slow, Strip, When
from tests.s3.http import Head

if TYPE_CHECKING:
    from tests.s3.front import Front

BROKEN = (OSError, asyncio.IncompleteReadError)


class CutError(Exception):
    """The plan wants the connection to end here."""


async def converse(
    front: "Front", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Serve a client until it or the plan ends the connection."""
    link = Link(front, reader, writer)
    try:
        with contextlib.suppress(*BROKEN, CutError):
            while True:
                await link.exchange(await http.read_head(reader))
    finally:
        link.close()


class Link:
    """A client's connection and the one to the server that belongs to it."""

    def __init__(
        self, front: "Front", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._front = front
        self._reader = reader
        self._writer = writer
        self._server: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    def close(self) -> None:
        """End both connections; what the client has not got yet, it still gets."""
        self._writer.close()
        if self._server:
            self._server[1].transport.abort()

    async def exchange(self, head: Head) -> None:
        """Pass one request on, and its answer back."""
        method, path, _ = head.first.split(" ", 2)
        asked = Asked(len(self._front.received) + 1, method, path)
        self._front.received.append(asked)
        fault = self._front.plan(asked)
        if self._front.latency:
            await asyncio.sleep(self._front.latency)
        match fault:
            case Answer():
                await self._answer(head, fault)
            case Cut(When.BEFORE):
                raise CutError
            case Strip(prefix):
                await self._relay(head.without(prefix), method, PASS)
            case _:
                await self._relay(head, method, fault)

    async def _answer(self, head: Head, fault: Answer) -> None:
        if head.header("Expect"):
            # The client waits for a word before it sends the body, and takes this one.
            pass
        else:
            await http.pass_body(self._reader, head, _nowhere)
        code = escape(fault.code)
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>front</Message></Error>"
        wish = f"Retry-After: {fault.retry_after}\r\n" if fault.retry_after else ""
        self._writer.write(
            f"HTTP/1.1 {fault.status} Front\r\nContent-Type: application/xml\r\n{wish}"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        await self._writer.drain()

    async def _relay(self, head: Head, method: str, fault: Fault) -> None:
        reader, writer = await self._connected()
        writer.write(head.encoded())
        upload = asyncio.create_task(self._upload(head, writer, fault))
        try:
            await self._download(reader, method, fault)
            await upload
        finally:
            upload.cancel()
            with contextlib.suppress(asyncio.CancelledError, *BROKEN, CutError):
                await upload

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._server is None:
            host, port = self._front.behind
            self._server = await asyncio.open_connection(host, port, limit=1 << 20)
        return self._server

    async def _upload(self, head: Head, writer: asyncio.StreamWriter, fault: Fault) -> None:
        left = int(head.header("Content-Length") or 0)

        async def emit(piece: bytes) -> None:
            nonlocal left
            left -= len(piece)
            self._front.sent_bytes += len(piece)
            if fault == Flip(request=True) and left == 0:
                piece = _flipped(piece)
            if fault == Cut(When.BODY):
                writer.close()
                raise CutError
            writer.write(piece)
            await writer.drain()

        await http.pass_body(self._reader, head, emit)

    async def _download(self, reader: asyncio.StreamReader, method: str, fault: Fault) -> None:
        head = await http.read_head(reader)
        while head.status < 200:
            self._writer.write(head.encoded())
            head = await http.read_head(reader)
        if fault == Cut(When.AFTER):
            raise CutError
        if fault == Hang():
            await asyncio.Event().wait()
        self._writer.write(head.encoded())
        if method != "HEAD" and head.status not in {204, 304}:
            await self._body(reader, head, fault)
        await self._writer.drain()

    async def _body(self, reader: asyncio.StreamReader, head: Head, fault: Fault) -> None:
        left = int(head.header("Content-Length") or 0)

        async def emit(piece: bytes) -> None:
            nonlocal left
            left -= len(piece)
            self._front.got_bytes += len(piece)
            match fault:
                case Flip(False) if left == 0:
                    piece = _flipped(piece)
                case Cut(When.ANSWER):
                    self._writer.write(piece[: len(piece) // 2])
                    await self._writer.drain()
                    raise CutError
                case Slow(seconds):
                    await asyncio.sleep(seconds)
                case _:
                    pass
            self._writer.write(piece)
            await self._writer.drain()

        await http.pass_body(reader, head, emit)


async def _nowhere(_piece: bytes) -> None:
    return


def _flipped(piece: bytes) -> bytes:
    return piece[:-1] + bytes([piece[-1] ^ 1])
