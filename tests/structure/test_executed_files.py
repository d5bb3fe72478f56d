"""How many files of the package a run executes: what an engineer reads to follow it.

A file counts if one of its functions runs; the code of a module's import does not count.
`pytest -s` prints the files.
"""

import contextlib
import os
import signal
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

import reconcile
from reconcile.cli.exit_codes import ExitCode
from reconcile.runner.cli import run_runner_cli
from tests.cli.trees import Tree
from tests.controlplane import waiting
from tests.controlplane.ports import free
from tests.mirror.memory_store import MemoryStore
from tests.mirror.mirror_pod import MirrorPod

PACKAGE = str(Path(reconcile.__file__).parent) + "/"
EMBEDDED = ("adapters/embedded/", "core/defaulting.py")
"""What only the embedded API server executes in an apply: itself, and the defaults of a server."""

MAX_HYDRATE = 28
MAX_APPLY = 76
MAX_PREPARE = 18
MAX_BRIDGE = 33


class ExecutedFiles:
    """The files below the package whose functions were called, as paths below it."""

    def __init__(self):
        self.paths = set()

    def record(self, frame, event, _argument):
        code = frame.f_code
        if event == "call" and code.co_name != "<module>" and code.co_filename.startswith(PACKAGE):
            self.paths.add(code.co_filename.removeprefix(PACKAGE))

    def print(self, title):
        print(f"\n{title} executes {len(self.paths)} files:", *sorted(self.paths), sep="\n  ")


@contextmanager
def tracing():
    """Record the calls of this thread, and of threads that start meanwhile."""
    executed, before = ExecutedFiles(), sys.getprofile()
    threading.setprofile(executed.record)
    sys.setprofile(executed.record)
    try:
        yield executed
    finally:
        sys.setprofile(before)
        threading.setprofile(None)


@pytest.fixture
def stored(tmp_path):
    """A store with a session of one pod: packed and large files, links and directories."""
    store = MemoryStore()
    first = MirrorPod(tmp_path, "one", store)
    first.hydrate()
    first.write("docs/readme.md", b"text")
    first.write("large.bin", b"x" * (9 << 20))
    (first.root / "link").symlink_to("docs")
    first.sync()
    return store


def test_hydrate_executes_few_files(tmp_path, stored):
    pod = MirrorPod(tmp_path, "two", stored)
    with tracing() as executed:
        pod.hydrate()
    executed.print("hydrate")
    assert len(executed.paths) <= MAX_HYDRATE


@pytest.fixture
def session(tmp_path):
    """The directories that a pod mounts for a session with a prompt, and its two programs."""
    for name in ("workspace", "inputs", "state", "credentials", "pod-info"):
        (tmp_path / name).mkdir()
    (tmp_path / "inputs/INITIAL_PROMPT").write_text("Fix the login.")
    (tmp_path / "pod-info/uid").write_text("uid-of-the-pod")
    names = ("workspace", "inputs", "state", "credentials")
    return [
        *(f"--{name}={tmp_path / name}" for name in names),
        f"--termination-log={tmp_path / 'termination'}",
    ]


def test_prepare_executes_few_files(session):
    with tracing() as executed:
        assert run_runner_cli(["prepare", *session]) == 0
    executed.print("prepare")
    assert len(executed.paths) <= MAX_PREPARE


def test_bridge_executes_few_files(session, tmp_path):
    """A bridge whose runner is not there yet answers for a credential, a probe and its metrics."""
    port, runner_port = free(2)
    api = "api/projects/team-a/agentic-sessions/fix-login"

    def ask():
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
                waiting.until("the bridge", lambda: _answers(client, "readyz"))
                assert client.get(f"{api}/credentials/github").status_code == 404
                assert client.get("metrics").status_code == 200
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    options = ("--namespace=team-a", "--session=fix-login", f"--pod-info={tmp_path / 'pod-info'}")
    ports = (f"--port={port}", f"--runner-port={runner_port}")
    asking = threading.Thread(target=ask)
    with tracing() as executed:
        asking.start()
        assert run_runner_cli(["bridge", *session, *options, *ports]) == 143
    asking.join()
    executed.print("bridge")
    assert len(executed.paths) <= MAX_BRIDGE


def _answers(client, path):
    with contextlib.suppress(httpx.TransportError):
        return client.get(path).status_code in {200, 503}
    return False


def test_apply_of_one_changed_session_executes_few_files(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    tree = Tree(tmp_path, capsys).add("one").add("two")
    assert tree.go("apply").code == ExitCode.OK
    tree.add("two", "initialPrompt: other work")
    with tracing() as executed:
        assert tree.go("apply").code == ExitCode.OK
    executed.paths = {path for path in executed.paths if not path.startswith(EMBEDDED)}
    executed.print("apply, outside of the embedded cluster,")
    assert len(executed.paths) <= MAX_APPLY
