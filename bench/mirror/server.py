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
from reconcile.mirror.store.location import Keys
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
        """Return an empty bucket; the memory of those before may be given back."""
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
        self.access = S3Server(f"http://127.0.0.1:{port}", Keys(ACCESS, SECRET), False)  # noqa: FBT003
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
    """Ceph RGW on memstore; with latency behind a front that delays, and counts."""

    def __init__(self, server: S3Server, before: front.Front) -> None:
        self._server = server
        self._front = before

    @property
    def access(self) -> S3Server:
        return self._front.server if self._front.latency else self._server

    def bucket(self) -> str:
        return buckets.fresh(self._server)

    def counts(self) -> Counts:
        before = self._front
        if not before.latency:
            return UNCOUNTED
        found = Counts(len(before.received), before.sent_bytes, before.got_bytes)
        before.reset()
        return found

    def delay(self, seconds: float) -> None:
        self._front.latency = seconds


@contextlib.contextmanager
def running(kind: str, home: Path) -> Iterator[Measured]:
    """Run `memory` or `ceph` for as long as the block lasts."""
    if kind == "ceph":
        with ceph.running(home / "ceph") as server, front.running(server) as before:
            yield Ceph(server, before)
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
