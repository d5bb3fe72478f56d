"""A fast S3 server in memory, as a separate process: `python -m bench.mirror.memory --port N`.

It writes nothing to a disk, so that only the clients are measured. It supports signatures,
conditional writes, ranges, copies, multipart uploads and both versions of lists. The benchmark uses
`/-/`: `counts` returns the counts since the last call, `latency?seconds=` delays each later
request, `forget` deletes every object.
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
from bench.mirror.answers import HttpRequest, HttpResponse, Objects, answer
from bench.mirror.signatures import refusal

HEAD_SIZE = 1 << 16
PIECE = 1 << 20
CONTROL = "/-/"


class Server:
    """The state that all connections share."""

    def __init__(self) -> None:
        self.objects = Objects()
        self.latency = 0.0
        self.counts = {"requests": 0, "sent": 0, "got": 0}

    def answer(self, request: HttpRequest) -> HttpResponse:
        """Handle one request and count it."""
        refused = refusal(request)
        request.unchunk()
        found = pages.error(403, refused) if refused else answer(self.objects, request)
        self.counts["requests"] += 1
        self.counts["sent"] += len(request.body)
        if request.method != "HEAD":
            self.counts["got"] += found.size
        return found

    def control(self, request: HttpRequest) -> HttpResponse:
        """Handle a request of the benchmark itself."""
        what = request.path.removeprefix(CONTROL)
        query = dict(parse_qsl(request.query))
        if what == "latency":
            self.latency = float(query["seconds"])
        elif what == "forget":
            self.objects = Objects()
            gc.collect()
        body = json.dumps(self.counts).encode()
        if what == "counts":
            self.counts = dict.fromkeys(self.counts, 0)
        return HttpResponse(200, {"Content-Type": "application/json"}, [memoryview(body)])


class Connection(asyncio.BufferedProtocol):
    """One client: heads are read into a small buffer, bodies directly into their final buffer."""

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self._head = bytearray(HEAD_SIZE)
        self._filled = 0
        self._request: HttpRequest | None = None
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
        request = self._request = HttpRequest.parse(bytes(self._head[:end]))
        size = int(request.headers.get("content-length", 0))
        body = bytearray(size)
        request.body = self._body = memoryview(body)
        have = min(self._filled - end - 4, size)
        body[:have] = self._head[end + 4 : end + 4 + have]
        rest = self._head[end + 4 + have : self._filled]
        self._head[: len(rest)] = rest
        self._filled = len(rest)
        self._missing = size - have
        if self._missing and "expect" in request.headers:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _complete(self) -> None:
        request, self._request = self._request, None
        assert request is not None
        self._body = memoryview(b"")
        if request.path.startswith(CONTROL):
            self._send(request, self._server.control(request))
        elif self._server.latency:
            self._loop.call_later(self._server.latency, self._serve, request)
        else:
            self._serve(request)

    def _serve(self, request: HttpRequest) -> None:
        if not self._transport.is_closing():
            self._send(request, self._server.answer(request))

    def _send(self, request: HttpRequest, found: HttpResponse) -> None:
        head = found.head()
        if request.method == "HEAD":
            self._transport.write(head)
        elif found.size <= HEAD_SIZE:
            self._transport.write(b"".join((head, *found.parts)))
        else:
            self._transport.write(head)
            self._write_large(found.pieces(PIECE))

    def _write_large(self, pieces: "list[memoryview]") -> None:
        """Write a large body as fast as the client reads it, without copying it."""
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
    """Listen on loopback until the process is terminated."""
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
