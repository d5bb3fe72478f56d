"""How a pod ends: the signals that announce it, its time limits, and the termination message."""

import errno
import math
import os
import socket
import stat
import threading
from pathlib import Path
from typing import TypeAlias, assert_never

import orjson
from msgspec import Struct

from reconcile.mirror.clock import Clock
from reconcile.mirror.local_state import StateDirectory
from reconcile.mirror.model import Complete, Partial

_CONNECT_TIMEOUT = 0.2
_LOOPBACK_ADDRESSES = ("127.0.0.1", "::1")
_NOTHING_LISTENS = {
    errno.ECONNREFUSED,
    # There is no such address family on this node.
    errno.EAFNOSUPPORT,
    errno.EADDRNOTAVAIL,
    errno.ENETUNREACH,
}
_SOCKET_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LISTEN = "0A"
_LEAST_GRACE = 1.0
"""Seconds from TERM to KILL that are certain: the kubelet grants two."""
_POLL_INTERVAL = 1.0
"""Seconds between two looks for `prestop`."""


class NoRunner(Struct, frozen=True):
    """The mirror is a native sidecar: TERM comes when the runner has ended."""


class RunnerPort(Struct, frozen=True):
    """The runner listens on this port of the pod until it ends."""

    port: int


class RunnerFile(Struct, frozen=True):
    """The runner's wrapper creates this file when the runner has ended."""

    path: Path


Runner: TypeAlias = NoRunner | RunnerPort | RunnerFile


def has_runner_exited(runner: Runner) -> bool:
    """Say whether the runner has ended; where that is uncertain, it has not."""
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
    """Whether nothing listens on the port, on any address of the pod."""
    if any(_is_listening(table, port) for table in _SOCKET_TABLES):
        return False
    return all(_refuses(host, port) for host in _LOOPBACK_ADDRESSES)


def _is_listening(table: Path, port: int) -> bool:
    """Whether a table of the kernel has a listening socket with this port.

    It also has those on addresses other than loopback, and is the same in all containers of a pod.
    """
    try:
        lines = table.read_text().splitlines()[1:]
    except OSError:
        return False
    # Columns: number, local address and port, remote address and port, state, ...
    sockets = (line.split()[1:4] for line in lines)
    return any(
        state == _LISTEN and address.endswith(f":{port:04X}") for address, _, state in sockets
    )


def _refuses(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), _CONNECT_TIMEOUT).close()
    except OSError as error:
        return error.errno in _NOTHING_LISTENS
    return False


def _path_exists(path: Path) -> bool:
    try:
        path.lstat()
    except OSError:
        return False
    return True


class ShutdownTimeouts(Struct, frozen=True):
    """Seconds from TERM: at most `runner` until the runner has ended, then `flush`."""

    runner: float = 0.0
    flush: float = 25.0

    @property
    def reserve(self) -> float:
        """Seconds of the flush that are reserved for manifest and HEAD."""
        return min(5.0, self.flush / 5)


class ShutdownSignal:
    """Whether the pod is ending; the signal handler calls only `terminate`."""

    def __init__(self, clock: Clock, state: StateDirectory) -> None:
        self._clock = clock
        self._state = state
        self._event = threading.Event()
        self.terminated_at = 0.0
        """When TERM came, on the clock's monotonic time; 0 before."""
        self._prestop_at = math.inf

    def terminate(self) -> None:
        """Record that TERM came; a second call changes nothing."""
        if not self._event.is_set():
            self.terminated_at = self._clock.monotonic()
            self._event.set()

    def clear_prestop(self) -> None:
        """Remove the `prestop` of an earlier process; WorkspaceError if that fails."""
        self._state.remove(self._state.shutdown_path)
        self._prestop_at = math.inf

    def terminated(self) -> bool:
        """Say whether TERM came."""
        return self._event.is_set()

    def prestop_received(self) -> bool:
        """Say whether `prestop` has run."""
        received = _path_exists(self._state.shutdown_path)
        if received:
            self._prestop_at = min(self._prestop_at, self._clock.monotonic())
        return received

    def own_deadline(self, timeouts: ShutdownTimeouts) -> float:
        """Return when everything must be stored, on the clock's monotonic time.

        Counted from when `prestop` was first seen: the kubelet sends TERM to a native sidecar only
        after the runner has ended, and just before KILL if the runner ignores its own TERM.
        Infinite before `prestop`, and where it is not known how long the runner may take.
        """
        return self._prestop_at + timeouts.runner + timeouts.flush if timeouts.runner else math.inf

    def is_overdue(self, timeouts: ShutdownTimeouts) -> bool:
        """Say whether the runner uses the time of the flush."""
        return self._clock.monotonic() >= self.own_deadline(timeouts) - timeouts.flush

    def before_kill(self, end_time: float, own_deadline: float) -> float:
        """Return `end_time`, or the own deadline if that is earlier.

        After TERM there is always the second that the kubelet grants at least.
        """
        return min(end_time, max(own_deadline, self.terminated_at + _LEAST_GRACE))

    def wait(self, seconds: float) -> None:
        """Wait, at most until TERM comes."""
        deadline = self._clock.monotonic() + seconds
        while (remaining := deadline - self._clock.monotonic()) > 0:
            if self._event.wait(min(remaining, _POLL_INTERVAL)):
                return

    def wait_for_prestop(self, seconds: float) -> None:
        """Wait, at most until `prestop` has run or TERM comes."""
        deadline = self._clock.monotonic() + seconds
        while not self.prestop_received() and (remaining := deadline - self._clock.monotonic()) > 0:
            if self._event.wait(min(remaining, _POLL_INTERVAL)):
                return


class TerminationMessage(Struct, frozen=True):
    """How the last flush went.

    Attributes:
        outcome: `flushed`, `partial`, `failed`, `late` or `fenced`.
        generation: The last committed generation.
        missing: What it lacks, for `partial`.
        over_limit: How many entries were beyond the limit, at least.
        seconds: From TERM to the end.
        reason: Why not everything is stored; empty if it is.
    """

    outcome: str
    generation: int
    missing: Partial | Complete
    seconds: float
    reason: str = ""
    over_limit: int = 0


def encode_termination_message(message: TerminationMessage) -> bytes:
    """Encode the message, in less than the 4,096 bytes that the kubelet takes."""
    missing = message.missing if isinstance(message.missing, Partial) else Partial(0, 0)
    value = {
        "outcome": message.outcome,
        "generation": message.generation,
        "partial": message.outcome == "partial",
        "missingFiles": missing.files,
        "missingBytes": missing.size,
        "overLimitEntries": message.over_limit,
        "seconds": round(message.seconds, 3),
        "reason": message.reason[:1000],
    }
    return orjson.dumps(value) + b"\n"


_OPEN_FAILURES = {
    # A pipe without a reader, or a socket.
    errno.ENXIO: "not a regular file",
    errno.ELOOP: "a symbolic link, which is not followed",
}


def write_termination_message(path: Path, message: TerminationMessage) -> str:
    """Write the message; returns why that failed, empty if it did not. Raises nothing.

    Only a regular file is written to, no link is followed, and a pipe without a reader is not
    waited for.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        with open(os.open(path, flags, 0o644), "wb") as file:  # noqa: PTH123 - a descriptor
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return f"{path}: not a regular file"
            file.truncate()
            file.write(encode_termination_message(message))
    except OSError as error:
        reason = _OPEN_FAILURES.get(error.errno or 0, error.strerror)
        return f"{path}: {reason}"
    return ""
