"""A bridge as a process, next to a runner's double, configured by variables alone."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson

from tests.controlplane.ports import free
from tests.runner.session_files import SessionFiles
from tests.runner.targets import DoubleTarget, RunningRunner

ROOT = Path(__file__).parents[2]
NAMESPACE, SESSION = "team-a", "session-1"
LONGEST_WAIT_S = 30.0


class BridgePod:
    """The folders, ports and variables of one pod; `start` starts its bridge, also again."""

    def __init__(self, folder: Path, uid: str = "pod-1", workspace: Path | None = None) -> None:
        self.folder = folder / uid
        self.uid = uid
        self.workspace = workspace or self.folder / "workspace"
        self.inputs = self.folder / "inputs"
        self.credentials = self.folder / "credentials"
        self.port, self.runner_port = free(2)
        self.process: subprocess.Popen[bytes] | None = None
        self.log = self.folder / "bridge.log"
        for each in (self.workspace, self.inputs, self.credentials, self.folder / "state"):
            each.mkdir(parents=True, exist_ok=True)
        (self.folder / "podinfo").mkdir()
        (self.folder / "podinfo/uid").write_text(uid)
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False)

    def declare(self, **inputs: str) -> None:
        """Replace the mounted inputs, as the kubelet does."""
        version = self.inputs / f"..{time.monotonic_ns()}"
        version.mkdir()
        for name, text in inputs.items():
            (version / name).write_text(text)
        link = self.inputs / "..data_tmp"
        link.symlink_to(version.name)
        link.rename(self.inputs / "..data")

    def build_environment(self, **variables: str) -> dict[str, str]:
        """Return the variables of the bridge's container."""
        values = {
            "WORKSPACE": self.workspace,
            "INPUTS": self.inputs,
            "STATE": self.folder / "state",
            "CREDENTIALS": self.credentials,
            "TERMINATION_LOG": self.folder / "termination-log",
            "POD_INFO": self.folder / "podinfo",
            "NAMESPACE": NAMESPACE,
            "SESSION": SESSION,
            "PORT": self.port,
            "RUNNER_PORT": self.runner_port,
            **variables,
        }
        own = {f"RECONCILE_RUNNER_{name}": str(value) for name, value in values.items()}
        return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **own}

    def start(self, **variables: str) -> subprocess.Popen[bytes]:
        """Start the bridge; variables are given without their prefix."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "reconcile.runner", "bridge"],
                env=self.build_environment(**variables),
                stderr=log,
            )
        return self.process

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal to the bridge, and return its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait for the end of the bridge, and return its exit code."""
        assert self.process is not None
        return self.process.wait(LONGEST_WAIT_S)

    def build_runner_environment(self, **variables: str) -> dict[str, str]:
        """Return the variables of the double's container; makes its home directory."""
        home, state = self.folder / "home", self.workspace / ".claude"
        home.mkdir(exist_ok=True)
        state.mkdir(exist_ok=True)
        with contextlib.suppress(FileExistsError):
            (home / ".claude").symlink_to(state)  # In a pod, the same directory is mounted twice.
        return {
            "AGENTIC_SESSION_NAMESPACE": NAMESPACE,
            "AGUI_TOKEN": self.uid,
            "ANTHROPIC_API_KEY": "a-key-for-tests",
            "BACKEND_API_URL": f"http://127.0.0.1:{self.port}/api",
            "DOUBLE_PROMPT_DELAY": "0.1",
            "DOUBLE_RETRY_SECONDS": "0.2",
            "DOUBLE_REFUSED_SECONDS": "0.2",
            "HOME": str(home),
            "PROJECT_NAME": NAMESPACE,
            "SESSION_ID": SESSION,
            "WORKSPACE_PATH": str(self.workspace),
            **variables,
        }

    @contextlib.contextmanager
    def running_runner(self, **variables: str) -> Iterator[RunningRunner]:
        """Run the double on this pod's workspace."""
        environment = self.build_runner_environment(**variables)
        log = self.folder / "runner.log"
        with DoubleTarget().running(environment, log=log, port=self.runner_port) as runner:
            yield runner

    def close(self) -> None:
        """Kill the bridge if it is still running."""
        self.http.close()
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def get(self, path: str) -> httpx.Response | None:
        """Return an answer of the bridge; None if it does not listen."""
        try:
            return self.http.get(path)
        except httpx.HTTPError:
            return None

    def is_ready(self) -> bool:
        """Whether the readiness probe passes."""
        answer = self.get("/readyz")
        return answer is not None and answer.status_code == 200

    def send(self, text: str) -> httpx.Response:
        """Ask for a run, as a person does."""
        path = f"/api/projects/{NAMESPACE}/agentic-sessions/{SESSION}/agui/run"
        return self.http.post(path, json={"messages": [{"role": "user", "content": text}]})

    @property
    def termination(self) -> dict[str, Any]:
        """The termination message."""
        path = self.folder / "termination-log"
        return orjson.loads(path.read_bytes()) if path.exists() else {}

    @property
    def files(self) -> SessionFiles:
        """What the bridge has written into the workspace."""
        return SessionFiles(self.workspace)

    @property
    def marks(self) -> list[dict[str, Any]]:
        """The marks of delivered prompts."""
        return self.files.marks

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events that were written."""
        return self.files.events

    @property
    def answers(self) -> list[str]:
        """What the agent said."""
        return self.files.answers

    def read_metric(self, name: str) -> float:
        """Return a value of /metrics, or -1."""
        answer = self.get("/metrics")
        lines = answer.text.splitlines() if answer is not None else []
        return next((float(each.split()[-1]) for each in lines if each.startswith(f"{name} ")), -1)


def until(condition: Callable[[], Any]) -> Any:
    """Wait until something is true, and return it; fails after 30 s."""
    deadline = time.monotonic() + LONGEST_WAIT_S
    while not (value := condition()):
        assert time.monotonic() < deadline, "what the test waits for does not happen"
        time.sleep(0.02)
    return value
