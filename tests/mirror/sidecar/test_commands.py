"""`hydrate`, `sync`, `prestop` and `status` in this process, as their containers run them."""

import contextlib
import json
import os
import signal
import socket
import threading
import time

import pytest

from reconcile.mirror.cli.main import run_mirror_cli
from reconcile.mirror.exit_codes import MirrorExitCode
from reconcile.mirror.head import read_head
from reconcile.mirror.sidecar import hydrate
from reconcile.mirror.snapshot.keys import CHUNK
from reconcile.runtime.settings import ProcessSettings
from tests.mirror.history.conftest import CommandLine
from tests.mirror.mirror_pod import listing
from tests.mirror.restore.worker_thread import WorkerThreads


class Pods(CommandLine):
    """Pods of one session: each has a workspace and a state directory below the folder."""

    def root(self, pod):
        root = self.folder / pod / "workspace"
        root.mkdir(parents=True, exist_ok=True)
        return root

    def run_in(self, pod, verb, *more):
        state = self.folder / pod / "state"
        return self.run(verb, f"--workspace={self.root(pod)}", f"--state={state}", *more)

    def hydrate(self, pod, *more):
        identity = (f"--pod-uid=uid-{pod}", f"--pod-name={pod}", "--worker-process=never")
        return self.run_in(pod, "hydrate", *identity, *more)

    def events(self):
        """The events of the last command, with their fields."""
        return {event["event"]: event for event in map(json.loads, self.errors.splitlines())}


