"""The tools that docs/format.md asks for, and a store that they can reach."""

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
"""What the page uses of GNU coreutils."""


def toolbox(into: Path) -> Path:
    """Return a folder with bash, tar, jq, curl and the page's coreutils, and nothing else."""
    into.mkdir()
    for name in ("bash", "tar", "curl", *COREUTILS):
        found = shutil.which(name)
        assert found, f"{name} is not installed"
        (into / name).symlink_to(found)
    _add_jq(into)
    return into


def _add_jq(into: Path) -> None:
    words = " ".join(command("jq", "jq", "libjq1", "libonig5"))
    (into / "jq").write_text(f'#!{into}/bash\nexec {words} "$@"\n')
    (into / "jq").chmod(0o755)


@contextlib.contextmanager
def serving(objects: Mapping[str, bytes]) -> Iterator[str]:
    """Serve objects as S3 does to who may read them; yields the address of the prefix.

    `response-content-encoding` is answered as S3 answers it.
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
            """Say nothing: the test says what went wrong."""

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
    """Return the environment in which the page's script runs."""
    return {"PATH": str(tools), "BASE": base, "HOME": os.devnull}
