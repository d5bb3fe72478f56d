"""On a real server: collections beside a running `sync`, again and again."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from reconcile.mirror.exit_codes import MirrorExitCode
from reconcile.mirror.history.gc import GarbageCollector, GcPolicy
from reconcile.mirror.history.generations import read_generation_index
from reconcile.mirror.snapshot.retention import RetentionPolicy
from reconcile.runtime.clock import SystemClock
from tests.mirror.history.conftest import Desk
from tests.mirror.mirror_pod import listing

PROGRAM = str(Path(sys.executable).parent / "reconcile-mirror")
ROUNDS = 12


@pytest.fixture(params=["moto", pytest.param("s3", marks=pytest.mark.s3)])
def place(request, tmp_path, capsys):
    return Desk(request.getfixturevalue(f"{request.param}_server"), tmp_path, capsys)


def _pod(desk, *words):
    folder = desk.folder / "pod"
    (folder / "workspace").mkdir(parents=True, exist_ok=True)
    return [
        PROGRAM,
        words[0],
        f"--workspace={folder / 'workspace'}",
        f"--state={folder / 'state'}",
        "--prefix=ns/s",
        f"--project-secret={desk.secret}",
        *words[1:],
    ]


def test_collections_beside_a_running_sync_take_nothing_that_counts(place, tmp_path):
    """Without any grace: only what is needed, beyond HEAD or announced keeps things alive."""
    subprocess.run(_pod(place, "hydrate", "--pod-uid=u"), check=True, capture_output=True)
    root = place.folder / "pod" / "workspace"
    store = place.store()
    command = _pod(place, "sync", "--interval=0.1", f"--termination-log={tmp_path / 'log'}")
    deleted = []
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        committed = threading.Semaphore(0)

        def follow():
            for line in process.stderr:
                if '"committed"' in line:
                    committed.release()

        threading.Thread(target=follow, daemon=True).start()
        for number in range(ROUNDS):
            (root / "changing").write_bytes(b"%d" % number * 1000)
            (root / f"new-{number}").write_bytes(b"%d" % number * 3_000_000)
            (root / f"new-{number - 2}").unlink(missing_ok=True)
            assert committed.acquire(timeout=60)
            rules = GcPolicy(RetentionPolicy(2, 0, 0), grace=0.0, skew=0.0)
            deleted += GarbageCollector(store, rules, SystemClock()).collect().deleted
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == MirrorExitCode.OK
    assert len(deleted) > ROUNDS
    assert place.run("verify") == MirrorExitCode.OK
    assert place.run("restore", tmp_path / "back") == MirrorExitCode.OK
    assert listing(tmp_path / "back") == listing(root)
    assert len(read_generation_index(store).generations()) < ROUNDS


def test_a_collection_from_the_command_line_marks_and_tells(place):
    subprocess.run(_pod(place, "hydrate", "--pod-uid=u"), check=True, capture_output=True)
    root = place.folder / "pod" / "workspace"
    for number in range(3):
        (root / "file").write_bytes(b"%d" % number * 5_000_000)
        subprocess.run(_pod(place, "sync", "--once"), check=True, capture_output=True)
    keep = ("--keep-last=1", "--keep-hourly=0", "--keep-daily=0")
    assert place.run("gc", *keep, "--grace=1h", "--delete") == MirrorExitCode.OK
    assert "deleted 0 objects" in place.said
    assert [each.key for each in place.store().list("gc/")]
    assert place.run("gc", *keep, "-o", "json") == MirrorExitCode.OK
    assert '"deleting": false' in place.said
    assert place.run("verify", "--all") == MirrorExitCode.OK
    assert place.run("gc", "--grace=59m") == MirrorExitCode.SETTINGS
    assert place.run("gc", "--keep-last=0") == MirrorExitCode.USAGE
