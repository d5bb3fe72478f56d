"""The server of all measurements, which counts requests and bytes."""

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
    """The number of requests, and the bytes of bodies that clients sent and got."""

    requests: int
    sent: int
    got: int


UNCOUNTED = Counts(-1, -1, -1)
"""For clients that talk to a real server directly, since a counting proxy would slow it."""


class Measured(Protocol):
    """A server that counts and delays."""

    @property
    def access(self) -> S3Server:
        """The address and keys for clients."""
        ...

    def bucket(self) -> str:
        """Return an empty bucket; earlier ones may be deleted, and `access` may change."""
        ...

    def counts(self) -> Counts:
        """Return the counts since the last call."""
        ...

    def delay(self, seconds: float) -> None:
        """Delay each request from now on."""
        ...


class MemoryServer:
    """The S3 server in memory, see `memory.py`."""

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


class CephServer:
    """Ceph RGW on memstore; with latency, a proxy delays and counts requests.

    Each bucket gets a new server, since memstore never frees its memory, which is twice the size of
    the objects.
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
    """Run `memory` or `ceph` for the duration of the block."""
    if kind == "ceph":
        with contextlib.ExitStack() as stack:
            yield CephServer(home / "ceph", stack)
        return
    [port] = ports.free(1)
    command = [sys.executable, "-m", "bench.mirror.memory", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            if process.stdout.readline() != b"ready\n":
                raise RuntimeError("the S3 server in memory does not start")
            yield MemoryServer(port)
        finally:
            process.kill()


def host(server: Measured) -> str:
    """Return `host:port`."""
    return urlsplit(server.access.url).netloc
