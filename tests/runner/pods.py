"""Pods of a session in the suite: a workspace, a home directory, and a runner in them."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from tests.runner.backend import Backend
from tests.runner.client import RunnerClient
from tests.runner.messages_api import MessagesApi
from tests.runner.targets import RunningRunner, Target

SESSION, NAMESPACE, TOKEN = "session-1", "team-a", "3f1c1a0e-a-pod-uid"
STATE_DIR = ".claude"
SHORT = {
    "DOUBLE_CUT_SECONDS": "1",
    "DOUBLE_RETRY_SECONDS": "0.2",
    "DOUBLE_REFUSED_SECONDS": "0.5",
    "DOUBLE_STOP_SECONDS": "12",
    "DOUBLE_PROMPT_DELAY": "0.3",
}
"""Shorter waits of the double; the real one does not read them."""


@dataclass
class Pod:
    """A running pod."""

    runner: RunningRunner
    client: RunnerClient
    workspace: Path
    home: Path


@dataclass
class Pods:
    """Starts pods of one session one after the other, on one workspace.

    Each has a home directory of its own, in which the state directory is that of the workspace.
    """

    target: Target
    folder: Path
    backend: Backend
    model: MessagesApi
    variables: dict[str, str] = field(default_factory=dict)
    _count: int = 0

    @property
    def workspace(self) -> Path:
        """The session's workspace."""
        return self.folder / "workspace"

    @property
    def quiet_s(self) -> float:
        """A time in which the runner would have called again, or answered."""
        return 5.0 if self.target.is_real else 1.0

    @property
    def identifier(self) -> str:
        """The id of the session's conversation, empty before the first run."""
        file = self.workspace / STATE_DIR / "claude_session_ids.json"
        return orjson.loads(file.read_bytes())[SESSION] if file.exists() else ""

    @property
    def conversations(self) -> list[Path]:
        """The files of all conversations."""
        return list((self.workspace / STATE_DIR / "projects").glob("*/*.jsonl"))

    @contextlib.contextmanager
    def running(self, **variables: str) -> Iterator[Pod]:
        """Run a pod with more variables."""
        self._count += 1
        home = self.folder / f"home-{self._count}"
        home.mkdir()
        state = self.workspace / STATE_DIR
        for each in (state, *(self.workspace / name for name in ("artifacts", "repos"))):
            each.mkdir(parents=True, exist_ok=True)
        (home / STATE_DIR).symlink_to(state)
        environment = self._make_environment(home, variables)
        log = self.folder / f"runner-{self._count}.log"
        with self.target.running(environment, log=log) as runner:
            client = RunnerClient(runner.url, TOKEN, SESSION)
            try:
                yield Pod(runner, client, self.workspace, home)
            finally:
                runner.kill()
                client.close()

    def _make_environment(self, home: Path, variables: dict[str, str]) -> dict[str, str]:
        return {
            "AGENTIC_SESSION_NAME": SESSION,
            "AGENTIC_SESSION_NAMESPACE": NAMESPACE,
            "AGUI_TOKEN": TOKEN,
            "ANTHROPIC_API_KEY": "a-key-for-tests",
            "ANTHROPIC_BASE_URL": self.model.url,
            "BACKEND_API_URL": self.backend.url,
            "HOME": str(home),
            "PROJECT_NAME": NAMESPACE,
            "RUNNER_STATE_DIR": STATE_DIR,
            "SESSION_ID": SESSION,
            "WORKSPACE_PATH": str(self.workspace),
            **SHORT,
            **self.variables,
            **variables,
        }
