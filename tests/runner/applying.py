"""A session whose inputs change: a double of the runner, and what applies them."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from reconcile.runner.changes import ChangeApplier, ChangeOptions
from reconcile.runner.client import RunnerClient
from reconcile.runner.credentials import Credentials
from reconcile.runner.inputs import Inputs
from reconcile.runner.masking import Masker
from reconcile.runner.runs import Runs, RunsOptions
from reconcile.runtime.backoff import Backoff
from reconcile.runtime.logging import JsonLogger
from tests.runner.session_files import SessionFiles
from tests.runner.targets import DoubleTarget, RunningRunner
from tests.runner.work import git

SESSION, TOKEN = "session-1", "a-pod-uid"
PATIENCE_S = 60.0


class Origin:
    """A repository that can be cloned."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = folder.as_uri()
        folder.mkdir(parents=True)
        git(folder, "init", "-q", "-b", "trunk")
        self.commit("README", "first")

    def commit(self, file: str, text: str) -> None:
        """Commit a file."""
        (self.folder / file).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / file).write_text(text)
        git(self.folder, "add", ".")
        git(self.folder, "commit", "-q", "-m", file)


@dataclass
class NoEvents:
    """Keeps no events."""

    def append(self, fields: Any) -> None:
        """Drop it."""

    async def flush(self) -> None:
        """Write nothing."""


@dataclass
class Applying:
    """A session: `top` has its workspace, its mounted inputs and what lives as long as its pod."""

    top: Path
    runner: RunningRunner
    credentials: Credentials
    more: dict[str, Any] = field(default_factory=dict)
    delivered: list[Inputs] = field(default_factory=list)
    version: int = 0

    @property
    def workspace(self) -> Path:
        """The session's workspace."""
        return self.top / "workspace"

    @property
    def inputs(self) -> Path:
        """The mounted inputs."""
        return self.top / "inputs"

    @property
    def items(self) -> dict[str, dict[str, str]]:
        """The items of `.session/inputs.json` by kind and name."""
        return SessionFiles(self.workspace).changes

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The changes that the runner was asked for."""
        file = self.top / "record"
        lines = file.read_bytes().splitlines() if file.exists() else []
        return [each for each in map(orjson.loads, lines) if each["path"] != "/"]

    def change(self, **values: Any) -> None:
        """Replace all inputs at once, as the kubelet does; `repos` is a list of items."""
        self.version += 1
        folder = self.inputs / f"..{self.version}"
        folder.mkdir(parents=True)
        texts = {"REPOS_JSON": orjson.dumps(values.pop("repos", [])).decode(), **values}
        for name, text in texts.items():
            (folder / name).write_text(text)
        link = self.inputs / "..data_tmp"
        link.symlink_to(folder.name)
        link.rename(self.inputs / "..data")

    @contextlib.asynccontextmanager
    async def running(self, pod_uid: str = TOKEN) -> AsyncIterator[Runs]:
        """Apply changes until the end of the block."""
        client = RunnerClient(int(self.runner.url.rpartition(":")[2]), TOKEN, SESSION)
        logger = JsonLogger(time.time_ns)
        runs = Runs(client, RunsOptions(logger=logger, events=NoEvents()))
        masker = Masker(self.credentials.list_secrets())
        applier = ChangeApplier(self._build_options(masker, pod_uid), client, runs, self.deliver)
        tasks = [asyncio.create_task(each) for each in (runs.run(), applier.run())]
        try:
            # The first look takes the inputs for those that the runner was started with.
            await self.until((self.top / "state/applied-inputs.json").exists)
            yield runs
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            await client.close()
            assert all(isinstance(each, asyncio.CancelledError) for each in ends), ends

    async def until(self, done: Callable[[], bool]) -> None:
        """Wait until a condition is true."""
        async with asyncio.timeout(PATIENCE_S):
            while not done():
                await asyncio.sleep(0.02)

    async def until_item(self, key: str, state: str, *words: str) -> None:
        """Wait until an item has a state, and a reason with these words."""

        def has_state() -> bool:
            item = self.items.get(key, {})
            return item.get("state") == state and all(each in item["reason"] for each in words)

        try:
            await self.until(has_state)
        except TimeoutError:
            raise AssertionError(f"{key} is not {state}: {self.items}") from None

    def clone(self, origin: Origin, name: str = "shop") -> Path:
        """Clone a repository, as `prepare` does, and return its folder."""
        folder = self.workspace / "repos" / name
        git(self.top, "clone", "-q", origin.url, str(folder))
        return folder

    async def deliver(self, inputs: Inputs) -> None:
        """Take a prompt for delivered."""
        self.delivered.append(inputs)

    def _build_options(self, masker: Masker, pod_uid: str) -> ChangeOptions:
        return ChangeOptions(
            logger=JsonLogger(time.time_ns),
            mask=masker.mask,
            inputs=self.inputs,
            workspace=self.workspace,
            state=self.top / "state",
            pod_uid=pod_uid,
            credentials=self.credentials,
            poll_seconds=0.05,
            backoff=Backoff(0.2, 1.0),
            **{"allow_files": True, **self.more},
        )


@contextlib.contextmanager
def applying(top: Path, **variables: str) -> Iterator[Applying]:
    """Run a double with more variables."""
    for name in ("workspace/repos", "workspace/workflows", "inputs", "state", "home", "secrets"):
        (top / name).mkdir(parents=True)
    environment = {
        "AGUI_TOKEN": TOKEN,
        "ANTHROPIC_API_KEY": "a-key-for-tests",
        "DOUBLE_CUT_SECONDS": "0.5",
        "DOUBLE_RECORD": str(top / "record"),
        "HOME": str(top / "home"),
        "SESSION_ID": SESSION,
        "WORKSPACE_PATH": str(top / "workspace"),
        **variables,
    }
    with DoubleTarget().running(environment, log=top / "runner.log") as runner:
        yield Applying(top, runner, Credentials(top / "secrets"))
