"""A fast S3 in memory, as a process of its own: `python -m bench.mirror.memory --port N`.

It keeps nothing on a disk, so that clients are what is measured. Signatures, conditional writes,
ranges, copies, multipart uploads and both kinds of lists are honoured. `/-/` is for the benchmark:
`counts` says what was asked since the last time, `latency?seconds=` delays each request from then
on, `forget` drops every object.
"""

import argparse
import asyncio
import gc
import json
from collections.abc import Callable
from typing import cast
from urllib.parse import parse_qsl

import uvloop

from bench.mirror import pages
from bench.mirror.answers import Answer, Asked, Objects, answer
from bench.mirror.signatures import refusal

HEAD_ROOM = 1 << 16
PIECE = 1 << 20
CONTROL = "/-/"


class Server:
    """What all connections share."""

    def __init__(self) -> None:
        self.objects = Objects()
        self.latency = 0.0
        self.counts = {"requests": 0, "sent": 0, "got": 0}

    def answer(self, asked: Asked) -> Answer:
        """Answer one request and count it."""
        refused = refusal(asked)
        asked.unchunk()
        found = pages.error(403, refused) if refused else answer(self.objects, asked)
        self.counts["requests"] += 1
        self.counts["sent"] += len(asked.body)
        if asked.method != "HEAD":
            self.counts["got"] += found.size
        return found

    def control(self, asked: Asked) -> Answer:
        """Do what the benchmark itself wants."""
        what = asked.path.removeprefix(CONTROL)
        said = dict(parse_qsl(asked.query))
        if what == "latency":
            self.latency = float(said["seconds"])
        elif what == "forget":
            self.objects = Objects()
            gc.collect()
        body = json.dumps(self.counts).encode()
        if what == "counts":
            self.counts = dict.fromkeys(self.counts, 0)
        return Answer(200, {"Content-Type": "application/json"}, [memoryview(body)])


class Connection(asyncio.BufferedProtocol):
    """One client: heads are read into a small buffer, bodies right into where they stay."""

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self._head = bytearray(HEAD_ROOM)
        self._filled = 0
        self._asked: Asked | None = None
        self._body = memoryview(b"")
        self._missing = 0
        self._transport: asyncio.Transport
        self._resumed: Callable[[], None] | None = None
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        del sizehint
        if self._missing:
            return self._body[len(self._body) - self._missing :]
        return memoryview(self._head)[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        if self._missing:
            self._missing -= nbytes
        else:
            self._filled += nbytes
            end = self._head.find(b"\r\n\r\n", 0, self._filled)
            if end < 0:
                return
            self._begin(end)
        if not self._missing:
            self._complete()

    def _begin(self, end: int) -> None:
        asked = self._asked = Asked.parse(bytes(self._head[:end]))
        size = int(asked.headers.get("content-length", 0))
        body = bytearray(size)
        asked.body = self._body = memoryview(body)
        have = min(self._filled - end - 4, size)
        body[:have] = self._head[end + 4 : end + 4 + have]
        rest = self._head[end + 4 + have : self._filled]
        self._head[: len(rest)] = rest
        self._filled = len(rest)
        self._missing = size - have
        if self._missing and "expect" in asked.headers:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _complete(self) -> None:
        asked, self._asked = self._asked, None
        assert asked is not None
        self._body = memoryview(b"")
        if asked.path.startswith(CONTROL):
            self._send(asked, self._server.control(asked))
        elif self._server.latency:
            self._loop.call_later(self._server.latency, self._serve, asked)
        else:
            self._serve(asked)

    def _serve(self, asked: Asked) -> None:
        if not self._transport.is_closing():
            self._send(asked, self._server.answer(asked))

    def _send(self, asked: Asked, found: Answer) -> None:
        head = found.head()
        if asked.method == "HEAD":
            self._transport.write(head)
        elif found.size <= HEAD_ROOM:
            self._transport.write(b"".join((head, *found.parts)))
        else:
            self._transport.write(head)
            self._pour(found.pieces(PIECE))

    def _pour(self, pieces: "list[memoryview]") -> None:
        """Write a large body as fast as the client takes it, without a copy of it."""
        place = iter(pieces)

        def on() -> None:
            for piece in place:
                self._transport.write(piece)
                if self._paused:
                    self._resumed = on
                    return

        on()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        on, self._resumed = self._resumed, None
        if on is not None:
            on()


async def serve(port: int) -> None:
    """Listen on loopback until the process is ended."""
    server = Server()
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(
        lambda: Connection(server, loop), "127.0.0.1", port, backlog=512
    )
    print("ready", flush=True)
    await listening.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    gc.freeze()
    uvloop.run(serve(parser.parse_args().port))
