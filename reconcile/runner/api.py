"""The bridge's endpoints: those of the platform's API that its runner calls, and those for probes.

The first listen on loopback, the others (`/readyz` and `/metrics`) on the pod's address.

`POST .../agui/run` is the runner's own call, and the way in which people talk to a running session
(by `kubectl port-forward`). It answers at once with the id of the run, and does not stream: what
the agent says is in `.session/events.jsonl`, which survives the caller.
"""

import re
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from reconcile.runner.credentials import CredentialAnswer
from reconcile.runner.metrics import Metrics
from reconcile.runner.prompt import PROMPT_SOURCE, UNASKED_SOURCES, find_source
from reconcile.runner.runs import QueueFullError, Run, Runs

LARGEST_BODY: Final = 1 << 20
_OK: Final = 200

_LOCAL_HOST: Final = re.compile(
    r"(?i:localhost)(?::[0-9]+)?|127(?:\.[0-9]{1,3}){3}(?::[0-9]+)?|\[::1\](?::[0-9]+)?"
)
_SESSION: Final = "/api/projects/{namespace}/agentic-sessions/{session}"
_METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_INSTEAD: Final = (
    "this session is declared in git and has no backend of the platform: change its session file, "
    "and it is applied. There are POST agui/run and GET credentials/PROVIDER of this session."
)


_Endpoint = Callable[[Request], Awaitable[Response]]


class PromptReceiver(Protocol):
    """Takes the runner's own prompt."""

    async def handle_posted_prompt(self, body: Mapping[str, Any]) -> None:
        """Take a body; returns at once."""
        ...

    def follow(self, run: Run) -> None:
        """Take notice of a run that a person asked for."""
        ...


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the container is ready; the reason is also given for a run that is silent."""

    is_ready: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """What the endpoints use.

    `answer_credential` gets the provider's name, `prepare_stop` returns whether no run is open,
    `assess` is asked at each probe, `is_runner_healthy` before a run that a person asks for.
    """

    namespace: str
    session: str
    answer_credential: Callable[[str], CredentialAnswer]
    prepare_stop: Callable[[], Awaitable[bool]]
    assess: Callable[[], Readiness]
    is_runner_healthy: Callable[[], Awaitable[bool]]


def build_loopback_app(
    options: ApiOptions, runs: Runs, prompts: PromptReceiver, metrics: Metrics
) -> ASGIApp:
    """Build the application for 127.0.0.1."""
    endpoints = _Loopback(options, runs, prompts, metrics)
    return _LocalOnly(Router(endpoints.build_routes(), default=endpoints.not_found))


def build_pod_app(options: ApiOptions, metrics: Metrics) -> ASGIApp:
    """Build the application for the pod's address."""
    return Router(_build_pod_routes(options, metrics), default=_not_found_in_pod)


def build_single_app(
    options: ApiOptions, runs: Runs, prompts: PromptReceiver, metrics: Metrics
) -> ASGIApp:
    """Build one application for both, where the pod's address is a loopback address."""
    endpoints = _Loopback(options, runs, prompts, metrics)
    routes = [*_build_pod_routes(options, metrics), *endpoints.build_routes()]
    return _LocalOnly(Router(routes, default=endpoints.not_found))


