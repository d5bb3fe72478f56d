"""Downloads the objects of tasks, checks every byte by digest, and writes the files.

Packs and small files are read into memory; a blob of a large file is written piece by piece.
"""

import hashlib
import os
import threading
from array import array
from collections.abc import Iterable
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, assert_never

from reconcile.mirror.errors import DamagedError, MissingObjectError
from reconcile.mirror.index import append_row
from reconcile.mirror.model import File, Pack, PackedBlob
from reconcile.mirror.restore.tasks import ChunkTask, FileTask, PackTask, RestoreTask, TaskResult
from reconcile.mirror.snapshot.keys import CHUNK, blob_key, pack_key
from reconcile.mirror.snapshot.pack import PackMember, read_member
from reconcile.mirror.store.port import Sink, Store
from reconcile.mirror.workspace.reader import zero_chunk_digest
from reconcile.mirror.workspace.writer import OpenChunk


class MemorySink:
    """A buffer that an object is read into from its beginning."""

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self._offset = 0

    def begin(self) -> None:
        self._offset = 0

    def space(self) -> memoryview:
        return self._memory[self._offset :]

    def take(self, size: int) -> None:
        self._offset += size


WRITE_SIZE: Final = 512 << 10
"""Bytes that are hashed and written together, while they are in the processor's cache."""


class ChunkWriter:
    """Writes one blob of a large file; whether it is correct is known by `digest` at the end."""

    def __init__(self, chunk: OpenChunk, size: int) -> None:
        self.size = size
        self._chunk = chunk
        self._memory = memoryview(bytearray(min(size, WRITE_SIZE)))
        self.begin()

    def begin(self) -> None:
        self._offset = 0
        self._hash = hashlib.sha256()

    def space(self) -> memoryview:
        return self._memory[: self.size - self._offset]

    def take(self, size: int) -> None:
        piece = self._memory[:size]
        self._hash.update(piece)
        self._chunk.write(piece, self._offset)
        self._offset += size

    def digest(self) -> str:
        """Return the SHA-256 of all bytes since `begin`."""
        return self._hash.hexdigest()


class DownloadTarget(Protocol):
    """Where files are written to; raises WorkspaceError where that fails."""

    def write(self, file: File, data: bytes | memoryview) -> os.stat_result:
        """Write a file that has one blob, and return its status afterwards."""
        ...

    def open_chunk(self, path: str, byte_range: range) -> AbstractContextManager[OpenChunk]:
        """Open a file that has several blobs, to write one: the bytes of `byte_range`."""
        ...


class Downloader:
    """Runs tasks, several at a time, each in a thread of its own."""

    def __init__(self, store: Store, target: DownloadTarget) -> None:
        self._store = store
        self._target = target
        # If several threads write small files, they pass on the interpreter lock at each system
        # call, which costs more than the calls: one thread writes while the others download.
        self._write_lock = threading.Lock()
        self._local = threading.local()

    def run_task(self, task: RestoreTask) -> TaskResult:
        """Run a task.

        Raises:
            DamagedError: An object is missing, or does not match its digest; names it.
            StoreError: An object could not be read.
            WorkspaceError: The volume cannot be written.
        """
        match task:
            case PackTask(pack, files):
                return self._restore_pack(pack, files)
            case FileTask(file):
                blob = partial(self._read_blob, file.blobs[0], file.path, file.size)
                data = self._store.retry(blob)
                return TaskResult(1, file.size, self._write_files([(file, data)]))
            case ChunkTask(path, offset, size, digest, is_last):
                with self._target.open_chunk(path, range(offset, offset + size)) as chunk:
                    if digest != zero_chunk_digest():
                        writer = ChunkWriter(chunk, size)
                        self._store.retry(partial(self._restore_chunk, digest, path, writer))
                return TaskResult(int(is_last), size)
            case _:
                assert_never(task)

    def _restore_chunk(self, digest: str, path: str, writer: ChunkWriter) -> None:
        self._read_into(blob_key(digest), path, writer, writer.size)
        if writer.digest() != digest:
            raise _altered_error(blob_key(digest), path)

    def _read_blob(self, digest: str, path: str, size: int) -> memoryview:
        data = self._read_object(blob_key(digest), path, size)
        if hashlib.sha256(data).hexdigest() != digest:
            raise _altered_error(blob_key(digest), path)
        return data

    def _restore_pack(self, pack: Pack, files: tuple[File, ...]) -> TaskResult:
        data, is_verified = self._read_pack(pack, files[0].path)
        members = (
            (file, _read_verified_member(pack, data, file, is_pack_verified=is_verified))
            for file in files
        )
        with self._write_lock:
            rows = self._write_files(members)
        return TaskResult(len(files), len(data), rows)

    def _read_pack(self, pack: Pack, path: str) -> tuple[memoryview, bool]:
        """Return a pack, and whether its digest is right: a damaged part may be of no file."""
        read = partial(self._read_object, pack_key(pack.digest), path, pack.size)
        try:
            return self._store.retry(lambda: _check_pack(pack, read(), path)), True
        except DamagedError:
            return read(), False

    def _write_files(self, members: Iterable[tuple[File, memoryview]]) -> bytes:
        rows = array("q")
        for file, data in members:
            append_row(rows, self._target.write(file, data))
        return rows.tobytes()

    def _read_object(self, key: str, path: str, size: int) -> memoryview:
        """Return an object of this size, in the thread's buffer: valid until its next call."""
        buffer = self._thread_buffer(size)
        self._read_into(key, path, MemorySink(buffer), size)
        return buffer

    def _read_into(self, key: str, path: str, sink: Sink, size: int) -> None:
        try:
            received = self._store.get_into(key, sink)
        except MissingObjectError:
            raise DamagedError(
                f"{key} is missing though {path!r} needs it. Restore that object, or go back to an "
                "earlier generation"
            ) from None
        except DamagedError:
            raise _altered_error(key, path) from None
        if received != size:
            raise _altered_error(key, path)

    def _thread_buffer(self, size: int) -> memoryview:
        """Return memory that is reused: new memory costs a page fault for each page."""
        buffer: bytearray = getattr(self._local, "buffer", bytearray())
        if len(buffer) < size:
            buffer = self._local.buffer = bytearray(max(size, CHUNK))
        return memoryview(buffer)[:size]


def _check_pack(pack: Pack, data: memoryview, path: str) -> memoryview:
    # Hashing millions of bytes releases the interpreter lock, hashing small blobs does not.
    if hashlib.sha256(data).hexdigest() != pack.digest:
        raise _altered_error(pack_key(pack.digest), path)
    return data


def _read_verified_member(
    pack: Pack, data: memoryview, file: File, *, is_pack_verified: bool
) -> memoryview:
    """Return one file's bytes, verified by the digest of the whole pack or by their own."""
    assert isinstance(file.location, PackedBlob)
    try:
        member = read_member(data, PackMember(file.blobs[0], file.location.offset, file.size))
    except DamagedError:
        raise _altered_error(pack_key(pack.digest), file.path) from None
    # The damaged part of the pack may be one that no file needs.
    if not is_pack_verified and hashlib.sha256(member).hexdigest() != file.blobs[0]:
        raise _altered_error(pack_key(pack.digest), file.path)
    return member


def _altered_error(key: str, path: str) -> DamagedError:
    return DamagedError(
        f"{key} was altered: its data of {path!r} does not match its digest. Restore that "
        "object, or go back to an earlier generation"
    )


if TYPE_CHECKING:
    _conforms: type[Sink] = MemorySink
    _conforms_1: type[Sink] = ChunkWriter
