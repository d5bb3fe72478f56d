"""The second process of a restore: does what it is told, says what went wrong, ends with us."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from reconcile.mirror.restore.worker import NoWorker, WorkerPolicy, fork_worker
from tests.controlplane import waiting
from tests.mirror.restore.worker_program import OWN, TASK, own

KILLED = (
    "the second process of the restore was killed: raise the pod's memory limit, or give "
    "`--worker-process never`. The next start begins again"
)


def program(scenario):
    return [sys.executable, "-m", "tests.mirror.restore.worker_program", scenario]


def saw(scenario):
    done = subprocess.run(program(scenario), capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_a_task_is_done_in_the_second_process_and_told_as_done():
    assert saw("there") == {"elsewhere": True, "done": True}


def test_errors_arrive_as_what_they_are_and_defects_as_defects():
    assert saw("fails") == [
        ["DamagedError", "packs/x was altered: 'caf\\udce9'"],
        ["StoreAwayError", "no answer"],
        ["WorkspaceError", "the volume is full"],
        ["RuntimeError", "in the second process: KeyError: 'k'"],
    ]


def test_a_second_process_that_cannot_begin_says_why_at_its_first_task():
    assert saw("unmade") == ["SettingsError", "no key"]


def test_what_no_message_can_say_is_done_here():
    assert saw("unsayable") == [[OWN, False]] * 2


@pytest.mark.parametrize("scenario", ["unwoken", "busy", "gone_before"])
def test_a_task_is_done_here_where_nobody_is_free(scenario):
    assert saw(scenario) == OWN


def test_a_second_process_that_is_killed_at_its_task_is_an_error():
    assert saw("killed") == ["WorkspaceError", KILLED]


def test_a_process_with_threads_is_not_forked():
    assert saw("threaded") == "NoWorker"


def test_closing_waits_for_no_task():
    assert saw("closed_early") == 1


def test_the_second_process_ends_when_the_first_is_killed():
    with subprocess.Popen(program("orphaned"), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        helper = int(process.stdout.readline())
        assert Path(f"/proc/{helper}").exists()
        process.kill()
        process.wait()
        waiting.until("the second process to end", lambda: _is_gone(helper))


def _is_gone(pid):
    """It may stay as a zombie where nobody reaps orphans."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except FileNotFoundError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


def test_never_means_nobody():
    helper = fork_worker(2, lambda: own, WorkerPolicy.NEVER)
    assert isinstance(helper, NoWorker)
    helper.prepare(1 << 30)
    assert helper.offload(own, lambda _task: None)(TASK).files == OWN
    helper.close()
