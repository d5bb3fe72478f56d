"""What the program imports: it must start quickly, most of all for a pass without changes."""

import subprocess
import sys

import pytest

from bench.mirror.server import running
from bench.mirror.tools import Ours, Place

RUN = """
import sys
from reconcile.mirror.cli.main import run_mirror_cli
from reconcile.runtime.settings import read_process_settings
code = run_mirror_cli(sys.argv[1:], read_process_settings())
print(code, *sys.modules)
"""
CLUSTER = {"pykube", "jinja2", "deepdiff", "requests", "ruamel", "reconcile.core"}
STORE = {"minio", "urllib3", "certifi", "prometheus_client"}


def modules_after(*arguments):
    """Run the program in a fresh interpreter; return its exit code and what was imported."""
    command = [sys.executable, "-c", RUN, *arguments]
    completed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    code, *names = completed.stdout.splitlines()[-1].split()
    return code, set(names)


@pytest.fixture
def first_steps(tmp_path):
    """The commands that store a workspace for the first time, while their server runs."""
    tree, notes = tmp_path / "tree", tmp_path / "notes"
    tree.mkdir()
    notes.mkdir()
    (tree / "file").write_bytes(b"content")
    ours = Ours()
    with running("memory", tmp_path) as server:
        place = Place(server.access, server.bucket(), notes)
        yield [step.command for step in (*ours.prepare(place, tree), ours.up(place, tree))]


@pytest.fixture
def committed(first_steps):
    """A workspace that is stored already; returns the command for one more pass over it."""
    for command in first_steps:
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    return first_steps[-1][1:]


@pytest.mark.parametrize("command", ["hydrate", "sync", "prestop", "status"])
def test_help_imports_neither_the_cluster_nor_the_store(command):
    _, names = modules_after(command, "--help")
    assert not names & (CLUSTER | STORE)


def test_sync_and_hydrate_import_nothing_of_the_cluster():
    _, names = modules_after("sync", "--once", "--workspace=/nowhere", "--prefix=ns/session")
    everything = (
        "import reconcile.mirror.sidecar.sync, reconcile.mirror.sidecar.hydrate, "
        "reconcile.mirror.store.factory, sys"
    )
    completed = subprocess.run(
        [sys.executable, "-c", f"{everything}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert not (names | set(completed.stdout.split())) & CLUSTER


def test_a_pass_without_changes_imports_nothing_of_the_store(committed):
    code, names = modules_after(*committed)
    assert code == "0"
    assert "reconcile.mirror.backup.syncer" in names
    assert not names & (CLUSTER | STORE)


def test_a_first_pass_imports_the_store_and_nothing_of_the_cluster(first_steps):
    for command in first_steps:
        code, names = modules_after(*command[1:])
        assert code == "0"
        assert {"urllib3", "minio"} <= names
        assert not names & CLUSTER
