"""A session on this machine: its directories, the command lines, and a stub of a runner."""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from subprocess import STDOUT, Popen

import httpx
import orjson

from reconcile.runner.prompt import PROMPT_SOURCE, build_body
from tests.controlplane import waiting
from tests.controlplane.ports import free
from tests.runner.loopback import JsonHandler, serving

PROGRAM = Path(sys.executable).parent / "reconcile-runner"
NAMESPACE, NAME, PROMPT = "team-a", "fix-login", "Fix the login."
SOURCES = [
    {"provider": "github", "secretName": "tokens", "keys": {"token": "token", "userName": "user"}}
]
EVENTS = (
    {"type": "RUN_STARTED"},
    {"type": "TEXT_MESSAGE_CONTENT", "messageId": "1", "delta": "done"},
    {"type": "RUN_FINISHED", "result": {"is_error": False}},
)
DIRECTORIES = ("workspace", "inputs", "state", "credentials", "pod-info")


@dataclass
class StubRunner:
    """Answers health checks and runs; `accepted` is when the first run arrived."""

    port: int = field(default_factory=lambda: free(1)[0])
    accepted: float = 0.0
    has_run: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def running(self) -> Iterator["StubRunner"]:
        """Serve until the end of the block."""
        stub = self

        class Handler(JsonHandler):
            def do_GET(self) -> None:  # noqa: N802 - the name that the library calls
                self.send(HTTPStatus.OK, {"status": "healthy"})

            def do_POST(self) -> None:  # noqa: N802
                stub.accepted = time.perf_counter()
                self.read()
                self.send_response(HTTPStatus.OK)
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
                for event in EVENTS:
                    self.wfile.write(b"data: " + orjson.dumps(event) + b"\n\n")
                stub.has_run.set()

        with serving(Handler, self.port):
            yield self


@dataclass(frozen=True)
class Session:
    """The directories that a pod mounts for a session with a prompt and a credential."""

    home: Path
    port: int = field(default_factory=lambda: free(1)[0])

    def __post_init__(self) -> None:
        for name in DIRECTORIES:
            (self.home / name).mkdir(parents=True)
        (self.home / "inputs/INITIAL_PROMPT").write_text(PROMPT)
        (self.home / "pod-info/uid").write_text("uid-of-the-pod")
        (self.home / "credentials/github").mkdir()
        for name in ("token", "userName"):
            (self.home / "credentials/github" / name).write_text("a-value-for-benchmarks")

    @property
    def api(self) -> str:
        """The path of the session's API."""
        return f"/api/projects/{NAMESPACE}/agentic-sessions/{NAME}"

    def prepare(self) -> list[str]:
        """The command line of `prepare`."""
        return [str(PROGRAM), "prepare", *self._common()]

    def bridge(self, runner_port: int) -> list[str]:
        """The command line of `bridge`."""
        own = (
            f"--namespace={NAMESPACE}",
            f"--session={NAME}",
            f"--pod-info={self.home / 'pod-info'}",
            f"--port={self.port}",
            f"--runner-port={runner_port}",
            "--inactivity-seconds=3600",
        )
        return [str(PROGRAM), "bridge", *self._common(), *own]

    def _common(self) -> list[str]:
        mounted = (f"--{name}={self.home / name}" for name in DIRECTORIES[:4])
        return [
            *mounted,
            f"--credential-sources={orjson.dumps(SOURCES).decode()}",
            f"--termination-log={self.home / 'termination'}",
        ]

    @contextlib.contextmanager
    def bridging(self, runner_port: int) -> Iterator["Bridge"]:
        """Run `bridge` until the end of the block."""
        log = self.home / "log"
        with log.open("wb") as output:
            process = Popen(self.bridge(runner_port), stdout=output, stderr=STDOUT)
        client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False)
        bridge = Bridge(self, process, client)
        try:
            waiting.until("the bridge", bridge.answers)
            yield bridge
        finally:
            client.close()
            process.terminate()
            process.wait()


@dataclass(frozen=True)
class Bridge:
    """A running bridge."""

    session: Session
    process: "Popen[bytes]"
    client: httpx.Client

    def answers(self) -> bool:
        """Whether it listens; RuntimeError if it has ended."""
        if self.process.poll() is not None:
            raise RuntimeError(f"bridge ended:\n{(self.session.home / 'log').read_text()}")
        with contextlib.suppress(httpx.TransportError):
            return self.client.get("/readyz").status_code in {200, 503}
        return False

    def call_prompt(self, runner: StubRunner) -> float:
        """Make the runner's own call; returns the seconds until the run arrived at the runner."""
        body = build_body(NAME, PROMPT, PROMPT_SOURCE)
        called = time.perf_counter()
        self.client.post(f"{self.session.api}/agui/run", json=body).raise_for_status()
        if not runner.has_run.wait(30):
            raise RuntimeError(f"no run:\n{(self.session.home / 'log').read_text()}")
        return runner.accepted - called
