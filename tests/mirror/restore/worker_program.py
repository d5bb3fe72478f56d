"""A program of its own for tests of the second process: pytest's has threads, and is not forked.

`python -m tests.mirror.restore.worker_program SCENARIO` prints what it saw as one line of JSON.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial

from reconcile.mirror import errors
from reconcile.mirror.model import File, LooseBlobs
from reconcile.mirror.restore.tasks import ChunkTask, FileTask, RestoreTask, TaskResult, TaskRunner
from reconcile.mirror.restore.worker import ForkedWorker, WorkerPolicy, fork_worker

TASK = ChunkTask("a", 0, 1, "d" * 64, is_last=True)
UNSAYABLE = (
    FileTask(File("caf\udce9", 0o644, 0, 1, ("d" * 64,), LooseBlobs())),
    FileTask(File("a", 0o644, 1 << 70, 1, ("d" * 64,), LooseBlobs())),
)
OWN = -1


def own(_task: RestoreTask) -> TaskResult:
    return TaskResult(OWN, 0)


def pid(_task: RestoreTask) -> TaskResult:
    return TaskResult(os.getpid(), 0)


def failing(error: BaseException) -> TaskRunner:
    def do(_task: RestoreTask) -> TaskResult:
        raise error

    return do


def never(_task: RestoreTask) -> TaskResult:
    threading.Event().wait()
    return TaskResult(0, 0)


def suicide(_task: RestoreTask) -> TaskResult:
    os.kill(os.getpid(), signal.SIGKILL)
    return never(_task)


def forked(make: Callable[[], TaskRunner]) -> ForkedWorker:
    helper = fork_worker(1, make, WorkerPolicy.ALWAYS)
    assert isinstance(helper, ForkedWorker)
    return helper


def ready(make: Callable[[], TaskRunner]) -> ForkedWorker:
    helper = forked(make)
    helper.prepare(1)
    return helper


def asked(make: Callable[[], TaskRunner], task: RestoreTask = TASK) -> list[object]:
    """Return what a task came to, and whether it was told as done there."""
    done: list[RestoreTask] = []
    helper = ready(make)
    try:
        return [helper.offload(own, done.append)(task).files, done == [task]]
    except (errors.MirrorError, RuntimeError) as error:
        return [type(error).__name__, str(error)]
    finally:
        helper.close()


def there() -> object:
    files, done = asked(lambda: pid)
    return {"elsewhere": files not in {OWN, os.getpid()}, "done": done}


def fails() -> object:
    kinds = (
        errors.DamagedError("packs/x was altered: 'caf\udce9'"),
        errors.StoreAwayError("no answer"),
        errors.WorkspaceError("the volume is full"),
        KeyError("k"),
    )
    return [asked(partial(failing, error)) for error in kinds]


def unmade() -> object:
    def make() -> TaskRunner:
        raise errors.SettingsError("no key")

    return asked(make)


def unsayable() -> object:
    return [asked(lambda: pid, task) for task in UNSAYABLE]


def unwoken() -> object:
    helper = fork_worker(1, lambda: pid, WorkerPolicy.AUTO)
    helper.prepare(1)
    found = helper.offload(own, lambda _task: None)(TASK).files
    helper.close()
    return found


def busy() -> object:
    """Return who does a second task while the only hand waits for a first."""
    gate, opened = os.pipe()

    def waiting(_task: RestoreTask) -> TaskResult:
        os.read(gate, 1)
        return TaskResult(os.getpid(), 0)

    helper = ready(lambda: waiting)
    do = helper.offload(own, lambda _task: None)
    first = threading.Thread(target=do, args=(TASK,))
    first.start()
    while (second := do(TASK).files) != OWN:
        pass
    os.write(opened, b"x")
    first.join()
    helper.close()
    return second


def killed() -> object:
    """The second process ends in the middle of a task."""
    return asked(lambda: suicide)


def gone_before() -> object:
    helper = forked(lambda: pid)
    os.kill(helper.pid, signal.SIGKILL)
    os.waitid(os.P_PID, helper.pid, os.WEXITED | os.WNOWAIT)
    helper.prepare(1)
    files = helper.offload(own, lambda _task: None)(TASK).files
    helper.close()
    return files


def threaded() -> object:
    hold = threading.Event()
    threading.Thread(target=hold.wait, daemon=True).start()
    helper = fork_worker(1, lambda: pid, WorkerPolicy.ALWAYS)
    hold.set()
    return type(helper).__name__


def closed_early() -> object:
    """`close` while a task is on its way there ends both at once."""
    helper = ready(lambda: never)
    do = helper.offload(own, lambda _task: None)
    caught: list[str] = []

    def work() -> None:
        try:
            do(TASK)
        except errors.WorkspaceError as error:
            caught.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    while not helper._free_channels.empty():
        pass
    helper.close()
    thread.join()
    return len(caught)


def orphaned() -> object:
    """Say who helps, begin a task that never ends, and wait to be killed."""
    helper = ready(lambda: never)
    print(json.dumps(helper.pid), flush=True)
    return helper.offload(own, lambda _task: None)(TASK).files


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]]()), flush=True)
