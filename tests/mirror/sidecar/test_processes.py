"""The real program as processes, before a server: signals, kills, two writers at once."""

import contextlib
import json
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from reconcile.mirror.concurrency import Deadline, WorkerPool
from reconcile.mirror.exit_codes import MirrorExitCode
from reconcile.mirror.head import read_cached_tree, read_head
from reconcile.mirror.local_state import StateDirectory
from reconcile.mirror.restore.downloader import Downloader
from reconcile.mirror.restore.tasks import plan_tasks, run_tasks
from reconcile.mirror.store.retry import RetryingStore, RetryPolicy
from reconcile.mirror.store.s3 import S3Store
from reconcile.mirror.workspace.restorer import Restorer
from reconcile.runtime.clock import SystemClock
from tests.clocks import FakeClock
from tests.mirror.mirror_pod import listing
from tests.s3 import buckets

PROGRAM = Path(sys.executable).parent / "reconcile-mirror"
KILLS = 12


class Site:
    """A bucket, and pods before it that are processes."""

    def __init__(self, server, folder):
        self.server = server
        self.folder = folder
        self.bucket = buckets.fresh(server)
        self.secret = folder / "secret"
        self.secret.mkdir()
        values = {
            "STORAGE_MODE": "custom",
            "S3_ENDPOINT": server.url,
            "S3_BUCKET": self.bucket,
            "S3_ACCESS_KEY": server.keys.access_key,
            "S3_SECRET_KEY": server.keys.secret_key,
        }
        for name, value in values.items():
            (self.secret / name).write_text(value)

    def store(self):
        plain = S3Store(self.server.location(self.bucket, "ns/s/"), self.server.credentials)
        return RetryingStore(plain, SystemClock(), RetryPolicy(10))

    def root(self, pod):
        root = self.folder / pod / "workspace"
        root.mkdir(parents=True, exist_ok=True)
        return root

    def command(self, verb, pod, *more):
        return [
            str(PROGRAM),
            verb,
            f"--workspace={self.root(pod)}",
            f"--state={self.folder / pod / 'state'}",
            "--prefix=ns/s",
            f"--project-secret={self.secret}",
            *more,
        ]

    def run(self, verb, pod, *more):
        command = self.command(verb, pod, *more)
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    def hydrate(self, pod):
        return self.run("hydrate", pod, f"--pod-uid=uid-{pod}", f"--pod-name={pod}")

    @contextlib.contextmanager
    def start(self, verb, pod, *more):
        command = self.command(verb, pod, *more)
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            try:
                yield process
            finally:
                process.kill()


@pytest.fixture
def site(moto_server, tmp_path):
    return Site(moto_server, tmp_path)


def _events(process):
    for line in process.stderr:
        yield json.loads(line)


def _until(process, event):
    for found in _events(process):
        if found["event"] == event:
            return found
    raise AssertionError(f"the process ended without {event!r}")


def test_a_pod_and_its_successor_from_start_to_end(site, tmp_path):
    assert site.run("sync", "one", "--once").returncode == MirrorExitCode.WORKSPACE
    assert site.hydrate("one").returncode == MirrorExitCode.OK
    (site.root("one") / "a").write_bytes(b"a" * 100)
    log = tmp_path / "termination"
    with site.start("sync", "one", f"--termination-log={log}", "--interval=0.1") as process:
        _until(process, "committed")
        (site.root("one") / "b").write_bytes(b"last words")
        process.send_signal(signal.SIGTERM)
        events = [found["event"] for found in _events(process)]
        assert process.wait(60) == MirrorExitCode.OK
    assert "flush begins" in events
    assert json.loads(log.read_text())["outcome"] == "flushed"
    assert site.hydrate("two").returncode == MirrorExitCode.OK
    assert listing(site.root("two")) == listing(site.root("one"))
    (site.root("one") / "zombie").write_bytes(b"")
    fenced = site.run("sync", "one", "--once")
    assert fenced.returncode == MirrorExitCode.FENCED
    assert "uid-two" in fenced.stderr