@pytest.fixture
def pods(moto_server, tmp_path, capsys):
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield Pods(moto_server, tmp_path, capsys)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def port():
    """A port that is free now; below those that the system assigns by itself."""
    for number in range(20_000 + os.getpid() % 5_000, 32_000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", number))
            return number
    raise AssertionError("no port is free")


def terminate_when(condition):
    """Send SIGTERM to this process once its handler is a `sync`'s, and the condition is met."""

    def wait():
        while signal.getsignal(signal.SIGTERM) in {signal.SIG_DFL, before} or not condition():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    threading.Thread(target=wait, daemon=True).start()


def test_what_a_pod_stores_is_restored_in_the_next(pods, port):
    assert pods.hydrate("one", f"--port={port}") == MirrorExitCode.OK
    (pods.root("one") / "docs").mkdir()
    (pods.root("one") / "docs/a").write_bytes(b"a" * 100)
    assert pods.run_in("one", "sync", "--once") == MirrorExitCode.OK
    assert pods.events()["committed"]["generation"] == 1
    assert pods.run_in("one", "sync", "--once") == MirrorExitCode.OK
    assert "nothing new" in pods.events()
    assert pods.hydrate("two", "--bandwidth=100M") == MirrorExitCode.OK
    assert listing(pods.root("two")) == listing(pods.root("one"))


def test_hydrate_logs_its_pod_and_the_record_of_its_session(pods):
    assert pods.hydrate("one", "--record-uid=of-the-record") == MirrorExitCode.OK
    restored = pods.events()["restored"]
    assert (restored["pod"], restored["record"]) == ("uid-one", "of-the-record")
    assert pods.hydrate("one") == MirrorExitCode.OK
    assert pods.events()["kept"]["record"] is None


def test_sync_warns_of_patterns_that_would_exclude_what_is_always_stored(pods):
    assert pods.hydrate("one") == MirrorExitCode.OK
    folders = (".session", ".gemini/tmp", ".claude")
    for folder in folders:
        (pods.root("one") / folder).mkdir(parents=True)
    patterns = ("--exclude=.session/", "--exclude=*.log", "--exclude=.claude")
    options = ("--once", "--runner-state-dir=.gemini", *patterns)
    assert pods.run_in("one", "sync", *options) == MirrorExitCode.OK
    assert pods.events()["exclude pattern ignored"]["pattern"] == ".session/"
    assert pods.hydrate("two") == MirrorExitCode.OK
    assert [(pods.root("two") / folder).exists() for folder in folders] == [True, True, False]


def test_a_worker_process_restores_its_part(pods, monkeypatch):
    assert pods.hydrate("one") == MirrorExitCode.OK
    (pods.root("one") / "docs").mkdir()
    (pods.root("one") / "docs/a").write_bytes(b"a" * 100)
    (pods.root("one") / "large").write_bytes(b"l" * (CHUNK + 1))
    (pods.root("one") / "middle").write_bytes(b"m" * (CHUNK - 1))
    assert pods.run_in("one", "sync", "--once") == MirrorExitCode.OK
    with contextlib.closing(WorkerThreads(monkeypatch)) as threads:
        monkeypatch.setattr(hydrate, "fork_worker", threads.start)
        assert pods.hydrate("two") == MirrorExitCode.OK
    assert listing(pods.root("two")) == listing(pods.root("one"))
    assert pods.run_in("two", "sync", "--once") == MirrorExitCode.OK
    assert "nothing new" in pods.events()


def test_sync_stores_changes_until_sigterm_and_flushes_the_last_ones(pods, port, tmp_path):
    assert pods.hydrate("one") == MirrorExitCode.OK
    (pods.root("one") / "a").write_bytes(b"a")
    terminate_when(lambda: read_head(pods.store()).head.generation.number > 0)
    log = tmp_path / "termination"
    options = (f"--port={port}", f"--termination-log={log}", "--interval=0.1", "--runner-seconds=0")
    assert pods.run_in("one", "sync", *options) == MirrorExitCode.OK
    assert json.loads(log.read_text())["outcome"] == "flushed"
    assert {"sync begins", "end asked for", "ended"} <= pods.events().keys()
    assert pods.hydrate("two") == MirrorExitCode.OK
    assert listing(pods.root("two")) == listing(pods.root("one"))


def test_sync_ends_as_fenced_when_another_pod_has_claimed_the_workspace(pods, tmp_path):
    assert pods.hydrate("one") == MirrorExitCode.OK
    assert pods.hydrate("two") == MirrorExitCode.OK
    log = tmp_path / "termination"
    assert pods.run_in("one", "sync", f"--termination-log={log}") == MirrorExitCode.FENCED
    assert json.loads(log.read_text())["outcome"] == "fenced"
    (pods.root("one") / "a").write_bytes(b"a")
    assert pods.run_in("one", "sync", "--once") == MirrorExitCode.FENCED


def test_sync_needs_a_hydrated_workspace(pods):
    assert pods.run_in("one", "sync", "--once") == MirrorExitCode.WORKSPACE


def test_hydrate_reports_a_store_that_refuses_the_keys(pods):
    (pods.secret / "S3_BUCKET").write_text("another-bucket")
    assert pods.hydrate("one", "--retry-timeout=0.1") == MirrorExitCode.STORE
    assert "another-bucket" in pods.events()["failed"]["error"]


def test_hydrate_keeps_a_workspace_that_is_as_this_pod_left_it(pods):
    assert pods.hydrate("one") == MirrorExitCode.OK
    (pods.root("one") / "a").write_bytes(b"a")
    assert pods.run_in("one", "sync", "--once") == MirrorExitCode.OK
    assert pods.hydrate("one") == MirrorExitCode.OK
    assert (pods.root("one") / "a").read_bytes() == b"a"


def test_prestop_makes_sync_drain_and_status_needs_a_running_sync(pods, port, capsys):
    assert pods.hydrate("one") == MirrorExitCode.OK
    settings = ProcessSettings(no_color=True, environ={})
    state = f"--state={pods.folder / 'one' / 'state'}"
    assert run_mirror_cli(["prestop", state], settings) == MirrorExitCode.OK
    assert run_mirror_cli(["status", f"--port={port}"], settings) != MirrorExitCode.OK
    assert "Traceback" not in capsys.readouterr().err
