"""Whether anyone uses a session: writes that its mirror has seen, connections to the runner's port.

All times are monotonic seconds of this process, so that a clock that jumps has no effect.
"""

import asyncio
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeAlias

import orjson

_TIMEOUT: Final = 5.0
_LARGEST_STATUS: Final = 64 << 10

_ESTABLISHED: Final = "01"
_FIELDS: Final = 10
_MAPPED: Final = "0000000000000000FFFF0000"
"""How the kernel writes the first 96 bits of an IPv4 address in IPv6."""


@dataclass(frozen=True, slots=True)
class MirrorStatus:
    """What a mirror has seen: its generation, and the seconds since the last write.

    `write_age` is None if there was none, and 0 if a file's time is in the future.
    """

    generation: int
    write_age: float | None


@dataclass(frozen=True, slots=True)
class NotAsked:
    """The mirror was not asked this time, or there is none."""


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The mirror does not answer: writes are not known."""


MirrorAnswer: TypeAlias = MirrorStatus | NotAsked | NoAnswer


@dataclass(frozen=True, slots=True)
class Sample:
    """What was seen at one time."""

    now: float
    mirror: MirrorAnswer
    is_connected: bool = False


@dataclass(frozen=True, slots=True)
class Activity:
    """The last sign of use that is not a run: a write, or a connection to the runner.

    Attributes:
        last: The time of that sign, or of the start.
        answered: When the mirror answered the last time, or the time of the start.
        generation: The generation that the mirror had then.
    """

    last: float
    answered: float
    generation: int | None = None

    def add(self, sample: Sample) -> "Activity":
        """Return the activity after a sample."""
        last = max(self.last, sample.now) if sample.is_connected else self.last
        match sample.mirror:
            case NotAsked():
                return replace(self, last=last)
            case NoAnswer():
                # What was written since the last answer is not known: the time counts from there.
                return replace(self, last=max(last, self.answered))
            case MirrorStatus() as status:
                written = self._find_write(status, sample.now)
                return Activity(max(last, written), sample.now, status.generation)

    def _find_write(self, status: MirrorStatus, now: float) -> float:
        """Return when the last write was.

        A new generation is a write, too: after a clock was set back, files look old.
        """
        if self.generation is not None and status.generation != self.generation:
            return now
        return now - status.write_age if status.write_age else self.last


async def fetch_mirror_status(host: str, port: int) -> MirrorStatus | NoAnswer:
    """Ask a mirror on this pod; a program of the agent may listen there, so anything can come."""
    try:
        async with asyncio.timeout(_TIMEOUT):
            head, _, body = (await _request_status(host, port)).partition(b"\r\n\r\n")
        return _parse_status(orjson.loads(body)) if head.split()[1:2] == [b"200"] else NoAnswer()
    except (OSError, ValueError):
        return NoAnswer()


async def _request_status(host: str, port: int) -> bytes:
    """Return an answer to its end, or its begin: with HTTP/1.0 the server closes the connection."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(b"GET /status HTTP/1.0\r\n\r\n")
        return await reader.readexactly(_LARGEST_STATUS)
    except asyncio.IncompleteReadError as error:
        return error.partial
    finally:
        writer.close()


def _parse_status(status: Any) -> MirrorStatus | NoAnswer:
    fields = status if isinstance(status, dict) else {}
    generation, age = fields.get("generation"), fields.get("writeAgeSeconds")
    if not isinstance(generation, int) or not isinstance(age, int | float | None):
        return NoAnswer()
    return MirrorStatus(generation, None if age is None else max(0.0, float(age)))


@dataclass(frozen=True, slots=True)
class Connection:
    """An established connection of the pod: addresses as the kernel writes them, and its socket."""

    local: str
    remote: str
    socket: str

    @property
    def local_port(self) -> int:
        """The port on this side."""
        return int(self.local.rpartition(":")[2], 16)


def parse_connections(lines: Iterable[str]) -> Iterator[Connection]:
    """Parse `/proc/net/tcp` or `tcp6`; IPv4 addresses look the same in both."""
    for line in lines:
        fields = line.split()
        if len(fields) >= _FIELDS and fields[3] == _ESTABLISHED:
            yield Connection(_unmap(fields[1]), _unmap(fields[2]), fields[9])


def _unmap(address: str) -> str:
    return address.removeprefix(_MAPPED)


class ConnectionWatch:
    """Looks for connections to the runner's port that are not this process's own.

    A probe of the kubelet is a connection for a moment: one counts if it is seen twice in a row.
    """

    def __init__(self, port: int, proc: Path = Path("/proc/self")) -> None:
        self._port = port
        self._proc = proc
        self._seen: frozenset[str] = frozenset()

    def is_connected(self) -> bool:
        """Whether a connection is established that was already at the call before."""
        before, self._seen = self._seen, frozenset(self._list_peers())
        return bool(before & self._seen)

    def _list_peers(self) -> Iterator[str]:
        connections = list(self._read())
        incoming = [each.remote for each in connections if each.local_port == self._port]
        if incoming:
            sockets = set(self._list_sockets())
            own = {each.local for each in connections if each.socket in sockets}
            yield from (peer for peer in incoming if peer not in own)

    def _read(self) -> Iterator[Connection]:
        for name in ("tcp", "tcp6"):
            with suppress(OSError), (self._proc / "net" / name).open() as file:
                yield from parse_connections(file)

    def _list_sockets(self) -> Iterator[str]:
        for path in (self._proc / "fd").iterdir():
            with suppress(OSError):
                target = os.readlink(path)  # noqa: PTH115 - `socket:[1]` is no path
                if target.startswith("socket:["):
                    yield target[len("socket:[") : -1]
