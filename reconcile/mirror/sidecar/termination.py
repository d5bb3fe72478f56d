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
from reconcile.mirror.model import Complete, Partial

_CONNECT_TIMEOUT = 0.2


class NoRunner(Struct, frozen=True):
    """TERM comes when the runner has ended: as a native sidecar."""


class RunnerPort(Struct, frozen=True):
    """The runner listens on this port of the pod until it ends."""

    port: int


class RunnerFile(Struct, frozen=True):
    """The runner's wrapper makes this file when it has ended."""

    path: Path


Runner: TypeAlias = NoRunner | RunnerPort | RunnerFile


def has_runner_exited(runner: Runner) -> bool:
    """Tell whether the runner has ended; whatever leaves doubt means that it has not."""
    match runner:
        case NoRunner():
            return True
        case RunnerPort(port):
            return _is_port_closed(port)
        case RunnerFile(path):
            return _path_exists(path)
        case _:
            assert_never(runner)


def _is_port_closed(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), _CONNECT_TIMEOUT).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


def _path_exists(path: Path) -> bool:
    try:
        path.lstat()
    except OSError:
        return False
    return True


class ShutdownTimeouts(Struct, frozen=True):
    """Seconds from TERM: `runner` for the runner's end, if it is waited for, then `flush`."""

    runner: float = 0.0
    flush: float = 25.0

    @property
    def reserve(self) -> float:
        """What is kept free at the end for manifest and HEAD."""
        return min(5.0, self.flush / 5)


class ShutdownSignal:
    """What was asked for so far; the signal handler calls `terminate`, nothing else."""

    def __init__(self, clock: Clock, state: StateDirectory) -> None:
        self._clock = clock
        self._state = state
        self._event = threading.Event()
        self.terminated_at = 0.0
        """When TERM came, on the clock's monotonic time; 0 before."""

    def terminate(self) -> None:
        """Note that TERM came; a second one changes nothing."""
        if not self._event.is_set():
            self.terminated_at = self._clock.monotonic()
            self._event.set()

    def clear_prestop(self) -> None:
        """Forget what `prestop` said to a process before this one; WorkspaceError if that fails."""
        self._state.remove(self._state.shutdown_path)

    def terminated(self) -> bool:
        """Tell whether TERM came."""
        return self._event.is_set()

    def prestop_received(self) -> bool:
        """Tell whether `prestop` has said that the end is near."""
        return _path_exists(self._state.shutdown_path)

    def wait(self, seconds: float, should_stop: Callable[[], bool]) -> None:
        """Wait, until TERM comes or there is enough reason to go on."""
        ends = self._clock.monotonic() + seconds
        while not should_stop() and (left := ends - self._clock.monotonic()) > 0:
            if self._event.wait(min(left, 1.0)):
                return


class TerminationMessage(Struct, frozen=True):
    """How the last flush went.

    Attributes:
        outcome: `flushed`, `partial`, `failed`, `late` or `fenced`.
        generation: The last that is committed.
        missing: What it lacks; for `failed` and `late` what was seen and is not in it.
        over_limit: How many entries there was no room for, at least.
        seconds: From TERM to the end.
        reason: Why not everything is stored; empty where it is.
    """

    outcome: str
    generation: int
    missing: Partial | Complete
    seconds: float
    reason: str = ""
    over_limit: int = 0


def encode_termination_message(message: TerminationMessage) -> bytes:
    """Write the termination message; less than the 4,096 bytes that the kubelet takes."""
    lacks = message.missing if isinstance(message.missing, Partial) else Partial(0, 0)
    value = {
        "outcome": message.outcome,
        "generation": message.generation,
        "partial": message.outcome == "partial",
        "missingFiles": lacks.files,
        "missingBytes": lacks.size,
        "overLimitEntries": message.over_limit,
        "seconds": round(message.seconds, 3),
        "reason": message.reason[:1000],
    }
    return orjson.dumps(value) + b"\n"


def write_termination_message(path: Path, message: TerminationMessage) -> str:
    """Write it; returns why that failed, empty if it did not: nothing may fail by it."""
    try:
        path.write_bytes(encode_termination_message(message))
    except OSError as error:
        return f"{path}: {error.strerror}"
    return ""