class _LocalOnly:
    """Refuses what a web page in a person's browser sends through a forwarded port."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not _is_local(Request(scope)):
            text = "call this by the name localhost or 127.0.0.1, and not from a web page"
            await _json({"error": text}, 400)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _is_local(request: Request) -> bool:
    """Look at the header itself: the URL of a request has another host if it is an odd one."""
    host = request.headers.get("host", "")
    return "origin" not in request.headers and bool(_LOCAL_HOST.fullmatch(host))


class _Loopback:
    """The endpoints for the pod's own programs."""

    def __init__(
        self, options: ApiOptions, runs: Runs, prompts: PromptReceiver, metrics: Metrics
    ) -> None:
        self._options = options
        self._runs = runs
        self._prompts = prompts
        self._metrics = metrics

    def build_routes(self) -> list[BaseRoute]:
        return [
            self._route("POST", f"{_SESSION}/agui/run", self.run),
            self._route("GET", f"{_SESSION}/credentials/{{provider:path}}", self.credential),
            self._route("POST", "/prestop", self.prestop),
        ]

    def _route(self, method: str, path: str, endpoint: _Endpoint) -> BaseRoute:
        """Other methods are answered like other paths: 405 has no body for the agent's tools."""

        async def check(request: Request) -> Response:
            is_known = request.method == method
            return await endpoint(request) if is_known else self.unknown(request)

        return Route(path, check, methods=_METHODS)

    async def run(self, request: Request) -> Response:
        """Take the runner's prompt, or start a run that a person asks for."""
        if not self._is_own(request):
            return _json({"error": self._describe_other(request)}, 404)
        body = _parse_run(await _read_body(request), self._options.session)
        if isinstance(body, Response):
            return body
        source = find_source(body)
        if source == PROMPT_SOURCE:
            await self._prompts.handle_posted_prompt(body)
        elif source not in UNASKED_SOURCES:
            return await self._start(body)
        return _describe_run(body)

    async def _start(self, body: Mapping[str, Any]) -> Response:
        """Start a run, unless the runner would refuse it, of which its sender would not know."""
        is_known = self._runs.is_closed or self._runs.has_open_run
        if not is_known and not await self._options.is_runner_healthy():
            return _json({"error": "the runner has not started yet: try again soon"}, 503)
        try:
            self._prompts.follow(self._runs.enqueue(body))
        except QueueFullError as error:
            return _json({"error": str(error)}, 429)
        return _describe_run(body)

    async def credential(self, request: Request) -> Response:
        """Answer with a credential, or 404: the runner takes 401 and 403 for a failed run."""
        if not self._is_own(request):
            return _json({"error": self._describe_other(request)}, 404)
        answer = self._options.answer_credential(request.path_params["provider"])
        self._metrics.count(
            "credential_requests", "answered" if answer.status == _OK else "missing"
        )
        return _json(answer.body, answer.status)

    async def prestop(self, _request: Request) -> Response:
        """Interrupt the open run before the runner gets TERM."""
        return _json({"idle": await self._options.prepare_stop()})

    def unknown(self, request: Request) -> Response:
        """Say what there is, for the agent's own tools."""
        if request.url.path.startswith("/api"):
            return _json({"error": _INSTEAD}, 404)
        return _json({"error": "there are /api and /prestop"}, 404)

    async def not_found(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.unknown(Request(scope))(scope, receive, send)

    def _is_own(self, request: Request) -> bool:
        names = request.path_params["namespace"], request.path_params["session"]
        return names == (self._options.namespace, self._options.session)

    def _describe_other(self, request: Request) -> str:
        namespace, session = request.path_params["namespace"], request.path_params["session"]
        return (
            f"this is session {self._options.session} in namespace {self._options.namespace}, not "
            f"{session[:100]} in {namespace[:100]}; {_INSTEAD}"
        )


def _build_pod_routes(options: ApiOptions, metrics: Metrics) -> list[BaseRoute]:
    async def readyz(_request: Request) -> Response:
        readiness = options.assess()
        body = {"ready": readiness.is_ready, "reason": readiness.reason}
        return _json(body, 200 if readiness.is_ready else 503)

    async def read_metrics(_request: Request) -> Response:
        return Response(metrics.render(), headers={"content-type": _METRICS_TYPE})

    return [Route("/readyz", readyz), Route("/metrics", read_metrics)]


async def _not_found_in_pod(scope: Scope, receive: Receive, send: Send) -> None:
    await _json({"error": "there are /readyz and /metrics"}, 404)(scope, receive, send)


async def _read_body(request: Request) -> bytes | None:
    """Read a body; None if it is too large, or its sender has left."""
    parts, size = [], 0
    try:
        async for part in request.stream():
            parts.append(part)
            size += len(part)
            if size > LARGEST_BODY:
                return None
    except ClientDisconnect:
        return None
    return b"".join(parts)


def _parse_run(data: bytes | None, session: str) -> dict[str, Any] | Response:
    """Return the run that is asked for, with its ids, or the answer that refuses it."""
    if data is None:
        return _json({"error": f"the body has more than {LARGEST_BODY} bytes"}, 413)
    try:
        body = orjson.loads(data)
        orjson.dumps(body)  # What is nested too deeply can be read, but not sent on.
    except (orjson.JSONDecodeError, TypeError):
        return _json({"error": "the body is not JSON"}, 400)
    messages = body.get("messages") if isinstance(body, dict) else None
    if not isinstance(messages, list) or not all(isinstance(each, dict) for each in messages):
        example = {"messages": [{"id": "1", "role": "user", "content": "…"}]}
        return _json({"error": f"`messages` is missing: {orjson.dumps(example).decode()}"}, 400)
    ids = {"threadId": session, "runId": str(uuid.uuid4())}
    return {**ids, **{name: value for name, value in body.items() if value is not None}}


def _describe_run(body: Mapping[str, Any]) -> Response:
    return _json({"runId": body["runId"], "threadId": body["threadId"]})


def _json(body: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(body) + b"\n", status, media_type="application/json")
