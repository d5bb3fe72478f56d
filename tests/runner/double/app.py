"""The routes of the double."""

import asyncio
import contextlib
import hmac
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.runner.double import changes, faults, platform
from tests.runner.double.agent import Agent, NoWorkerError
from tests.runner.double.settings import Settings

TOKEN_HEADER = "X-Ambient-Session-Token"
OPEN_PATHS = {"/health", "/healthz"}
HEARTBEAT_S = 30.0


def make_app(settings: Settings) -> ASGIApp:
    """Return the application."""
    double = Double(Agent(settings))
    routes = [
        Route("/", double.run, methods=["POST"]),
        Route("/health", double.health),
        Route("/interrupt", double.interrupt, methods=["POST"]),
        Route("/capabilities", double.capabilities),
        Route("/events/{thread}", double.events),
        Route("/repos/status", double.repository_status),
        Route("/content/list", double.list_folder),
        Route("/content/file", double.read_file),
        *(
            Route(path, partial(double.change, path), methods=["POST"])
            for path in ("/repos/add", "/repos/remove", "/workflow", "/model")
        ),
    ]
    return _Front(Starlette(routes=routes, lifespan=double.lifespan), settings)


class _Front:
    """Records each request, and refuses those without the token."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        if not self._may_pass(request):
            await JSONResponse({"detail": "Unauthorized"}, 401)(scope, receive, send)
            return
        body = await request.body() if scope["method"] == "POST" else b""
        self._record(request, body)
        await self._app(scope, _replay(body, receive), send)

    def _may_pass(self, request: Request) -> bool:
        token = self._settings.token
        given = request.headers.get(TOKEN_HEADER, "")
        is_open = not token or request.url.path in OPEN_PATHS
        return is_open or hmac.compare_digest(given.encode(), token.encode())

    def _record(self, request: Request, body: bytes) -> None:
        if self._settings.record is None or request.url.path == "/health":
            return
        line = {
            "method": request.method,
            "path": request.url.path,
            "headers": dict(request.headers),
            "body": body.decode(errors="replace"),
        }
        with self._settings.record.open("ab") as file:
            file.write(orjson.dumps(line) + b"\n")


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives a body that was read before."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def read() -> Any:
        return messages.pop() if messages else await receive()

    return read


class Double:
    """Answers requests."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._settings = agent.settings
        self._bad_runs = 0

    @contextlib.asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Ask for the first prompt after the start; end the agent after the last stream."""
        await asyncio.sleep(self._settings.times.start)
        prompt = "\n\n".join(filter(None, (self._startup_prompt(), self._initial_prompt())))
        if prompt and self._settings.get("IS_RESUME").lower() != "true":
            self._agent.start_task(platform.ask_for_prompt(self._settings, prompt))
        yield
        await self._agent.stop()

    async def health(self, _request: Request) -> Response:
        """Always healthy."""
        await _fail(self._settings.faults.health)
        status = int(self._settings.faults.health or 200)
        return JSONResponse({"status": "healthy", "session_id": self._settings.session}, status)

    async def run(self, request: Request) -> Response:
        """Run a prompt, or misbehave."""
        asked = _parse_run(await request.body())
        if isinstance(asked, Response):
            return asked
        fault = self._next_fault()
        await _fail("never" if fault == "never" else "")
        if fault.isdigit():
            return JSONResponse({"detail": "DOUBLE_RUN"}, int(fault))
        if fault in faults.INSTEAD:
            stream = faults.replace(self._settings.faults, fault, asked)
        else:
            stream = faults.insert(self._settings.faults, fault, self._agent.run(asked))
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        return StreamingResponse(stream, media_type="text/event-stream", headers=headers)

    async def interrupt(self, request: Request) -> Response:
        """Interrupt the open run."""
        body = _parse_object(await request.body())
        try:
            self._agent.interrupt(body.get("thread_id") or "")
        except NoWorkerError as error:
            return JSONResponse({"detail": str(error)}, 500)
        return JSONResponse({"message": "Interrupt signal sent"})

    async def change(self, path: str, request: Request) -> Response:
        """Make a change, or say why not."""
        await _fail(self._settings.faults.changes)
        if self._settings.faults.changes:
            return JSONResponse({"detail": "DOUBLE_CHANGES"}, int(self._settings.faults.changes))
        body, headers = _parse_object(await request.body()), dict(request.headers)
        try:
            return JSONResponse(await self._change(path, body, headers))
        except changes.RefusedError as refusal:
            return JSONResponse({"detail": str(refusal)}, refusal.status)

    async def _change(self, path: str, body: dict, headers: dict[str, str]) -> dict[str, Any]:
        match path:
            case "/repos/add":
                return await changes.add_repository(self._agent, body, headers)
            case "/repos/remove":
                return changes.remove_repository(self._agent, body)
            case "/workflow":
                return await changes.change_workflow(self._agent, body, headers)
            case _:
                return changes.change_model(self._agent, body)

    async def repository_status(self, _request: Request) -> Response:
        """Describe the repositories."""
        return JSONResponse(await changes.repository_status(self._settings))

    async def capabilities(self, _request: Request) -> Response:
        """Say what it can."""
        features = {"framework": "double", "agent_features": ["agentic_chat"], "file_system": True}
        model = self._settings.get("LLM_MODEL") or None
        platform_features = ["repos", "workflows"]
        return JSONResponse({
            **features, "platform_features": platform_features, "model": model,
            "session_id": self._settings.session,
        })  # fmt: skip

    async def events(self, _request: Request) -> Response:
        """Stream nothing but heartbeats: no event comes between runs."""

        async def beat() -> AsyncIterator[bytes]:
            while True:
                await asyncio.sleep(HEARTBEAT_S)
                yield b": heartbeat\n\n"

        return StreamingResponse(beat(), media_type="text/event-stream")

    async def list_folder(self, request: Request) -> Response:
        """List a folder of the workspace."""
        folder = self._find(request)
        if not folder.is_dir():
            return JSONResponse({"detail": "not found"}, 404)
        return JSONResponse({"items": [self._describe(each) for each in sorted(folder.iterdir())]})

    async def read_file(self, request: Request) -> Response:
        """Read a file of the workspace."""
        file = self._find(request)
        if not file.is_file():
            return JSONResponse({"detail": "not found"}, 404)
        return Response(file.read_bytes(), media_type="application/octet-stream")

    def _find(self, request: Request) -> Path:
        top = self._settings.workspace.resolve()
        path = (top / request.query_params.get("path", "").lstrip("/")).resolve()
        return path if path.is_relative_to(top) else Path("/nowhere")

    def _describe(self, path: Path) -> dict[str, Any]:
        status = path.lstat()
        modified = datetime.fromtimestamp(status.st_mtime, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        shown = f"/{path.relative_to(self._settings.workspace.resolve())}"
        return {
            "name": path.name, "path": shown, "isDir": path.is_dir(), "size": status.st_size,
            "modifiedAt": modified,
        }  # fmt: skip

    def _next_fault(self) -> str:
        self._bad_runs += 1
        times = self._settings.faults.run_times
        return self._settings.faults.run if not times or self._bad_runs <= times else ""

    def _initial_prompt(self) -> str:
        return self._settings.get("INITIAL_PROMPT")

    def _startup_prompt(self) -> str:
        """The workflow's own prompt; a file that is missing or no JSON has none."""
        folder = self._settings.workflow
        try:
            content = orjson.loads(((folder or Path()) / ".ambient/ambient.json").read_bytes())
        except (OSError, orjson.JSONDecodeError):
            return ""
        return str(content.get("startupPrompt") or "").strip() if folder else ""


async def _fail(fault: str) -> None:
    """Wait for ever if that is the fault."""
    if fault == "never":
        await asyncio.Event().wait()


def _parse_object(body: bytes) -> dict[str, Any]:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return content if isinstance(content, dict) else {}


def _parse_run(body: bytes) -> dict[str, Any] | Response:
    """Return the run that is asked for, or the answer that refuses it."""
    asked = _parse_object(body)
    if not isinstance(asked.get("messages"), list):
        return JSONResponse({"detail": "messages is required"}, 422)
    thread = asked.get("threadId") or asked.get("thread_id")
    if not thread:
        return Response("Internal Server Error", 500, media_type="text/plain")
    run = asked.get("runId") or asked.get("run_id") or str(uuid.uuid4())
    return {**asked, "threadId": thread, "runId": run}
