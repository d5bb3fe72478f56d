"""The server that all clients are measured on, and what it was asked."""

import contextlib
import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from bench.mirror.signatures import ACCESS, SECRET
from reconcile.mirror.store.config import AccessKeys
from tests.controlplane import ports
from tests.s3 import buckets, ceph, front
from tests.s3.access import S3Server


@dataclass(frozen=True, slots=True)
class Counts:
    """Requests, and bytes of bodies that clients sent and got."""

    requests: int
    sent: int
    got: int


UNCOUNTED = Counts(-1, -1, -1)
"""Where clients speak with a real server itself, which counting would slow."""


class Measured(Protocol):
    """A server that counts and delays."""

    @property
    def access(self) -> S3Server:
        """How clients reach it."""
        ...

    def bucket(self) -> str:
        """Return an empty bucket; those before may be gone, and `access` another one."""
        ...

    def counts(self) -> Counts:
        """Return what was asked since the last time."""
        ...

    def delay(self, seconds: float) -> None:
        """Let each request wait from now on."""
        ...


class Memory:
    """The S3 in memory, see `memory.py`."""

    def __init__(self, port: int) -> None:
        self.access = S3Server(f"http://127.0.0.1:{port}", AccessKeys(ACCESS, SECRET), False)  # noqa: FBT003
        self._at = ("127.0.0.1", port)
        self._buckets = 0

    def bucket(self) -> str:
        self._control("forget")
        self._buckets += 1
        return f"bench-{self._buckets}"

    def counts(self) -> Counts:
        return Counts(**json.loads(self._control("counts")))

    def delay(self, seconds: float) -> None:
        self._control(f"latency?seconds={seconds}")

    def _control(self, what: str) -> bytes:
        connection = http.client.HTTPConnection(*self._at, timeout=60)
        try:
            connection.request("GET", f"/-/{what}")
            return connection.getresponse().read()
        finally:
            connection.close()


class Ceph:
    """Ceph RGW on memstore; with latency behind a front that delays, and counts.

    Each bucket has a server of its own: memstore never gives back what it has taken, which is twice
    what it stores, and no tool is to find the leavings of another.
    """

    def __init__(self, home: Path, stack: contextlib.ExitStack) -> None:
        self._home = home
        self._stack = stack
        self._latency = 0.0
        self._server, self._front = self._started()

    @property
    def access(self) -> S3Server:
        return self._front.server if self._latency else self._server

    def bucket(self) -> str:
        self._stack.close()
        self._server, self._front = self._started()
        return buckets.fresh(self._server)

    def counts(self) -> Counts:
        before = self._front
        if not before.latency:
            return UNCOUNTED
        found = Counts(len(before.received), before.sent_bytes, before.got_bytes)
        before.reset()
        return found

    def delay(self, seconds: float) -> None:
        self._latency = self._front.latency = seconds

    def _started(self) -> tuple[S3Server, front.Front]:
        server = self._stack.enter_context(ceph.running(self._home))
        before = self._stack.enter_context(front.running(server))
        before.latency = self._latency
        return server, before


@contextlib.contextmanager
def running(kind: str, home: Path) -> Iterator[Measured]:
    """Run `memory` or `ceph` for as long as the block lasts."""
    if kind == "ceph":
        with contextlib.ExitStack() as stack:
            yield Ceph(home / "ceph", stack)
        return
    [port] = ports.free(1)
    command = [sys.executable, "-m", "bench.mirror.memory", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            if process.stdout.readline() != b"ready\n":
                raise RuntimeError("the S3 in memory does not start")
            yield Memory(port)
        finally:
            process.kill()


def host(server: Measured) -> str:
    """Return `host:port`."""
    return urlsplit(server.access.url).netloc