def test_prestop_reaches_the_running_sync(site):
    site.hydrate("one")
    with site.start("sync", "one", "--interval=60") as process:
        _until(process, "sync begins")
        state = f"--state={site.folder / 'one' / 'state'}"
        assert (
            subprocess.run([str(PROGRAM), "prestop", state], check=False).returncode
            == MirrorExitCode.OK
        )
        (site.root("one") / "a").write_bytes(b"a")
        assert _until(process, "committed")["generation"] == 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in {MirrorExitCode.OK, MirrorExitCode.LOST}


def test_an_unreachable_store_ends_hydrate_with_its_reason(site):
    (site.secret / "S3_ENDPOINT").write_text("http://127.0.0.1:9")
    ended = site.run("hydrate", "one", "--pod-uid=u", "--retry-timeout=0.1")
    assert ended.returncode == MirrorExitCode.STORE
    assert "Traceback" not in ended.stderr
    assert json.loads(ended.stderr.splitlines()[-1])["event"] == "failed"


def test_term_while_the_store_is_away_ends_within_the_deadline(site, tmp_path):
    site.hydrate("one")
    (site.root("one") / "a").write_bytes(b"a")
    (site.secret / "S3_ENDPOINT").write_text("http://127.0.0.1:9")
    log = tmp_path / "termination"
    options = (f"--termination-log={log}", "--flush-seconds=2")
    with site.start("sync", "one", *options) as process:
        _until(process, "store request retried")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == MirrorExitCode.LOST
    assert json.loads(log.read_text())["outcome"] in {"failed", "late"}


def test_of_two_pods_that_claim_at_once_one_continues(site):
    site.hydrate("zero")
    (site.root("zero") / "a").write_bytes(b"a")
    site.run("sync", "zero", "--once")
    threads = [threading.Thread(target=site.hydrate, args=(pod,)) for pod in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    codes = []
    for pod in ("one", "two"):
        (site.root(pod) / pod).write_bytes(pod.encode())
        codes.append(site.run("sync", pod, "--once").returncode)
    assert sorted(codes) == [MirrorExitCode.OK, MirrorExitCode.FENCED]
    winner = "one" if codes[0] == MirrorExitCode.OK else "two"
    site.hydrate("three")
    assert listing(site.root("three")) == listing(site.root(winner))


def test_killed_at_any_moment_a_restore_gives_one_committed_generation(site):
    """Every state of the workspace is one number in every file: a mixture would show."""
    chance = random.Random(20260131)
    site.hydrate("one")
    acknowledged = 0
    for number in range(1, KILLS + 1):
        for name in range(20):
            (site.root("one") / f"f{name}").write_text(str(number))
        with site.start("sync", "one", "--once") as process:
            delay = threading.Event()
            if number % 3:
                delay.wait(chance.uniform(0.1, 0.9))
                process.send_signal(signal.SIGKILL)
            if process.wait(60) == MirrorExitCode.OK:
                acknowledged = number
        assert _restored(site, number) >= acknowledged
    assert acknowledged


def _restored(site, number):
    """Restore HEAD without claiming it, so that the writer may go on."""
    head = read_head(site.store()).head
    target = site.folder / f"copy{number}"
    target.mkdir()
    if not head.generation.chain:
        return 0
    store = site.store()
    tree = read_cached_tree(store, StateDirectory(site.folder / f"kept{number}"), head.generation)
    restorer = Restorer(target, tree.entries.values())
    restorer.begin()
    tasks = plan_tasks(tree, restorer.files)
    run_task = Downloader(store, restorer).run_task
    run_tasks(run_task, tasks, WorkerPool(2, "fetch"), Deadline(FakeClock()))
    restorer.finish()
    [only] = {path.read_text() for path in target.iterdir()}
    assert len(list(target.iterdir())) == 20
    return int(only)
