"""HTTP client of the platform's runner: runs with their stream of events, and short requests.

The runner listens on loopback in the same pod. What it answers is untrusted: an event without a
type, with invalid JSON or with more than 1 MiB is skipped and counted, and never held in memory.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import httpx
import orjson

TOKEN_HEADER: Final = "X-Ambient-Session-Token"  # noqa: S105 - the name of a header
LARGEST_EVENT: Final = 1 << 20
"""Bytes of one event at most."""

_HOST: Final = "127.0.0.1"
_LARGEST_ANSWER: Final = 1 << 20
_CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 60.0
"""Seconds until the runner has accepted a run; how long the run then takes is not limited."""

_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})
_OK: Final = 200


@dataclass(frozen=True, slots=True)
class Event:
    """One AG-UI event: its type, and all its fields as the runner sent them."""

    type: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a short request; at most 1 MiB of the body."""

    status: int
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """Parse the body; None where it is not JSON."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None


class RunnerError(Exception):
    """The runner cannot be reached, refused a request, or broke its stream.

    Attributes:
        status: The HTTP status of a refusal, 0 if there was no answer.
        is_refused: Whether the request had no effect, so that it can be sent again.
    """

    def __init__(self, message: str, status: int = 0, *, is_refused: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.is_refused = is_refused


class RunnerClient:
    """Requests to the runner on this pod's loopback address, each on a connection of its own.

    `token` is the pod's UID, `session` the thread of the session's own runs. `on_skipped` gets
    the reason for each event that is skipped.
    """

    def __init__(
        self,
        port: int,
        token: str,
        session: str,
        on_skipped: Callable[[str], None] | None = None,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._port = port
        self._session = session
        self._answer_seconds = answer_seconds
        self._on_skipped = on_skipped or (lambda _reason: None)
        self._http = httpx.AsyncClient(
            base_url=f"http://{_HOST}:{port}",
            headers={TOKEN_HEADER: token, "Accept-Encoding": "identity"},
            # No TLS is used, and loading the authorities would cost memory.
            verify=False,  # noqa: S501
            trust_env=False,
            limits=httpx.Limits(max_keepalive_connections=0),
            timeout=httpx.Timeout(None, connect=_CONNECT_SECONDS),
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def get(self, path: str, timeout: float = 30) -> Answer:
        """Send a GET; raises RunnerError if there is no answer after `timeout` seconds."""
        return await self._request(self._http.build_request("GET", path), timeout)

    async def post(
        self,
        path: str,
        body: Mapping[str, Any],
        headers: Mapping[str, str] = _NO_HEADERS,
        timeout: float = 30,
    ) -> Answer:
        """Send JSON; raises RunnerError if there is no answer after `timeout` seconds."""
        return await self._request(self._build_post(path, body, headers), timeout)

    async def is_healthy(self) -> bool:
        """Whether the runner answers its health check, for which it needs no token."""
        try:
            return (await self.get("/health", timeout=3)).status == _OK
        except RunnerError:
            return False

    async def is_listening(self) -> bool:
        """Whether the runner has started: its port accepts connections."""
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                _, writer = await asyncio.open_connection(_HOST, self._port)
        except OSError:
            return False
        writer.close()
        return True

    async def interrupt(self, thread: str = "") -> None:
        """Interrupt a thread's run, else the session's; raises RunnerError if that fails."""
        answer = await self.post("/interrupt", {"thread_id": thread or self._session}, timeout=3)
        if answer.status != _OK:
            raise RunnerError(f"the runner refused to interrupt: {answer.status}", answer.status)

    async def run(
        self, body: Mapping[str, Any], on_accepted: Callable[[], None] | None = None
    ) -> AsyncGenerator[Event, None]:
        """Start a run and yield its events until the stream ends, however long that takes.

        `on_accepted` is called when the runner has accepted the run, before its first event.

        Raises:
            RunnerError: The run was refused (`is_refused`), or its stream broke.
        """
        parser = EventParser(self._on_skipped)
        headers = {"Accept": "text/event-stream"}
        async with self._open(self._build_post("/", body, headers)) as response:
            if on_accepted is not None:
                on_accepted()
            try:
                async for data in response.aiter_raw():
                    for event in parser.feed(data):
                        yield event
            except (httpx.HTTPError, httpx.StreamError) as error:
                raise RunnerError(f"the stream of the run broke: {_describe(error)}") from error

    @asynccontextmanager
    async def _open(self, request: httpx.Request) -> AsyncIterator[httpx.Response]:
        """Send a request for a run, and close its connection at the end."""
        try:
            async with asyncio.timeout(self._answer_seconds):
                response = await self._http.send(request, stream=True)
        except TimeoutError:
            raise RunnerError(
                f"the runner has not answered a run for {self._answer_seconds:g} s"
            ) from None
        except httpx.HTTPError as error:
            is_refused = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            text = f"the runner cannot be reached: {_describe(error)}"
            raise RunnerError(text, is_refused=is_refused) from error
        try:
            if response.status_code != _OK:
                raise RunnerError(
                    _describe_refusal(response.status_code), response.status_code, is_refused=True
                )
            yield response
        finally:
            with suppress(httpx.HTTPError):
                await response.aclose()

    async def _request(self, request: httpx.Request, seconds: float) -> Answer:
        path = request.url.path
        try:
            async with asyncio.timeout(seconds):
                response = await self._http.send(request, stream=True)
                try:
                    return Answer(response.status_code, await _read_limited(response))
                finally:
                    await response.aclose()
        except TimeoutError:
            raise RunnerError(f"the runner has not answered {path} for {seconds:.0f} s") from None
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise RunnerError(
                f"the runner does not answer {path}: {_describe(error)}",
                is_refused=isinstance(error, httpx.ConnectError | httpx.ConnectTimeout),
            ) from error

    def _build_post(
        self, path: str, body: Mapping[str, Any], headers: Mapping[str, str]
    ) -> httpx.Request:
        content = orjson.dumps(dict(body))
        all_headers = {"Content-Type": "application/json", **headers}
        return self._http.build_request("POST", path, content=content, headers=all_headers)


async def _read_limited(response: httpx.Response) -> bytes:
    parts, size = [], 0
    async for data in response.aiter_raw():
        parts.append(data)
        size += len(data)
        if size >= _LARGEST_ANSWER:
            break
    return b"".join(parts)[:_LARGEST_ANSWER]


def _describe(error: Exception) -> str:
    return str(error) or type(error).__name__


def _describe_refusal(status: int) -> str:
    if status == 401:  # noqa: PLR2004
        return "the runner refused the run with 401: its AGUI_TOKEN is not the UID of this pod"
    return f"the runner refused the run with {status}"


class EventParser:
    """Parses a stream of server-sent events, of which each `data:` is one JSON object."""

    def __init__(self, on_skipped: Callable[[str], None]) -> None:
        self._on_skipped = on_skipped
        self._line = bytearray()
        self._is_skipping = False

    def feed(self, data: bytes) -> Iterator[Event]:
        """Yield the events that are complete with these bytes."""
        *ends, rest = data.split(b"\n")
        for end in ends:
            self._add(end)
            line, self._line = bytes(self._line), bytearray()
            if not self._is_skipping:
                yield from self._parse(line)
            self._is_skipping = False
        self._add(rest)

    def _add(self, part: bytes) -> None:
        """Add to the line; the rest of a line that is too long is dropped as it arrives."""
        if self._is_skipping:
            return
        if len(self._line) + len(part) > LARGEST_EVENT:
            self._line = bytearray()
            self._is_skipping = True
            self._on_skipped("too-large")
            return
        self._line += part

    def _parse(self, line: bytes) -> Iterator[Event]:
        if not line.startswith(b"data:"):
            return  # A comment, an empty line, or another field of the event.
        try:
            fields = orjson.loads(line.removeprefix(b"data:"))
        except orjson.JSONDecodeError:
            self._on_skipped("invalid-json")
            return
        kind = fields.get("type") if isinstance(fields, dict) else None
        if not isinstance(kind, str) or not kind:
            self._on_skipped("without-type")
            return
        yield Event(kind, fields)
