"""A worker process restores one half: the tree is the same, and a kill of either is an error."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from bench.trees import w2
from reconcile.mirror.exit_codes import MirrorExitCode
from reconcile.mirror.index import load_index
from reconcile.mirror.workspace.excludes import Excludes
from reconcile.mirror.workspace.walk import walk
from tests.mirror.compare_trees import differences
from tests.mirror.faults.faulty_session import once
from tests.s3.faults import PASS, Answer, Meanwhile, When

LARGE = 20 << 20


@pytest.fixture(scope="module")
def small_workspace(tmp_path_factory):
    """Its clones take hundreds of `git` processes, so tests copy it."""
    root = tmp_path_factory.mktemp("small") / "workspace"
    root.mkdir()
    w2(root, 0.01)
    return root


@pytest.fixture
def stored(session, small_workspace):
    """A pod with a small workspace of every kind, whose packs are several."""
    pod = session.pod("one")
    pod.hydrate()
    for name in ("first", "second"):
        subprocess.run(["cp", "-a", small_workspace, pod.root / name], check=True)
        pod.sync()
    (pod.root / "large").write_bytes(os.urandom(LARGE))
    with (pod.root / "sparse").open("wb") as sparse:
        sparse.truncate(LARGE)
    pod.sync()
    return pod


def _worker_of(process):
    tasks = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(pid) for pid in tasks.read_text().split()]


def test_the_tree_is_the_same_with_and_without_a_worker_process(session, stored):
    for policy in ("always", "never"):
        pod = session.pod(policy)
        ended = session.run_process("hydrate", pod, f"--worker-process={policy}")
        assert ended.code == MirrorExitCode.OK
        assert differences(stored.root, pod.root) == []
        assert ended.events[-1]["bytes"] > 2 * LARGE
        index = load_index(pod.state)
        assert index is not None
        assert index.matches(walk(pod.root, Excludes(()))[0])


def test_a_killed_worker_process_fails_the_pod_and_the_next_start_succeeds(session, stored):
    pod, killed = session.pod("two"), []

    def kill():
        for pid in _worker_of(running.process):
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    # The first objects that are requested are large ones, by the worker process.
    session.front.plan = once(Meanwhile(When.BEFORE, kill), of="/blobs/")
    with session.start("hydrate", pod, "--worker-process=always") as running:
        ended = running.ended()
    assert len(killed) == 1
    assert ended.code == MirrorExitCode.WORKSPACE
    assert "worker process" in ended.events[-1]["error"]
    assert session.run_process("hydrate", pod, "--worker-process=always").code == MirrorExitCode.OK
    assert differences(stored.root, pod.root) == []


def test_requests_of_either_process_are_retried_and_logged(session, stored):
    refused = []

    def plan(asked):
        if "/packs/" in asked.path and asked.path not in refused:
            refused.append(asked.path)
            return Answer(503, "SlowDown")
        return PASS

    session.front.plan = plan
    pod = session.pod("three")
    ended = session.run_process("hydrate", pod, "--worker-process=always")
    assert ended.code == MirrorExitCode.OK
    assert len(refused) > 1
    assert ended.names().count("store request retried") == len(refused)
    assert differences(stored.root, pod.root) == []
