"""A second process that performs tasks beside this one: Python itself uses one core only.

It is forked while the program is small and has no threads, and sleeps until it is woken. It holds
nothing that this process has opened since, and ends as soon as this process does, however that
ends.
"""

import contextlib
import os
import queue
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Protocol, TypeAlias

from msgspec import msgpack

from reconcile.mirror import errors
from reconcile.mirror.helping import serve
from reconcile.mirror.messages import ANSWERS, WAKE, Failed, Line
from reconcile.mirror.restore.tasks import Do, Piece, Task

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
