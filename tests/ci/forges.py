"""Fakes of the comment APIs of GitHub and GitLab on loopback, as documented."""

import contextlib
import json
import re
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.controlplane.ports import free

BOT, OTHER_USER = 41898282, 7
WRITER, READER = "token-that-writes", "token-that-reads"
TOO_LONG = 65_536


@dataclass
class Answer:
    """What is sent instead of the usual answer; `late` if the request takes effect all the same."""

    code: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    late: bool = False

    @property
    def sent(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return b"" if self.body is None else json.dumps(self.body).encode()


class Forge:
    """What both have in common: comments by id, tokens, and what goes wrong next."""

    page_size = 100
    base = ""
    who = ""

    def token(self, headers):
        raise NotImplementedError

    def usual(self, method, url, token, content):
        raise NotImplementedError

    def __init__(self):
        self.comments: dict[int, dict[str, Any]] = {}
        self.requests: list[tuple[str, str]] = []
        self.faults: list[tuple[str, Answer]] = []
        self.server = None
        self._next = 100

    @property
    def url(self):
        host, port = self.server.server_address[:2]
        return f"http://{host}:{port}{self.base}"

    @property
    def writes(self):
        return [
            method for method, path in self.requests if method != "GET" and "graphql" not in path
        ]

    def add(self, body, author=BOT, **more):
        self._next += 1
        person = {"id": author, "login": "github-actions[bot]" if author == BOT else "other-user"}
        self.comments[self._next] = {"id": self._next, "body": body, self.who: person, **more}
        return self.comments[self._next]

    def fail_next(self, method, *answers):
        self.faults.extend((method, answer) for answer in answers)

    def bodies(self, author=BOT):
        return [c["body"] for c in self.comments.values() if c[self.who]["id"] == author]

    @contextlib.contextmanager
    def behind(self, certificate):
        """Serve the same behind TLS as well, and give its URL."""
        with listening(self, certificate) as server:
            yield f"https://127.0.0.1:{server.server_address[1]}{self.base}"

    def answer(self, method, target, headers, content):
        """Answer one request; a fault that waits for its method comes first."""
        self.requests.append((method, target))
        kind = "ASK" if target.endswith("/graphql") else method
        fault = next((one for one in self.faults if one[0] == kind), None)
        if fault:
            self.faults.remove(fault)
            if not fault[1].late:
                return fault[1]
        token = self.token(headers)
        if token not in (WRITER, READER):
            return Answer(401, {"message": "Bad credentials"})
        usual = self.usual(method, urlsplit(target), token, json.loads(content or "{}"))
        return fault[1] if fault else usual

    def page(self, url):
        asked = parse_qs(url.query)
        size = min(int(asked.get("per_page", ["30"])[0]), self.page_size)
        number = int(asked.get("page", ["1"])[0])
        entries = list(self.comments.values())
        shown = entries[(number - 1) * size : number * size]
        headers = {}
        if number * size < len(entries):
            root = self.url.removesuffix(self.base)
            more = f"{root}{url.path}?per_page={size}&page={number + 1}"
            headers = {"Link": f'<{more}>; rel="next", <{root}{url.path}>; rel="first"'}
        return Answer(200, shown, headers)


class GitHub(Forge):
    """Issue comments of pull request 5 of acme/sessions."""

    base, who = "", "user"
    has_viewer = True

    def token(self, headers):
        return headers.get("Authorization", "").removeprefix("Bearer ")

    def usual(self, method, url, token, body):
        if url.path == "/graphql":
            viewer = {"viewer": {"databaseId": BOT}} if self.has_viewer else None
            return Answer(200, {"data": viewer})
        if url.path == "/repos/acme/sessions/issues/5/comments" and method == "GET":
            return self.page(url)
        if method != "GET" and token == READER:
            return Answer(403, {"message": "Resource not accessible by integration"})
        if len(body.get("body", "")) > TOO_LONG:
            return Answer(422, {"message": "Validation Failed"})
        return self._write(method, url.path, body)

    def _write(self, method, path, body):
        if (method, path) == ("POST", "/repos/acme/sessions/issues/5/comments"):
            made = self.add(body["body"])
            made["html_url"] = f"https://github.example/acme/sessions/pull/5#c-{made['id']}"
            return Answer(201, made)
        found = re.fullmatch(r"/repos/acme/sessions/issues/comments/(\d+)", path)
        one = self.comments.get(int(found[1])) if found else None
        if one is None:
            return Answer(404, {"message": "Not Found"})
        if method == "DELETE":
            del self.comments[one["id"]]
            return Answer(204)
        one["body"] = body["body"].replace("\n", "\r\n")
        return Answer(200, one)


class GitLab(Forge):
    """Notes of merge request 5 of project 12."""

    base, who = "/api/v4", "author"
    notes = "/api/v4/projects/12/merge_requests/5/notes"

    def token(self, headers):
        return headers.get("PRIVATE-TOKEN", "")

    def usual(self, method, url, token, body):
        if url.path == "/api/v4/user":
            return Answer(200, {"id": BOT, "username": "project_12_bot"})
        if url.path == self.notes and method == "GET":
            return self.page(url)
        if token == READER:
            return Answer(403, {"message": "403 Forbidden"})
        return self._write(method, url.path, body)

    def _write(self, method, path, body):
        if (method, path) == ("POST", self.notes):
            return Answer(201, self.add(body["body"], system=False))
        one = self.comments.get(int(path.rpartition("/")[2] or 0))
        if one is None:
            return Answer(404, {"message": "404 Not found"})
        if method == "DELETE":
            del self.comments[one["id"]]
            return Answer(204)
        one["body"] = body["body"]
        return Answer(200, one)


@contextlib.contextmanager
def serving(forge: Forge) -> Iterator[Forge]:
    """Serve a forge on loopback."""
    with listening(forge) as server:
        forge.server = server
        yield forge


@contextlib.contextmanager
def listening(forge: Forge, certificate=None) -> Iterator[ThreadingHTTPServer]:
    class Handler(BaseHTTPRequestHandler):
        def respond(self):
            length = int(self.headers.get("Content-Length", 0))
            answer = forge.answer(self.command, self.path, self.headers, self.rfile.read(length))
            self.send_response_only(answer.code)
            for name, value in {"Content-Length": str(len(answer.sent)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.sent)

        def __getattr__(self, name):
            if name.startswith("do_"):
                return self.respond
            raise AttributeError(name)

        def log_message(self, *_):
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_):
            """A client that does not trust us goes away."""

    with Server(("127.0.0.1", free(1)[0]), Handler) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate.configure_cert(context)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
