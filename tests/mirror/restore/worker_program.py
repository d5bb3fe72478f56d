"""A separate program for tests of the worker process: pytest has threads, and is not forked.

`python -m tests.mirror.restore.worker_program SCENARIO` prints the outcome as one line of JSON.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable

from reconcile.mirror import errors
from reconcile.mirror.model import File, LooseBlobs
from reconcile.mirror.restore.tasks import ChunkTask, FileTask, RestoreTask, TaskResult, TaskRunner
from reconcile.mirror.restore.worker import ForkedWorker, WorkerPolicy, fork_worker

TASK = ChunkTask("a", 0, 1, "d" * 64, is_last=True)
NOT_ENCODABLE = (
    FileTask(File("caf\udce9", 0o644, 0, 1, ("d" * 64,), LooseBlobs())),
    FileTask(File("a", 0o644, 1 << 70, 1, ("d" * 64,), LooseBlobs())),
)


def report_pid(_task: RestoreTask) -> TaskResult:
    return TaskResult(os.getpid(), 0)


def failing(error: BaseException) -> TaskRunner:
    def run_task(_task: RestoreTask) -> TaskResult:
        raise error

    return run_task


def never_end(_task: RestoreTask) -> TaskResult:
    threading.Event().wait()
    return TaskResult(0, 0)


def kill_process(_task: RestoreTask) -> TaskResult:
    os.kill(os.getpid(), signal.SIGKILL)
    return never_end(_task)


def start_worker(make: Callable[[], TaskRunner]) -> ForkedWorker:
    worker = fork_worker(1, make, WorkerPolicy.ALWAYS)
    assert isinstance(worker, ForkedWorker)
    return worker


def start_and_wake(make: Callable[[], TaskRunner]) -> ForkedWorker:
    worker = start_worker(make)
    worker.prepare(1)
    return worker


def files_of(result: TaskResult | None) -> int | None:
    """The number of files, which is the pid of the process that ran the task."""
    return None if result is None else result.files


def outcome_of(make: Callable[[], TaskRunner], task: RestoreTask = TASK) -> object:
    """Return what became of a task: its files, or the class and message of its error."""
    worker = start_and_wake(make)
    try:
        return files_of(worker.try_run(task))
    except (errors.MirrorError, RuntimeError) as error:
        return [type(error).__name__, str(error)]
    finally:
        worker.close()


def elsewhere() -> object:
    return outcome_of(lambda: report_pid) not in {None, os.getpid()}


def killed() -> object:
    """The worker process ends in the middle of a task."""
    return outcome_of(lambda: kill_process)


def threaded() -> object:
    hold = threading.Event()
    threading.Thread(target=hold.wait, daemon=True).start()
    worker = fork_worker(1, lambda: report_pid, WorkerPolicy.ALWAYS)
    hold.set()
    return type(worker).__name__


def closed_early() -> object:
    """`close` during a task ends both the task and the worker process at once."""
    worker = start_and_wake(lambda: never_end)
    caught: list[str] = []

    def work() -> None:
        try:
            worker.try_run(TASK)
        except errors.WorkspaceError as error:
            caught.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    while not worker._free_channels.empty():
        pass
    worker.close()
    thread.join()
    return len(caught)


def orphaned() -> object:
    """Print the worker's pid, begin a task that never ends, and wait to be killed."""
    worker = start_and_wake(lambda: never_end)
    print(json.dumps(worker.pid), flush=True)
    return files_of(worker.try_run(TASK))


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]]()), flush=True)
