"""Brings the bytes of one task from the store into the volume, each of them checked by digest.

Room for a whole object in memory.

Brings one blob of a large file from the store to its place, a piece at a time.
"""

import hashlib
import os
import threading
from array import array
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final, Protocol, assert_never

from reconcile.mirror.errors import DamagedError, MissingObjectError
from reconcile.mirror.index import append_row
from reconcile.mirror.model import File, Pack, Packed
from reconcile.mirror.restore.tasks import ChunkTask, PackTask, Piece, Task, WholeTask
from reconcile.mirror.snapshot.keys import CHUNK, blob_key, pack_key
from reconcile.mirror.snapshot.pack import Member, read_member
from reconcile.mirror.store.port import Room, Store
from reconcile.mirror.workspace.reader import hole_digest
from reconcile.mirror.workspace.writer import Spot


class Buffer:
    """Memory that an object is read into from its beginning; what it held is lost."""

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self._at = 0

    def begin(self) -> None:
        self._at = 0

    def space(self) -> memoryview:
        return self._memory[self._at :]

    def take(self, size: int) -> None:
        self._at += size


PIECE: Final = 512 << 10
"""Bytes that are hashed and written together, while they are still in the processor's cache."""


class Pouring:
    """Room for one blob. What is written is proven by `digest` at the end, not before."""

    def __init__(self, spot: Spot, size: int) -> None:
        self.size = size
        self._spot = spot
        self._memory = memoryview(bytearray(min(size, PIECE)))
        self.begin()

    def begin(self) -> None:
        self._at = 0
        self._hash = hashlib.sha256()

    def space(self) -> memoryview:
        return self._memory[: self.size - self._at]

    def take(self, size: int) -> None:
        piece = self._memory[:size]
        self._hash.update(piece)
        self._spot.write(piece, self._at)
        self._at += size

    def digest(self) -> str:
        """Return the SHA-256 of what has come since the last beginning."""
        return self._hash.hexdigest()


class Target(Protocol):
    """Where files are written to; raises WorkspaceError where that fails."""

    def write(self, file: File, data: bytes | memoryview) -> os.stat_result:
        """Write a file whole that has one blob, and return what it is from then on."""
        ...

    def spot(self, path: str, place: range) -> AbstractContextManager[Spot]:
        """Open a file that has several blobs; `place` says which of its bytes one of them is."""
        ...


class Hands:
    """Performs tasks, several at a time, each in a thread of its own."""

    def __init__(self, store: Store, target: Target) -> None:
        self._store = store
        self._target = target
        # Threads that all write small files hand the interpreter to and fro at each call of the
        # system, which costs more than the calls: one writes while the others fetch.
        self._writing = threading.Lock()
        self._local = threading.local()

    def do(self, task: Task) -> Piece:
        """Perform a task.

        Raises:
            DamagedError: An object is missing, or not what its digest says; names it.
            StoreError: One could not be read.
            WorkspaceError: The volume does not let it be written.
        """
        match task:
            case PackTask(pack, files):
                return self._unpack(pack, files)
            case WholeTask(file):
                data = self._blob(file.blobs[0], file.path, file.size)
                return Piece(1, file.size, self._write([(file, data)]))
            case ChunkTask(path, offset, size, digest, last):
                with self._target.spot(path, range(offset, offset + size)) as spot:
                    if digest != hole_digest():
                        self._pour(digest, path, Pouring(spot, size))
                return Piece(int(last), size)
            case _:
                assert_never(task)

    def _pour(self, digest: str, path: str, room: Pouring) -> None:
        self._read(blob_key(digest), path, room, room.size)
        if room.digest() != digest:
            raise _altered(blob_key(digest), path)

    def _blob(self, digest: str, path: str, size: int) -> memoryview:
        data = self._object(blob_key(digest), path, size)
        if hashlib.sha256(data).hexdigest() != digest:
            raise _altered(blob_key(digest), path)
        return data

    def _unpack(self, pack: Pack, files: tuple[File, ...]) -> Piece:
        data = self._object(pack_key(pack.digest), files[0].path, pack.size)
        # Other threads go on while millions of bytes are hashed, and wait for each small blob.
        whole = hashlib.sha256(data).hexdigest() == pack.digest
        members = ((file, _member(pack, data, file, whole=whole)) for file in files)
        with self._writing:
            rows = self._write(members)
        return Piece(len(files), len(data), rows)

    def _write(self, members: Iterable[tuple[File, memoryview]]) -> bytes:
        rows = array("q")
        for file, data in members:
            append_row(rows, self._target.write(file, data))
        return rows.tobytes()

    def _object(self, key: str, path: str, size: int) -> memoryview:
        """Return an object of this size, in the calling thread's buffer until its next call."""
        buffer = self._buffer(size)
        self._read(key, path, Buffer(buffer), size)
        return buffer

    def _read(self, key: str, path: str, room: Room, size: int) -> None:
        try:
            found = self._store.get_into(key, room)
        except MissingObjectError:
            raise DamagedError(
                f"{key} is missing though {path!r} needs it. Restore that object, or go back to an "
                "earlier generation"
            ) from None
        except DamagedError:
            raise _altered(key, path) from None
        if found != size:
            raise _altered(key, path)

    def _buffer(self, size: int) -> memoryview:
        """Return memory that is used again: new memory costs the system a page at a time."""
        known: bytearray = getattr(self._local, "buffer", bytearray())
        if len(known) < size:
            known = self._local.buffer = bytearray(max(size, CHUNK))
        return memoryview(known)[:size]


def _member(pack: Pack, data: memoryview, file: File, *, whole: bool) -> memoryview:
    """Return one file's bytes, proven by the digest of the whole pack or by their own."""
    assert isinstance(file.place, Packed)
    try:
        member = read_member(data, Member(file.blobs[0], file.place.offset, file.size))
    except DamagedError:
        raise _altered(pack_key(pack.digest), file.path) from None
    # What was damaged may be what nobody needs.
    if not whole and hashlib.sha256(member).hexdigest() != file.blobs[0]:
        raise _altered(pack_key(pack.digest), file.path)
    return member


def _altered(key: str, path: str) -> DamagedError:
    return DamagedError(
        f"{key} was altered: what it has of {path!r} is not what its digest says. Restore that "
        "object, or go back to an earlier generation"
    )


if TYPE_CHECKING:
    _conforms: type[Room] = Buffer
    _conforms_1: type[Room] = Pouring
