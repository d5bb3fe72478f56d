"""How many files of the package a run executes: what an engineer reads to follow it.

A file counts if one of its functions runs; the code of a module's import does not count.
`pytest -s` prints the files.
"""

import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

import reconcile
from reconcile.cli.exit_codes import ExitCode
from tests.cli.trees import Tree
from tests.mirror.memory_store import MemoryStore
from tests.mirror.mirror_pod import MirrorPod

PACKAGE = str(Path(reconcile.__file__).parent) + "/"
EMBEDDED = ("adapters/embedded/", "core/defaulting.py")
"""What only the embedded API server executes in an apply: itself, and the defaults of a server."""

MAX_HYDRATE = 28
MAX_APPLY = 76


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
