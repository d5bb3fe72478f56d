"""The programs of a pod as processes that start at once and can be killed.

They are forked from a server that has imported them: otherwise a pod would need two seconds of
processor time for its imports alone.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import reconcile.mirror.cli.main
import reconcile.mirror.sidecar.hydrate
import reconcile.mirror.sidecar.sync
import reconcile.mirror.store.factory
import reconcile.mirror.store.s3
import reconcile.runner.cli
import reconcile.runner.prepare
from reconcile.runner import bridge
from reconcile.runtime import clock
from tests.runner.double import __main__ as double
from tests.runner.double import worker

_LONGEST_WAIT_S = 60.0
_CALL_S = 1.0
_POLL_S = 0.2

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])


@dataclass(frozen=True, slots=True)
class Start:
    """What a process begins with.

    `clock_jumps` is how many seconds its wall clock is wrong from half a second after its start.
    """

    program: str
    arguments: Sequence[str]
    variables: Mapping[str, str]
    log: Path
    clock_jumps: float = 0.0


class Program:
    """A started program."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self._process = _CONTEXT.Process(target=_run, args=(start,), daemon=True)
        self._process.start()

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.is_alive()

    @property
    def output(self) -> str:
        """What it has logged, together with those that had the same log before."""
        log = self._start.log
        return log.read_text(errors="replace") if log.exists() else ""

    def kill(self) -> None:
        """Kill it, and wait for its end."""
        self._process.kill()
        self.wait()

    def terminate(self) -> None:
        """Send SIGTERM, as the kubelet does."""
        self._process.terminate()

    def wait(self, seconds: float = _LONGEST_WAIT_S) -> int:
        """Wait for its end and return the exit code, negative for a signal."""
        code = self.wait_at_most(seconds)
        assert code is not None, f"{self._start.program} does not end:\n{self.output}"
        return code

    def wait_at_most(self, seconds: float) -> int | None:
        """Wait for its end; None if it has not ended in that time."""
        self._process.join(seconds)
        return self._process.exitcode

    def again(self) -> "Program":
        """Start it again with the same variables and files, as the kubelet does."""
        return Program(self._start)


def _run(start: Start) -> None:
    log = os.open(start.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    os.environ.clear()
    os.environ.update(start.variables)
    _replace(os, fsync=lambda _descriptor: None)  # No test loses power.
    sys.argv = [start.program, *start.arguments]
    if start.clock_jumps:
        threading.Timer(0.5, _move_clock, [start.clock_jumps]).start()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _PROGRAMS[start.program]()


def _replace(module: object, **values: object) -> None:
    for name, value in values.items():
        setattr(module, name, value)


def _move_clock(seconds: float) -> None:
    """Let the wall clock of this process jump; the monotonic clock does not."""
    read, read_ns = time.time, time.time_ns

    class Moved(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz or UTC) + timedelta(seconds=seconds)

    nanoseconds = int(seconds * 1e9)
    _replace(time, time=lambda: read() + seconds, time_ns=lambda: read_ns() + nanoseconds)
    _replace(clock, datetime=Moved)


def _run_bridge() -> None:
    """Run the bridge, which looks more often than in a pod: the tests wait for it."""
    options = partial(bridge.DeliveryOptions, call_seconds=_CALL_S)
    _replace(bridge, _POLL_SECONDS=_POLL_S, DeliveryOptions=options)
    reconcile.runner.cli.main()


def _run_double() -> None:
    """Run the double, whose agent works at once: so work follows the mark as closely as it can."""
    _replace(worker, START_S=0.0, ID_BEFORE_CONVERSATION_S=0.0)
    double.main()


_PROGRAMS: Mapping[str, Callable[[], None]] = {
    "hydrate": reconcile.mirror.cli.main.main,
    "sync": reconcile.mirror.cli.main.main,
    "prepare": reconcile.runner.cli.main,
    "bridge": _run_bridge,
    "runner": _run_double,
}
