"""The worker process of a restore runs tasks, reports errors, and ends with its parent."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from reconcile.mirror.restore.worker import NoWorker, WorkerPolicy, fork_worker
from tests.controlplane import waiting
from tests.mirror.restore.worker_program import TASK, report_pid

KILLED = (
    "the worker process of the restore was killed: raise the pod's memory limit, or pass "
    "`--worker-process never`. The next start begins again"
)


def program(scenario):
    return [sys.executable, "-m", "tests.mirror.restore.worker_program", scenario]


def run_scenario(scenario):
    done = subprocess.run(program(scenario), capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_a_task_runs_in_the_worker_process():
    assert run_scenario("elsewhere") is True


def test_errors_keep_their_class_and_defects_become_runtime_errors():
    assert run_scenario("fails") == [
        ["DamagedError", "packs/x was altered: 'caf\\udce9'"],
        ["StoreAwayError", "no answer"],
        ["WorkspaceError", "the volume is full"],
        ["RuntimeError", "in the worker process: KeyError: 'k'"],
    ]


def test_a_worker_process_that_cannot_start_says_why_at_its_first_task():
    assert run_scenario("broken_start") == ["SettingsError", "no key"]


def test_a_task_that_no_message_can_hold_is_not_taken():
    assert run_scenario("not_encodable") == [None, None]


@pytest.mark.parametrize("scenario", ["not_woken", "busy", "gone_before"])
def test_a_task_is_not_taken_where_the_worker_process_is_not_free(scenario):
    assert run_scenario(scenario) is None


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
