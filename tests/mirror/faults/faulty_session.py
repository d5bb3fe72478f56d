"""One session on a server: its prefix, a front before it, and the programs of its pods."""

import contextlib
import copy
import io
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reconcile.mirror.cli.main import run_mirror_cli
from reconcile.mirror.head import read_head
from reconcile.mirror.model import Head
from reconcile.mirror.store.retry import RetryingStore, RetryPolicy
from reconcile.mirror.store.s3 import S3Store
from reconcile.runtime.backoff import Backoff
from reconcile.runtime.clock import SystemClock
from reconcile.runtime.settings import ProcessSettings
from tests.mirror.faults import gc_program
from tests.mirror.mirror_pod import MirrorPod
from tests.s3 import buckets, front
from tests.s3.access import S3Server
from tests.s3.faults import PASS, Fault, Meanwhile, Plan, ProxiedRequest, When

PROGRAM = Path(sys.executable).parent / "reconcile-mirror"
PREFIX = "team/fix-login/"
PATIENCE = 60.0


@dataclass(slots=True)
class Ended:
    """A process that has ended: its code, negative for a signal, and what it logged."""

    code: int
    said: str

    @property
    def events(self) -> list[dict]:
        """The lines of the log."""
        return [json.loads(line) for line in self.said.splitlines()]

    def names(self) -> list[str]:
        """The events in order."""
        return [event["event"] for event in self.events]


class Session:
    """A new bucket; `front` is what the processes see, `store` goes past it."""

    prefix = PREFIX

    def __init__(self, server: S3Server, before: front.Front, folder: Path) -> None:
        self.server = server
        self.front = before
        self.folder = folder
        self.bucket = buckets.fresh(server)
        self.secret = folder / "secret"
        self.secret.mkdir(parents=True)
        self.configure("S3_ENDPOINT", before.server.url)
        self.configure("S3_BUCKET", self.bucket)
        self.configure("S3_ACCESS_KEY", server.keys.access_key)
        self.configure("S3_SECRET_KEY", server.keys.secret_key)
        self.configure("STORAGE_MODE", "custom")

    def configure(self, name: str, value: str) -> None:
        """Write one key of the mounted Secret."""
        (self.secret / name).write_text(value)

    def other_session(self, prefix: str) -> "Session":
        """Return another session in the same bucket."""
        other = copy.copy(self)
        other.prefix = prefix
        return other

    def store(self, prefix: str | None = None) -> RetryingStore:
        """Return a store that no fault of the front reaches."""
        prefix = self.prefix if prefix is None else prefix
        plain = S3Store(self.server.location(self.bucket, prefix), self.server.credentials)
        return RetryingStore(plain, SystemClock(), RetryPolicy(30, Backoff(0.02, 15.0)))

    def head(self) -> Head:
        """Return HEAD as it is."""
        found = read_head(self.store())
        assert found is not None
        return found.head

    def pod(self, name: str) -> MirrorPod:
        """Make a pod with an empty volume."""
        return MirrorPod(self.folder, name, self.store(), SystemClock())

    def command(self, verb: str, pod: MirrorPod, *more: str) -> list[str]:
        """Return the command line of a pod's container, or of a garbage collection."""
        if verb == "collect":
            return [sys.executable, gc_program.__file__, str(self.secret), self.prefix]
        claimant = pod.claimant
        who = (
            f"--pod-uid={claimant.uid}",
            f"--pod-name={claimant.name}",
            "--worker-process=always",
        )
        return [
            str(PROGRAM),
            verb,
            f"--workspace={pod.root}",
            f"--state={pod.state.path}",
            f"--prefix={self.prefix}",
            f"--project-secret={self.secret}",
            *(who if verb == "hydrate" else ()),
            *more,
        ]

    def run(self, verb: str, pod: MirrorPod, *more: str) -> Ended:
        """Run a command to its end in this process: starting one takes longer than the command."""
        arguments = self.command(verb, pod, *more)[1:]
        said = io.StringIO()
        with kept_handlers(), contextlib.redirect_stderr(said):
            code = run_mirror_cli(arguments, ProcessSettings(no_color=True, environ={}))
        assert "Traceback" not in said.getvalue(), said.getvalue()
        return Ended(code, said.getvalue())

    def run_process(self, verb: str, pod: MirrorPod, *more: str) -> Ended:
        """Run a command to its end in a process, a hydrate with its worker process."""
        with self.start(verb, pod, *more) as running:
            return running.ended()

    @contextlib.contextmanager
    def start(self, verb: str, pod: MirrorPod, *more: str) -> Iterator["Running"]:
        """Start a command; it ends with the block at the latest."""
        with subprocess.Popen(
            self.command(verb, pod, *more), stderr=subprocess.PIPE, text=True
        ) as process:
            running = Running(process)
            try:
                yield running
            finally:
                process.kill()
                running.reader.join()


class Running:
    """A process whose log is read as it comes."""

    def __init__(self, process: subprocess.Popen) -> None:
        self.process = process
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._over = False
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def ended(self) -> Ended:
        """Wait for the end."""
        code = self.process.wait(PATIENCE * 2)
        self.reader.join()
        return Ended(code, "".join(self.lines))

    def until(self, event: str, count: int = 1) -> dict:
        """Wait for an event's `count`th time and return it."""
        with self._news:
            done = self._news.wait_for(lambda: self._over or self._has(event, count), PATIENCE)
            assert done, f"no {event!r} came; the log is\n{''.join(self.lines)}"
            assert self._has(event, count), f"ended without {event!r}:\n{''.join(self.lines)}"
            return [found for found in self._events() if found["event"] == event][count - 1]

    def until_heard_or_dead(self, event: str) -> None:
        """Wait for an event of a process that may be killed before it comes."""
        with self._news:
            assert self._news.wait_for(lambda: self._over or self._has(event, 1), PATIENCE)

    def _has(self, event: str, count: int) -> bool:
        return sum(found["event"] == event for found in self._events()) >= count

    def _events(self) -> list[dict]:
        return [json.loads(line) for line in self.lines]

    def _read(self) -> None:
        for line in self.process.stderr:
            with self._news:
                self.lines.append(line)
                self._news.notify_all()
        with self._news:
            self._over = True
            self._news.notify_all()


@contextlib.contextmanager
def kept_handlers() -> Iterator[None]:
    """Restore the handlers of the signals that a `sync` handles."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def quick(pod: MirrorPod, *more: str) -> tuple[str, ...]:
    """Return options of a sync that need no minute to show what it does."""
    return ("--interval=0.1", f"--termination-log={pod.root.parent / 'termination'}", *more)


@contextlib.contextmanager
def session(server: S3Server, folder: Path) -> Iterator[Session]:
    """Open a session with a front of its own."""
    with front.running(server) as before:
        yield Session(server, before, folder)


def once(fault: Fault, number: int = 1, of: str = "", method: str = "") -> Plan:
    """Do it to the `number`th request whose path has `of`, and to no other."""
    left = [number]

    def plan(asked: ProxiedRequest) -> Fault:
        if of in asked.path and method in {"", asked.method}:
            left[0] -= 1
            if not left[0]:
                return fault
        return PASS

    return plan


def meanwhile(when: When, deed, **where) -> Plan:
    """Let something happen before or after one request; see `once`."""
    return once(Meanwhile(when, deed), **where)
