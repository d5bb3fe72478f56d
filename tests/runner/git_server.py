"""A real git server by HTTPS or HTTP on 127.0.0.1: git's `http-backend`, with a login and faults.

The first part of a path chooses what happens: `public`, `private` (a login is asked for), `refused`
(every login is refused), `broken-once` (500, then as public), `broken`, `slow` (each answer takes
a second), `hanging` (no answer), `private-hanging` (none to a login), `cut-once` (half of the first
pack), `to-file`, `to-host`, `to-login` (redirects; the last one to a URL with a password).
"""

import base64
import contextlib
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import trustme

from tests.controlplane.ports import free

USER, TOKEN = "x-access-token", "canary-token/4711:@%"
PASSWORD = "canary-password-of-a-url"
_LOGIN = base64.b64encode(f"{USER}:{TOKEN}".encode()).decode()
ENVIRON = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    **{
        f"GIT_{who}_{what}": "ann@example.com"
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    },
}


def git(folder: Path, *arguments: str) -> str:
    """Run git to make a repository, and return its output."""
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        env=ENVIRON,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def make_repository(folder: Path, files: dict[str, str] | None = None) -> Path:
    """Make a repository with one commit on `main`."""
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    for name, text in (files or {"README": "hello\n"}).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    commit(folder)
    return folder


def commit(folder: Path) -> None:
    """Commit everything in a work tree."""
    git(folder, "add", "--all", "--force")
    git(folder, "commit", "-q", "--allow-empty", "-m", "a commit")


@dataclass
class GitServer:
    """A running server of the repositories below `folder`, and what it was asked."""

    folder: Path
    ca_file: Path
    port: int
    protocol: str
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    """Host, path and `Authorization` of each request."""
    release: threading.Event = field(default_factory=threading.Event)
    """Set at the end, so that no answer hangs for ever."""
    is_asked: threading.Event = field(default_factory=threading.Event)
    is_held: threading.Event = field(default_factory=threading.Event)
    """Set by a request that gets no answer."""
    has_cut: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """The URL of a repository, such as `public/shop`."""
        return f"{self.protocol}://{host}:{self.port}/{path}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    git_server: GitServer

    def do_GET(self) -> None:
        server, (kind, _, path) = self.git_server, self.path.lstrip("/").partition("/")
        login = self.headers.get("Authorization", "")
        server.requests.append((self.headers["Host"], self.path, login))
        server.is_asked.set()
        before = sum(each[1] == self.path for each in server.requests)
        match kind:
            case "private" | "private-hanging" if login != f"Basic {_LOGIN}":
                self._answer(401, [("WWW-Authenticate", 'Basic realm="git"')])
            case "refused":
                self._answer(401, [("WWW-Authenticate", 'Basic realm="git"')])
            case "to-file" | "to-host" | "to-login":
                self._redirect(kind, path)
            case "broken":
                self._answer(500)
            case "broken-once" if before == 1:
                self._answer(503)
            case "hanging" | "private-hanging":
                server.is_held.set()
                server.release.wait()
                self.close_connection = True
            case _:
                server.release.wait(1 if kind == "slow" else 0)
                self._run_git(path, may_cut=kind == "cut-once")

    def do_POST(self) -> None:
        self.do_GET()

    def _redirect(self, kind: str, path: str) -> None:
        server = self.git_server
        there = server.url(f"public/{path}", "localhost")
        places = {
            "to-file": (302, f"file://{server.folder}/{path}"),
            "to-host": (301, there),
            "to-login": (301, there.replace("://", f"://user:{PASSWORD}@")),
        }
        status, place = places[kind]
        self._answer(status, [("Location", place)])

    def _answer(self, status: int, headers: list[tuple[str, str]] | None = None) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(status)
        for name, value in [*(headers or []), ("Content-Length", "0")]:
            self.send_header(name, value)
        self.end_headers()

    def _run_git(self, path: str, *, may_cut: bool) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = urlsplit(f"/{path}")
        environ = {
            **ENVIRON,
            "GIT_PROJECT_ROOT": str(self.git_server.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": parts.path,
            "QUERY_STRING": parts.query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        done = subprocess.run(
            ["git", "-c", "safe.directory=*", "http-backend"],
            env=environ,
            input=body,
            capture_output=True,
            check=False,
        )
        is_cut = may_cut and b"PACK" in done.stdout and not self.git_server.has_cut.is_set()
        if is_cut:
            self.git_server.has_cut.set()
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if is_cut else content)
        self.close_connection = is_cut

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = True

    def handle_error(self, *_: object) -> None:
        """A client that is killed, or does not trust the certificate, is no error of a test."""


@contextlib.contextmanager
def serving(folder: Path, protocol: str = "https") -> Iterator[GitServer]:
    """Serve the repositories below `folder` until the end of the block, by `https` or `http`."""
    folder.mkdir(exist_ok=True)
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    ca_file = folder / "ca.crt"
    ca.cert_pem.write_to_path(ca_file)
    git_server = GitServer(folder, ca_file, free(1)[0], protocol)
    handler = type("Handler", (_Handler,), {"git_server": git_server})
    server = _Server(("127.0.0.1", git_server.port), handler)
    if protocol == "https":
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield git_server
    finally:
        git_server.release.set()
        server.shutdown()
        server.server_close()
        thread.join()
