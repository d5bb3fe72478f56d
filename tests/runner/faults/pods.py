"""The pods of one session: their volumes and programs, and a bucket in which the workspace is kept.

No container has mounts or a user of its own here; `tests/local_pod` shows those.
"""

import contextlib
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from reconcile.mirror.store.retry import RetryingStore, RetryPolicy
from reconcile.mirror.store.s3 import S3Store
from reconcile.runtime.backoff import Backoff
from reconcile.runtime.clock import SystemClock
from tests.runner.bridge_pod import ROOT, BridgePod
from tests.runner.faults.programs import Program, Start
from tests.s3 import buckets
from tests.s3.access import S3Server

PREFIX = "team-a/session-1/"
NATIVE = ("sync", "bridge")
"""The sidecars, in the order of their start; the kubelet starts them again when they end."""


@dataclass(frozen=True, slots=True)
class SessionStore:
    """The bucket of a session, and a mounted Secret that names it."""

    server: S3Server
    bucket: str
    secret: Path

    @classmethod
    def make(cls, server: S3Server, folder: Path) -> "SessionStore":
        """Make a new bucket."""
        bucket = buckets.fresh(server)
        values = {
            "STORAGE_MODE": "custom",
            "S3_ENDPOINT": server.url,
            "S3_BUCKET": bucket,
            "S3_ACCESS_KEY": server.keys.access_key,
            "S3_SECRET_KEY": server.keys.secret_key,
        }
        folder.mkdir(parents=True)
        for name, value in values.items():
            (folder / name).write_text(value)
        return cls(server, bucket, folder)

    def open(self) -> RetryingStore:
        """Open the session's prefix."""
        plain = S3Store(self.server.location(self.bucket, PREFIX), self.server.credentials)
        return RetryingStore(plain, SystemClock(), RetryPolicy(30, Backoff(0.02, 15.0)))


class SessionPod(BridgePod):
    """One pod with an empty workspace, until its `hydrate` has restored that."""

    def __init__(self, folder: Path, uid: str, store: SessionStore, policy: str) -> None:
        super().__init__(folder, uid)
        self._store = store
        self._policy = policy
        self.record = self.folder / "record"
        self.programs: dict[str, Program] = {}
        self.restored: list[dict[str, Any]] = []
        self.clock_jumps = 0.0
        for each in ("mirror-state", "messages"):
            (self.folder / each).mkdir()

    def start_first(self, seconds: float) -> bool:
        """Run the init containers; False if they have not ended after so many seconds."""
        end = time.monotonic() + seconds
        for name in ("hydrate", "prepare"):
            code = self.launch(name).wait_at_most(max(0.0, end - time.monotonic()))
            if code is None:
                return False
            assert code == 0, f"{name} ended with {code}:\n{self.describe()}"
            if name == "hydrate":
                self.restored = self.marks
        return True

    def start_others(self, prompt: str, delay: float) -> None:
        """Start the sidecars and the runner, which asks for this prompt after so many seconds."""
        for name in NATIVE:
            self.launch(name)
        environment = self.build_runner_environment(
            INITIAL_PROMPT=prompt,
            DOUBLE_PROMPT_DELAY=str(delay),
            DOUBLE_RECORD=str(self.record),
            DOUBLE_STOP_SECONDS="0.3",
        )
        self.launch("runner", environment)

    def launch(self, name: str, variables: dict[str, str] | None = None) -> Program:
        """Start a program of the pod."""
        own = variables if variables is not None else self._build_own(name)
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **own}
        jumps = self.clock_jumps if name == "bridge" else 0.0
        log = self.folder / f"{name}.log"
        start = Start(name, self._list_arguments(name), environment, log, jumps)
        self.programs[name] = Program(start)
        return self.programs[name]

    def restart(self, name: str) -> None:
        """Start a killed sidecar again."""
        self.programs[name] = self.programs[name].again()

    def lose(self) -> None:
        """Kill all programs at once, as with a lost node."""
        for program in self.programs.values():
            if program.is_running:
                program._process.kill()
        for program in self.programs.values():
            program.wait()

    def end_in_order(self) -> None:
        """End the pod as the kubelet does: the runner after its hook, then bridge, then sync."""
        if self.programs["runner"].is_running:
            with contextlib.suppress(Exception):
                self.http.post("/prestop", timeout=3)
        for name in ("runner", "bridge", "sync"):
            if self.programs[name].is_running:
                self.programs[name].terminate()
            self.programs[name].wait()

    def close(self) -> None:
        self.lose()
        super().close()

    @property
    def preparation(self) -> dict[str, Any]:
        """The termination message of `prepare`."""
        path = self.folder / "messages" / "prepare"
        return orjson.loads(path.read_bytes()) if path.exists() else {}

    def count_runs(self) -> Counter[str]:
        """Count the runs that the runner was asked for, by the text of their last message."""
        return Counter(each["messages"][-1]["content"] for each in self._list_runs())

    def _list_runs(self) -> Iterator[dict[str, Any]]:
        lines = self.record.read_bytes().split(b"\n")[:-1] if self.record.exists() else []
        for request in map(orjson.loads, lines):
            if request["path"] == "/":
                yield orjson.loads(request["body"])

    def count_commits(self) -> int:
        """Count the passes that have committed a generation."""
        log = self.folder / "sync.log"
        return log.read_text().count('"committed"') if log.exists() else 0

    @property
    def has_asked(self) -> bool:
        """Whether the runner's own call was answered."""
        log = self.folder / "runner.log"
        return log.exists() and "the prompt call was answered 200" in log.read_text()

    def describe(self) -> str:
        """What the programs have logged, for a failure."""
        logs = sorted(self.folder.glob("*.log"))
        parts = [f"--- {each.name} of {self.uid}\n{each.read_text()[-6000:]}" for each in logs]
        return "\n".join([*parts, f"restored: {self.restored}", f"at the end: {self.marks}"])

    def _list_arguments(self, name: str) -> list[str]:
        if name not in {"hydrate", "sync"}:
            return ["--port", str(self.runner_port)] if name == "runner" else [name]
        arguments = [
            name,
            f"--workspace={self.workspace}",
            f"--state={self.folder / 'mirror-state'}",
            f"--prefix={PREFIX}",
            f"--project-secret={self._store.secret}",
        ]
        if name == "hydrate":
            return [*arguments, f"--pod-uid={self.uid}", "--worker-process=never"]
        return [*arguments, "--interval=0.1", f"--termination-log={self.folder / 'messages/sync'}"]

    def _build_own(self, name: str) -> dict[str, str]:
        log = {"RECONCILE_RUNNER_TERMINATION_LOG": str(self.folder / "messages" / name)}
        return self.build_environment(ON_INTERRUPTED_RUN=self._policy) | log
