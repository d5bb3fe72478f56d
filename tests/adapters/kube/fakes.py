"""A fake API server with the responses of a test, as an adapter of requests."""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from reconcile.adapters.kube.cluster import KubeCluster
from reconcile.adapters.kube.credentials import Credential, CredentialProvider, FixedCredentials
from reconcile.adapters.kube.transport import ApiClient, ApiEndpoint, ApiRequest

URL = "https://api.example:6443"


@dataclass(frozen=True)
class Reply:
    """One answer, by default an object; `body` is sent as it is, or as JSON."""

    code: int = 200
    body: Any = field(default_factory=lambda: {"metadata": {"name": "one", "uid": "u-1"}})
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})

    @property
    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass(frozen=True)
class Seen:
    """One request as it left the session."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    sent_with: Mapping[str, Any]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Script: TypeAlias = Reply | Exception | Callable[[], Reply]


class FakeServer(HTTPAdapter):
    """Gives the scripted answers in turn, the last one for ever, and keeps what it was asked."""

    def __init__(self, *script: Script) -> None:
        super().__init__()
        self.script: Sequence[Script] = script
        self.seen: list[Seen] = []

    def send(self, request, *_, **sent_with):
        url = urlsplit(request.url)
        body = request.body or b""
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        self.seen.append(
            Seen(request.method, url.path, query, dict(request.headers), body, sent_with)
        )
        turn = self.script[min(len(self.seen), len(self.script)) - 1]
        if isinstance(turn, Exception):
            raise turn
        reply = turn if isinstance(turn, Reply) else turn()
        raw = urllib3.HTTPResponse(
            body=io.BytesIO(reply.content),
            headers=reply.headers,
            status=reply.code,
            preload_content=False,
        )
        return self.build_response(request, raw)


def status(code: int, reason: str, message: str, **details: Any) -> Reply:
    """A failure as an API server words it."""
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": reason,
        "message": message,
        "details": details,
        "code": code,
    }
    return Reply(code, body)


def talking_to(
    server: FakeServer,
    credentials: CredentialProvider | None = None,
    mask: Callable[[str], str] = str,
    url: str = URL,
) -> KubeCluster:
    """The adapter with a fake server behind it."""
    session = requests.Session()
    session.trust_env = False
    session.mount("https://", server)
    known = credentials or FixedCredentials(Credential())
    return KubeCluster(ApiClient(session, ApiEndpoint(url), known, mask))


def server_version(cluster: KubeCluster) -> str:
    """Send the cheapest request: it needs no permission."""
    return cluster._client.send(ApiRequest("get the version", "GET", "/version"))["gitVersion"]
