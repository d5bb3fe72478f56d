"""On a real server: repeated collections during a running `sync`."""

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
from tests.mirror.history.conftest import CommandLine
from tests.mirror.mirror_pod import listing

PROGRAM = str(Path(sys.executable).parent / "reconcile-mirror")
ROUNDS = 12


@pytest.fixture
def cli(any_server, tmp_path, capsys):
    return CommandLine(any_server, tmp_path, capsys)


def _pod(cli, *words):
    folder = cli.folder / "pod"
    (folder / "workspace").mkdir(parents=True, exist_ok=True)
    return [
        PROGRAM,
        words[0],
        f"--workspace={folder / 'workspace'}",
        f"--state={folder / 'state'}",
        "--prefix=ns/s",
        f"--project-secret={cli.secret}",
        *words[1:],
    ]


def test_collections_during_a_running_sync_delete_nothing_needed(cli, tmp_path):
    """Without a grace period: objects are kept only because something needs or announces them."""
    subprocess.run(_pod(cli, "hydrate", "--pod-uid=u"), check=True, capture_output=True)
    root = cli.folder / "pod" / "workspace"
    store = cli.store()
    command = _pod(cli, "sync", "--interval=0.1", f"--termination-log={tmp_path / 'log'}")
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
    assert cli.run("verify") == MirrorExitCode.OK
    assert cli.run("restore", tmp_path / "back") == MirrorExitCode.OK
    assert listing(tmp_path / "back") == listing(root)
    assert len(read_generation_index(store).generations()) < ROUNDS


def test_a_collection_from_the_command_line_marks_and_reports(cli):
    subprocess.run(_pod(cli, "hydrate", "--pod-uid=u"), check=True, capture_output=True)
    root = cli.folder / "pod" / "workspace"
    for number in range(3):
        (root / "file").write_bytes(b"%d" % number * 5_000_000)
        subprocess.run(_pod(cli, "sync", "--once"), check=True, capture_output=True)
    keep = ("--keep-last=1", "--keep-hourly=0", "--keep-daily=0")
    assert cli.run("gc", *keep, "--grace=1h", "--delete") == MirrorExitCode.OK
    assert "deleted 0 objects" in cli.output
    assert [each.key for each in cli.store().list("gc/")]
    assert cli.run("gc", *keep, "-o", "json") == MirrorExitCode.OK
    assert '"deleting": false' in cli.output
    assert cli.run("verify", "--all") == MirrorExitCode.OK
    assert cli.run("gc", "--grace=59m") == MirrorExitCode.SETTINGS
    assert cli.run("gc", "--keep-last=0") == MirrorExitCode.USAGE
