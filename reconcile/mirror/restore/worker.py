"""A worker process that runs restore tasks in parallel with this one: Python uses only one core.

It is forked while the program is small and has no threads, and sleeps until it is woken. It has no
file or socket that this process opens later, and ends as soon as this process ends, in whatever
way. The two exchange tasks and results as messages over sockets, one socket for each task at a
time.
"""

import contextlib
import os
import queue
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from enum import Enum
from typing import NoReturn, Protocol, TypeAlias

from msgspec import Struct, msgpack

from reconcile.mirror import errors
from reconcile.mirror.restore.tasks import RestoreTask, TaskResult, TaskRunner

WAKE_MESSAGE = b"wake"


class TaskFailure(Struct, frozen=True, tag=True):
    """The task raised an error: a class of `errors` by name, or a defect of the program."""

    error_class: str
    message: str


TaskReply: TypeAlias = TaskResult | TaskFailure

TASK_DECODER: msgpack.Decoder[RestoreTask] = msgpack.Decoder(RestoreTask)
REPLY_DECODER: msgpack.Decoder[TaskReply] = msgpack.Decoder(TaskReply)


class Channel:
    """Sends and receives messages over a socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._incoming = connection.makefile("rb")

    def send(self, message: bytes) -> None:
        self._connection.sendall(len(message).to_bytes(4, "big") + message)

    def receive(self) -> bytes:
        """Return the next message; EOFError if the other end is gone."""
        size = int.from_bytes(self._read_exactly(4), "big")
        return self._read_exactly(size)

    def close(self) -> None:
        """Close it; a thread that waits for a message gets an EOFError."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()

    def _read_exactly(self, size: int) -> bytes:
        data = self._incoming.read(size)
        if len(data) < size:
            raise EOFError
        return data


def run_worker(channels: Sequence[Channel], make_runner: Callable[[], TaskRunner]) -> NoReturn:
    """Run the worker process. It must never return into the code of its parent."""
    try:
        # Ctrl-C in a terminal reaches both processes; the parent decides what it means.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        control, *others = channels
        control.receive()
        run_task = _build_runner(make_runner)
        for channel in others:
            threading.Thread(target=_serve_channel, args=(channel, run_task), daemon=True).start()
        control.receive()
    finally:
        os._exit(0)


def _build_runner(make_runner: Callable[[], TaskRunner]) -> TaskRunner:
    try:
        return make_runner()
    except Exception as error:  # noqa: BLE001 - raised by each task
        return _FailedRunner(error).run_task


class _FailedRunner:
    """Fails each task, since no runner could be made."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def run_task(self, _task: RestoreTask) -> TaskResult:
        raise self._error


def _serve_channel(channel: Channel, run_task: TaskRunner) -> None:
    """Run the tasks that arrive, until the parent is gone."""
    try:
        while True:
            task = TASK_DECODER.decode(channel.receive())
            channel.send(msgpack.encode(_run_task(task, run_task)))
    finally:
        os._exit(0)


def _run_task(task: RestoreTask, run_task: TaskRunner) -> TaskReply:
    try:
        return run_task(task)
    except Exception as error:  # noqa: BLE001 - raised again in the parent
        message = str(error).encode(errors="backslashreplace").decode()
        return TaskFailure(type(error).__name__, message)


WORTHWHILE_MANIFEST_SIZES = range(64 << 10, 3 << 20)
"""Bytes of manifests for which the worker process is used: about 1,000 to 45,000 files.

Smaller restores take less time than the process takes to start; with larger ones the two processes
would need more than 150 MB."""


class WorkerPolicy(Enum):
    """Which restores use the worker process."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class WorkerProcess(Protocol):
    """Runs tasks in parallel with this process."""

    def prepare(self, manifest_bytes: int) -> None:
        """Wake it if a restore with manifests of so many bytes is worth that."""
        ...

    def try_run(self, task: RestoreTask) -> TaskResult | None:
        """Run a task in the worker process; None where it cannot take the task now.

        Raises:
            MirrorError: The error that the task raised there.
            WorkspaceError: The worker process was killed.
        """
        ...

    def close(self) -> None:
        """End it, and wait until it has ended."""
        ...


