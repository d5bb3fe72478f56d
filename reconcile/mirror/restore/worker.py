"""A second process that performs tasks beside this one: Python itself uses one core only.

It is forked while the program is small and has no threads, and sleeps until it is woken. It holds
nothing that this process has opened since, and ends as soon as this process does, however that
ends.

What two processes of one program say to each other about tasks.

The second process: performs tasks until the first one ends, and never does anything else.
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
    """The task raised an error of this class of `errors`, or one that is a defect."""

    error_class: str
    message: str


TaskReply: TypeAlias = TaskResult | TaskFailure

TASK_DECODER: msgpack.Decoder[RestoreTask] = msgpack.Decoder(RestoreTask)
REPLY_DECODER: msgpack.Decoder[TaskReply] = msgpack.Decoder(TaskReply)


class Channel:
    """Messages over a socket."""

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
        """End it, also for a thread that waits for a message."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()

    def _read_exactly(self, size: int) -> bytes:
        found = self._incoming.read(size)
        if len(found) < size:
            raise EOFError
        return found


def run_worker(channels: Sequence[Channel], make_runner: Callable[[], TaskRunner]) -> NoReturn:
    """Be the second process. It must never return to what the first one was doing."""
    try:
        # Ctrl-C in a terminal is for all; the first process decides what it means.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        control, *others = channels
        control.receive()
        do = _build_runner(make_runner)
        for line in others:
            threading.Thread(target=_serve_channel, args=(line, do), daemon=True).start()
        control.receive()
    finally:
        os._exit(0)


def _build_runner(make_runner: Callable[[], TaskRunner]) -> TaskRunner:
    try:
        return make_runner()
    except Exception as error:  # noqa: BLE001 - raised with the first task
        failed = error

        def fail(_task: RestoreTask) -> TaskResult:
            raise failed

        return fail


def _serve_channel(channel: Channel, run_task: TaskRunner) -> None:
    """Perform what comes; nothing else comes when the first process is gone."""
    try:
        while True:
            task = TASK_DECODER.decode(channel.receive())
            channel.send(msgpack.encode(_run_task(task, run_task)))
    finally:
        os._exit(0)


def _run_task(task: RestoreTask, run_task: TaskRunner) -> TaskReply:
    try:
        return run_task(task)
    except Exception as error:  # noqa: BLE001 - raised again in the first process
        message = str(error).encode(errors="backslashreplace").decode()
        return TaskFailure(type(error).__name__, message)


OnTaskDone: TypeAlias = Callable[[RestoreTask], None]

WORTHWHILE_MANIFEST_SIZES = range(64 << 10, 3 << 20)
"""Bytes of manifests from which on a restore takes longer than a second process takes to start, and
up to which both stay below 150 MB: about 1,000 to 45,000 files."""


class WorkerPolicy(Enum):
    """Which restores are helped."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class WorkerProcess(Protocol):
    """Who helps."""

    def prepare(self, manifest_bytes: int) -> None:
        """Let it get ready if manifests of so many bytes are worth that."""
        ...

    def offload(self, run_locally: TaskRunner, on_done: OnTaskDone) -> TaskRunner:
        """Return what performs a task there if it has a hand free, and by `run_locally` if not.

        `on_done` is called with each task that was performed there.
        """
        ...

    def close(self) -> None:
        """Let it end, and wait for that."""
        ...


class NoWorker:
    """No help."""

    def prepare(self, manifest_bytes: int) -> None:
        """Do nothing."""

    def offload(self, run_locally: TaskRunner, on_done: OnTaskDone) -> TaskRunner:
        del on_done
        return run_locally

    def close(self) -> None:
        """Do nothing."""


def fork_worker(
    concurrency: int, make_runner: Callable[[], TaskRunner], policy: WorkerPolicy
) -> WorkerProcess:
    """Return a helper that performs so many tasks at a time; nobody where there cannot be one.

    Args:
        concurrency: How many tasks.
        make_runner: Called in the second process when it is woken; returns what performs tasks there.
        policy: Whether for the smallest and the largest restores, too.
    """
    alone = policy is WorkerPolicy.NEVER or (policy is WorkerPolicy.AUTO and _count_cores() == 1)
    if alone or concurrency < 1 or threading.active_count() > 1:
        return NoWorker()
    pairs = [socket.socketpair() for _ in range(concurrency + 1)]
    ours, theirs = zip(*pairs, strict=True)
    pid = os.fork()
    if not pid:
        for each in ours:
            each.close()
        run_worker([Channel(each) for each in theirs], make_runner)
    for each in theirs:
        each.close()
    worth = WORTHWHILE_MANIFEST_SIZES if policy is WorkerPolicy.AUTO else range(1, sys.maxsize)
    return ForkedWorker(pid, [Channel(each) for each in ours], worth)


class ForkedWorker:
    """A forked one; `pid` is its own."""

    def __init__(self, pid: int, channels: Sequence[Channel], worthwhile_sizes: range) -> None:
        self.pid = pid
        self._worthwhile_sizes = worthwhile_sizes
        self._control_channel, *self._channels = channels
        self._free_channels: queue.SimpleQueue[Channel] = queue.SimpleQueue()

    def prepare(self, manifest_bytes: int) -> None:
        if manifest_bytes not in self._worthwhile_sizes:
            return
        with contextlib.suppress(OSError):  # Where it was killed already it is no help.
            self._control_channel.send(WAKE_MESSAGE)
            for line in self._channels:
                self._free_channels.put(line)

    def offload(self, run_locally: TaskRunner, on_done: OnTaskDone) -> TaskRunner:
        def do(task: RestoreTask) -> TaskResult:
            try:
                line = self._free_channels.get_nowait()
            except queue.Empty:
                return run_locally(task)
            try:
                message = msgpack.encode(task)
                piece = self._request(line, message)
            except (UnicodeEncodeError, OverflowError):
                # A name that is no UTF-8, a time that no system has: no message can say it.
                return run_locally(task)
            finally:
                self._free_channels.put(line)
            on_done(task)
            return piece

        return do

    def close(self) -> None:
        for line in (self._control_channel, *self._channels):
            line.close()
        # Whoever ignores SIGCHLD has no child to wait for.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def _request(self, channel: Channel, message: bytes) -> TaskResult:
        try:
            channel.send(message)
            answer = REPLY_DECODER.decode(channel.receive())
        except (EOFError, OSError):
            raise errors.WorkspaceError(
                "the second process of the restore was killed: raise the pod's memory limit, or "
                "give `--worker-process never`. The next start begins again"
            ) from None
        if isinstance(answer, TaskFailure):
            raise _rebuild_error(answer)
        return answer


def _rebuild_error(failure: TaskFailure) -> Exception:
    kind = getattr(errors, failure.error_class, None)
    if isinstance(kind, type) and issubclass(kind, errors.MirrorError):
        return kind(failure.message)
    return RuntimeError(f"in the second process: {failure.error_class}: {failure.message}")


def _count_cores() -> int:
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1
