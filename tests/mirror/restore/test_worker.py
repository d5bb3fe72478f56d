"""The worker process of a restore runs tasks, reports errors, and ends with its parent."""

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reconcile.mirror import errors
from reconcile.mirror.restore.tasks import TaskResult
from reconcile.mirror.restore.worker import NoWorker, WorkerPolicy, fork_worker
from tests.controlplane import waiting
from tests.mirror.restore.worker_program import NOT_ENCODABLE, TASK, failing, report_pid
from tests.mirror.restore.worker_thread import WorkerThreads

KILLED = (
    "the worker process of the restore was killed: raise the pod's memory limit, or pass "
    "`--worker-process never`. The next start begins again"
)

NOT_A_CHILD = 1 << 22


def program(scenario):
    return [sys.executable, "-m", "tests.mirror.restore.worker_program", scenario]


def run_scenario(scenario):
    done = subprocess.run(program(scenario), capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_a_task_runs_in_the_worker_process():
    assert run_scenario("elsewhere") is True


@pytest.fixture
def threads(monkeypatch):
    threads = WorkerThreads(monkeypatch)
    yield threads
    threads.close()


@pytest.fixture
def woken(threads):
    """Makes a worker with one channel that is woken."""

    def start(make_runner):
        worker = threads.start(1, make_runner)
        worker.prepare(1)
        return worker

    return start


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (errors.DamagedError, "packs/x was altered: 'caf\udce9'"),
        (errors.StoreAwayError, "no answer"),
        (errors.WorkspaceError, "the volume is full"),
    ],
)
def test_errors_keep_their_class(woken, error, message):
    with pytest.raises(errors.MirrorError) as caught:
        woken(lambda: failing(error(message))).try_run(TASK)
    expected = message.encode(errors="backslashreplace").decode()
    assert (type(caught.value), str(caught.value)) == (error, expected)


def test_a_defect_is_a_runtime_error(woken):
    with pytest.raises(RuntimeError, match=r"^in the worker process: KeyError: 'k'$"):
        woken(lambda: failing(KeyError("k"))).try_run(TASK)


def test_a_worker_process_that_cannot_start_says_why_at_its_first_task(woken):
    def make():
        raise errors.SettingsError("no key")

    with pytest.raises(errors.SettingsError, match=r"^no key$"):
        woken(make).try_run(TASK)


@pytest.mark.parametrize("task", NOT_ENCODABLE)
def test_a_task_that_no_message_can_hold_is_not_taken(woken, task):
    worker = woken(lambda: report_pid)
    assert worker.try_run(task) is None
    assert worker.try_run(TASK) == TaskResult(os.getpid(), 0)
    worker.close()


def test_a_worker_process_that_is_not_woken_takes_no_task(threads):
    worker = threads.start(1, lambda: report_pid)
    worker.prepare(0)
    assert worker.try_run(TASK) is None


def test_a_task_is_not_taken_while_all_channels_are_busy(woken):
    begun, release = threading.Event(), threading.Event()

    def wait(_task):
        begun.set()
        release.wait()
        return TaskResult(1, 0)

    worker = woken(lambda: wait)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(worker.try_run, TASK)
        begun.wait()
        assert worker.try_run(TASK) is None
        release.set()
    assert first.result() == TaskResult(1, 0)
    assert worker.try_run(TASK) == TaskResult(1, 0)


def test_a_task_is_not_taken_where_the_worker_process_has_ended(monkeypatch):
    monkeypatch.setattr(os, "fork", lambda: NOT_A_CHILD)
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    worker = fork_worker(1, lambda: report_pid, WorkerPolicy.ALWAYS)
    worker.prepare(1)
    assert worker.try_run(TASK) is None
    worker.close()


def test_a_worker_process_that_is_killed_during_a_task_is_an_error():
    assert run_scenario("killed") == ["WorkspaceError", KILLED]


def test_a_process_with_threads_is_not_forked():
    assert run_scenario("threaded") == "NoWorker"


def test_close_does_not_wait_for_tasks():
    assert run_scenario("closed_early") == 1


def test_the_worker_process_ends_when_its_parent_is_killed():
    with subprocess.Popen(program("orphaned"), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        worker_pid = int(process.stdout.readline())
        assert Path(f"/proc/{worker_pid}").exists()
        process.kill()
        process.wait()
        waiting.until("the worker process to end", lambda: _is_gone(worker_pid))


def _is_gone(pid):
    """It may stay as a zombie where no init process reaps orphans."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except FileNotFoundError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


def test_the_policy_never_starts_no_worker_process():
    worker = fork_worker(2, lambda: report_pid, WorkerPolicy.NEVER)
    assert isinstance(worker, NoWorker)
    worker.prepare(1 << 30)
    assert worker.try_run(TASK) is None
    worker.close()