class NoWorker:
    """Stands in where there is no worker process."""

    def prepare(self, manifest_bytes: int) -> None:
        """Do nothing."""

    def try_run(self, task: RestoreTask) -> TaskResult | None:
        """Take no task."""
        del task
        return None

    def close(self) -> None:
        """Do nothing."""


def fork_worker(
    concurrency: int, make_runner: Callable[[], TaskRunner], policy: WorkerPolicy
) -> WorkerProcess:
    """Start a worker process; NoWorker where the policy or the machine rules it out.

    Args:
        concurrency: How many tasks it runs at a time.
        make_runner: Called in the worker process when it is woken; returns its task runner.
        policy: Whether the smallest and the largest restores use it, too.
    """
    is_useless = policy is WorkerPolicy.NEVER or (
        policy is WorkerPolicy.AUTO and _count_cores() == 1
    )
    if is_useless or concurrency < 1 or threading.active_count() > 1:
        return NoWorker()
    pairs = [socket.socketpair() for _ in range(concurrency + 1)]
    parent_ends, child_ends = zip(*pairs, strict=True)
    pid = os.fork()
    if not pid:
        for connection in parent_ends:
            connection.close()
        run_worker([Channel(connection) for connection in child_ends], make_runner)
    for connection in child_ends:
        connection.close()
    sizes = WORTHWHILE_MANIFEST_SIZES if policy is WorkerPolicy.AUTO else range(1, sys.maxsize)
    return ForkedWorker(pid, [Channel(connection) for connection in parent_ends], sizes)


class ForkedWorker:
    """A worker process that was forked; `pid` is its process id."""

    def __init__(self, pid: int, channels: Sequence[Channel], worthwhile_sizes: range) -> None:
        self.pid = pid
        self._worthwhile_sizes = worthwhile_sizes
        self._control_channel, *self._channels = channels
        self._free_channels: queue.SimpleQueue[Channel] = queue.SimpleQueue()

    def prepare(self, manifest_bytes: int) -> None:
        if manifest_bytes not in self._worthwhile_sizes:
            return
        with contextlib.suppress(OSError):  # It may have been killed already.
            self._control_channel.send(WAKE_MESSAGE)
            for channel in self._channels:
                self._free_channels.put(channel)

    def try_run(self, task: RestoreTask) -> TaskResult | None:
        try:
            channel = self._free_channels.get_nowait()
        except queue.Empty:
            return None
        try:
            return self._request(channel, msgpack.encode(task))
        except (UnicodeEncodeError, OverflowError):
            # A name that is not UTF-8, or a time beyond 64 bits, does not fit into a message.
            return None
        finally:
            self._free_channels.put(channel)

    def close(self) -> None:
        for channel in (self._control_channel, *self._channels):
            channel.close()
        # A process that ignores SIGCHLD cannot wait for its children.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def _request(self, channel: Channel, message: bytes) -> TaskResult:
        try:
            channel.send(message)
            reply = REPLY_DECODER.decode(channel.receive())
        except (EOFError, OSError):
            raise errors.WorkspaceError(
                "the worker process of the restore was killed: raise the pod's memory limit, or "
                "pass `--worker-process never`. The next start begins again"
            ) from None
        if isinstance(reply, TaskFailure):
            raise _rebuild_error(reply)
        return reply


def _rebuild_error(failure: TaskFailure) -> Exception:
    error_class = getattr(errors, failure.error_class, None)
    if isinstance(error_class, type) and issubclass(error_class, errors.MirrorError):
        return error_class(failure.message)
    return RuntimeError(f"in the worker process: {failure.error_class}: {failure.message}")


def _count_cores() -> int:
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1
