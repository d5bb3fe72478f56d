"""How a pod ends: what was asked for, and by when everything must be over.

What the mirror says when it ends: one line of JSON for the pod's status.
"""

import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias, assert_never

import orjson
from msgspec import Struct

from reconcile.mirror.clock import Clock
from reconcile.mirror.local_state import StateDirectory
from reconcile.mirror.model import Missing, Whole

_PATIENCE = 0.2


class NoRunner(Struct, frozen=True):
    """TERM comes when the runner has ended: as a native sidecar."""


class RunnerPort(Struct, frozen=True):
    """The runner listens on this port of the pod until it ends."""

    port: int


class RunnerFile(Struct, frozen=True):
    """The runner's wrapper makes this file when it has ended."""

    path: Path


Runner: TypeAlias = NoRunner | RunnerPort | RunnerFile


def runner_gone(runner: Runner) -> bool:
    """Tell whether the runner has ended; whatever leaves doubt means that it has not."""
    match runner:
        case NoRunner():
            return True
        case RunnerPort(port):
            return _refused(port)
        case RunnerFile(path):
            return _is_there(path)
        case _:
            assert_never(runner)


def _refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), _PATIENCE).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except OSError:
        return False
    return True


class Times(Struct, frozen=True):
    """Seconds from TERM: `runner` for the runner's end, if it is waited for, then `flush`."""

    runner: float = 0.0
    flush: float = 25.0

    @property
    def reserve(self) -> float:
        """What is kept free at the end for manifest and HEAD."""
        return min(5.0, self.flush / 5)


class Ending:
    """What was asked for so far; the signal handler calls `terminate`, nothing else."""

    def __init__(self, clock: Clock, state: StateDirectory) -> None:
        self._clock = clock
        self._state = state
        self._event = threading.Event()
        self.since = 0.0
        """When TERM came, on the clock's monotonic time; 0 before."""

    def terminate(self) -> None:
        """Note that TERM came; a second one changes nothing."""
        if not self._event.is_set():
            self.since = self._clock.monotonic()
            self._event.set()

    def forget(self) -> None:
        """Forget what `prestop` said to a process before this one; WorkspaceError if that fails."""
        self._state.remove(self._state.ending)

    def asked(self) -> bool:
        """Tell whether TERM came."""
        return self._event.is_set()

    def near(self) -> bool:
        """Tell whether `prestop` has said that the end is near."""
        return _is_there(self._state.ending)

    def wait(self, seconds: float, enough: Callable[[], bool]) -> None:
        """Wait, until TERM comes or there is enough reason to go on."""
        ends = self._clock.monotonic() + seconds
        while not enough() and (left := ends - self._clock.monotonic()) > 0:
            if self._event.wait(min(left, 1.0)):
                return


class Farewell(Struct, frozen=True):
    """How the last flush went.

    Attributes:
        outcome: `flushed`, `partial`, `failed`, `late` or `fenced`.
        generation: The last that is committed.
        missing: What it lacks; for `failed` and `late` what was seen and is not in it.
        beyond: How many entries there was no room for, at least.
        seconds: From TERM to the end.
        reason: Why not everything is stored; empty where it is.
    """

    outcome: str
    generation: int
    missing: Missing | Whole
    seconds: float
    reason: str = ""
    beyond: int = 0


def farewell_line(farewell: Farewell) -> bytes:
    """Write the termination message; less than the 4,096 bytes that the kubelet takes."""
    lacks = farewell.missing if isinstance(farewell.missing, Missing) else Missing(0, 0)
    value = {
        "outcome": farewell.outcome,
        "generation": farewell.generation,
        "partial": farewell.outcome == "partial",
        "missingFiles": lacks.files,
        "missingBytes": lacks.size,
        "beyondEntries": farewell.beyond,
        "seconds": round(farewell.seconds, 3),
        "reason": farewell.reason[:1000],
    }
    return orjson.dumps(value) + b"\n"


def write_farewell(path: Path, farewell: Farewell) -> str:
    """Write it; returns why that failed, empty if it did not: nothing may fail by it."""
    try:
        path.write_bytes(farewell_line(farewell))
    except OSError as error:
        return f"{path}: {error.strerror}"
    return ""
