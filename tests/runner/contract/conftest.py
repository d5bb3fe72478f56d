"""A session for each test, on the runner under test."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runner import backend as backends
from tests.runner import messages_api
from tests.runner.backend import Backend
from tests.runner.messages_api import MessagesApi
from tests.runner.pods import Pod, Pods
from tests.runner.targets import Target, find_target


@pytest.fixture(scope="session")
def target() -> Target:
    return find_target()


@pytest.fixture
def backend() -> Iterator[Backend]:
    with backends.running() as listener:
        yield listener


@pytest.fixture
def model() -> Iterator[MessagesApi]:
    with messages_api.running() as api:
        yield api


@pytest.fixture
def pods(target: Target, tmp_path: Path, backend: Backend, model: MessagesApi) -> Pods:
    return Pods(target, tmp_path, backend, model)


@pytest.fixture
def pod(pods: Pods) -> Iterator[Pod]:
    with pods.running() as running:
        yield running


class Origin:
    """A repository that can be cloned."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = folder.as_uri()
        folder.mkdir(parents=True)
        self.git("init", "-q", "-b", "trunk")
        self.commit("README", "first")

    def git(self, *arguments: str) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.invalid")
        command = ["git", *identity, *arguments]
        return subprocess.run(
            command, cwd=self.folder, check=True, capture_output=True, text=True
        ).stdout.strip()

    def commit(self, file: str, text: str) -> None:
        (self.folder / file).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / file).write_text(text)
        self.git("add", ".")
        self.git("commit", "-q", "-m", file)


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin(tmp_path / "origins" / "shop.git")


@pytest.fixture
def flow(tmp_path: Path) -> Origin:
    """A repository with a workflow."""
    made = Origin(tmp_path / "origins" / "flow.git")
    made.commit(".ambient/ambient.json", '{"name": "flow", "startupPrompt": "Greet."}')
    made.git("branch", "main")
    return made
