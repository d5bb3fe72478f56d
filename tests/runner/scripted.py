"""A runner of which a test writes every answer: a small HTTP server in the test's event loop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

BREAK = "break"
"""In a stream: the connection is closed in the middle."""

NO_ANSWER = 0
"""In `statuses`: the request is read, and never answered."""


def encode(**fields: Any) -> bytes:
    """Encode an event."""
    return b"data: " + orjson.dumps(fields) + b"\n\n"


def finished(*, is_error: bool = False) -> bytes:
    """The last event of a run."""
    return encode(type="RUN_FINISHED", runId="r", result={"is_error": is_error, "result": "why"})


STARTED = encode(type="RUN_STARTED", runId="r")
WELL = [STARTED, finished()]


@dataclass
class Request:
    """A request as it came; `port` is that of the sender's side of the connection."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    port: int

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass
class ScriptedRunner:
    """A running server.

    Attributes:
        streams: The parts of the next runs' streams, then of all later ones the last; an event of
            asyncio is waited for.
        statuses: The statuses of the next runs, then 200.
        health: The status of the health check.
        on_run: Called with each run before it is answered.
        requests: Everything but health checks.
        is_listening: Whether it listens from the start, or when `listen` is called.
    """

    port: int = 0
    is_listening: bool = True
    streams: list[list[Any]] = field(default_factory=lambda: [WELL])
    statuses: list[int] = field(default_factory=list)
    health: int = 200
    on_run: Callable[[Request], None] = lambda _request: None
    on_interrupt: Callable[[], None] = lambda: None
    requests: list[Request] = field(default_factory=list)
    server: asyncio.Server | None = None

    async def listen(self) -> None:
        """Accept connections from now on."""
        assert self.server is not None
        await self.server.start_serving()

    @property
    def runs(self) -> list[Request]:
        """The runs that were asked for."""
        return [each for each in self.requests if each.path == "/"]

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._answer(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # The client has left.
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await _read(reader, writer)
        if request.path == "/health":
            _head(writer, self.health)
        elif request.path == "/":
            await self._run(request, writer)
        else:
            self.requests.append(request)
            self.on_interrupt()
            _head(writer, 200, b"{}")
        await writer.drain()

    async def _run(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self.requests.append(request)
        self.on_run(request)
        status = self.statuses.pop(0) if self.statuses else 200
        if status == NO_ANSWER:
            await asyncio.Event().wait()
        if status != 200:
            _head(writer, status)
            return
        stream = self.streams.pop(0) if len(self.streams) > 1 else self.streams[0]
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for part in stream:
            if part == BREAK:
                writer.transport.abort()
                return
            if isinstance(part, asyncio.Event):
                await part.wait()
                continue
            writer.write(b"%x\r\n%b\r\n" % (len(part), part))
            await writer.drain()
        writer.write(b"0\r\n\r\n")


def _head(writer: asyncio.StreamWriter, status: int, body: bytes = b"") -> None:
    writer.write(b"HTTP/1.1 %d x\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
    method, path, _ = head[0].split(" ")
    pairs = (line.split(": ", 1) for line in head[1:] if line)
    headers = {name.lower(): value for name, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, path, headers, body, writer.get_extra_info("peername")[1])


@contextlib.asynccontextmanager
async def scripted_runner(**attributes: Any) -> AsyncIterator[ScriptedRunner]:
    """Listen on a free port of loopback."""
    runner = ScriptedRunner(**attributes)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(runner.answer(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = runner.server = await asyncio.start_server(
        accept, "127.0.0.1", 0, start_serving=runner.is_listening
    )
    runner.port = server.sockets[0].getsockname()[1]
    try:
        yield runner
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def eventually(condition: Callable[[], Any]) -> None:
    """Wait until something is true; a test that waits in vain fails after 20 s."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


class Log:
    """A logger that keeps its events."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))

    def warning(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))

    @property
    def events(self) -> list[str]:
        return [event for event, _ in self.lines]
