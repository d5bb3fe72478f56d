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
from reconcile.mirror.restore.tasks import Do, Piece, Task

WAKE = b"wake"


class Failed(Struct, frozen=True, tag=True):
    """The task raised an error of this class of `errors`, or one that is a defect."""

    kind: str
    message: str


Answer: TypeAlias = Piece | Failed

TASKS: msgpack.Decoder[Task] = msgpack.Decoder(Task)
ANSWERS: msgpack.Decoder[Answer] = msgpack.Decoder(Answer)


class Line:
    """Messages over a socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._incoming = connection.makefile("rb")

    def send(self, message: bytes) -> None:
        self._connection.sendall(len(message).to_bytes(4, "big") + message)

    def receive(self) -> bytes:
        """Return the next message; EOFError if the other end is gone."""
        size = int.from_bytes(self._exactly(4), "big")
        return self._exactly(size)

    def close(self) -> None:
        """End it, also for a thread that waits for a message."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()

    def _exactly(self, size: int) -> bytes:
        found = self._incoming.read(size)
        if len(found) < size:
            raise EOFError
        return found


def serve(lines: Sequence[Line], make: Callable[[], Do]) -> NoReturn:
    """Be the second process. It must never return to what the first one was doing."""
    try:
        # Ctrl-C in a terminal is for all; the first process decides what it means.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        control, *others = lines
        control.receive()
        do = _made(make)
        for line in others:
            threading.Thread(target=_answer_all, args=(line, do), daemon=True).start()
        control.receive()
    finally:
        os._exit(0)


def _made(make: Callable[[], Do]) -> Do:
    try:
        return make()
    except Exception as error:  # noqa: BLE001 - raised with the first task
        failed = error

        def fail(_task: Task) -> Piece:
            raise failed

        return fail


def _answer_all(line: Line, do: Do) -> None:
    """Perform what comes; nothing else comes when the first process is gone."""
    try:
        while True:
            task = TASKS.decode(line.receive())
            line.send(msgpack.encode(_answer(task, do)))
    finally:
        os._exit(0)


def _answer(task: Task, do: Do) -> Answer:
    try:
        return do(task)
    except Exception as error:  # noqa: BLE001 - raised again in the first process
        message = str(error).encode(errors="backslashreplace").decode()
        return Failed(type(error).__name__, message)


Done: TypeAlias = Callable[[Task], None]

WORTH = range(64 << 10, 3 << 20)
"""Bytes of manifests from which on a restore takes longer than a second process takes to start, and
up to which both stay below 150 MB: about 1,000 to 45,000 files."""


class When(Enum):
    """Which restores are helped."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class Helper(Protocol):
    """Who helps."""

    def expect(self, size: int) -> None:
        """Let it get ready if manifests of so many bytes are worth that."""
        ...

    def beside(self, own: Do, done: Done) -> Do:
        """Return what performs a task there if it has a hand free, and by `own` if not.

        `done` is called with each task that was performed there.
        """
        ...

    def close(self) -> None:
        """Let it end, and wait for that."""
        ...


class Nobody:
    """No help."""

    def expect(self, size: int) -> None:
        """Do nothing."""

    def beside(self, own: Do, done: Done) -> Do:
        del done
        return own

    def close(self) -> None:
        """Do nothing."""


def fork_helper(hands: int, make: Callable[[], Do], when: When) -> Helper:
    """Return a helper that performs so many tasks at a time; nobody where there cannot be one.

    Args:
        hands: How many tasks.
        make: Called in the second process when it is woken; returns what performs tasks there.
        when: Whether for the smallest and the largest restores, too.
    """
    alone = when is When.NEVER or (when is When.AUTO and _cores() == 1)
    if alone or hands < 1 or threading.active_count() > 1:
        return Nobody()
    pairs = [socket.socketpair() for _ in range(hands + 1)]
    ours, theirs = zip(*pairs, strict=True)
    pid = os.fork()
    if not pid:
        for each in ours:
            each.close()
        serve([Line(each) for each in theirs], make)
    for each in theirs:
        each.close()
    worth = WORTH if when is When.AUTO else range(1, sys.maxsize)
    return Process(pid, [Line(each) for each in ours], worth)


class Process:
    """A forked one; `pid` is its own."""

    def __init__(self, pid: int, lines: Sequence[Line], worth: range) -> None:
        self.pid = pid
        self._worth = worth
        self._control, *self._lines = lines
        self._free: queue.SimpleQueue[Line] = queue.SimpleQueue()

    def expect(self, size: int) -> None:
        if size not in self._worth:
            return
        with contextlib.suppress(OSError):  # Where it was killed already it is no help.
            self._control.send(WAKE)
            for line in self._lines:
                self._free.put(line)

    def beside(self, own: Do, done: Done) -> Do:
        def do(task: Task) -> Piece:
            try:
                line = self._free.get_nowait()
            except queue.Empty:
                return own(task)
            try:
                message = msgpack.encode(task)
                piece = self._ask(line, message)
            except (UnicodeEncodeError, OverflowError):
                # A name that is no UTF-8, a time that no system has: no message can say it.
                return own(task)
            finally:
                self._free.put(line)
            done(task)
            return piece

        return do

    def close(self) -> None:
        for line in (self._control, *self._lines):
            line.close()
        # Whoever ignores SIGCHLD has no child to wait for.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def _ask(self, line: Line, message: bytes) -> Piece:
        try:
            line.send(message)
            answer = ANSWERS.decode(line.receive())
        except (EOFError, OSError):
            raise errors.WorkspaceError(
                "the second process of the restore was killed: raise the pod's memory limit, or "
                "give `--helper never`. The next start begins again"
            ) from None
        if isinstance(answer, Failed):
            raise _error(answer)
        return answer


def _error(failed: Failed) -> Exception:
    kind = getattr(errors, failed.kind, None)
    if isinstance(kind, type) and issubclass(kind, errors.MirrorError):
        return kind(failed.message)
    return RuntimeError(f"in the second process: {failed.kind}: {failed.message}")


def _cores() -> int:
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1
