"""The programs that docs/format.md requires, and an HTTP server with the objects of a store."""

import contextlib
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.controlplane import ports
from tests.mirror.tools import command

COREUTILS = ("cat", "chmod", "ln", "ls", "mkdir", "sha256sum", "sort", "touch")
"""The GNU coreutils that the page uses."""


def toolbox(into: Path) -> Path:
    """Return a folder with only bash, tar, jq, curl and the page's coreutils."""
    into.mkdir()
    for name in ("bash", "tar", "curl", *COREUTILS):
        path = shutil.which(name)
        assert path, f"{name} is not installed"
        (into / name).symlink_to(path)
    _add_jq(into)
    return into


def _add_jq(into: Path) -> None:
    jq = " ".join(command("jq", "jq", "libjq1", "libonig5"))
    (into / "jq").write_text(f'#!{into}/bash\nexec {jq} "$@"\n')
    (into / "jq").chmod(0o755)


@contextlib.contextmanager
def serving(objects: Mapping[str, bytes]) -> Iterator[str]:
    """Serve objects like S3 to a reader with the right to them; yields the URL of the prefix.

    The query `response-content-encoding` is supported as in S3.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            body = objects.get(address.path.removeprefix("/bucket/team-a/fix-login/"))
            self.send_response(404 if body is None else 200)
            for name in parse_qs(address.query).get("response-content-encoding", []):
                self.send_header("Content-Encoding", name)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_arguments: object) -> None:
            """Log nothing; the test reports failures."""

    [port] = ports.free(1)
    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{port}/bucket/team-a/fix-login"
        finally:
            server.shutdown()
            thread.join()


def environment(tools: Path, base: str) -> dict[str, str]:
    """Return the environment of the page's script."""
    return {"PATH": str(tools), "BASE": base, "HOME": os.devnull}
