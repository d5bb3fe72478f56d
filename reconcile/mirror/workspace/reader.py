"""Reads files exactly as a walk saw them, or not at all: a file that changes is never torn.

A file has settled when a further write is sure to change its `ctime`. Holes of sparse files are
found without reading, and a chunk of zeros is hashed only once.
"""

import errno
import hashlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TypeAlias

from msgspec import Struct

from reconcile.mirror.errors import MirrorError
from reconcile.mirror.snapshot.keys import CHUNK
from reconcile.mirror.workspace.dirfd import DirectoryHandles
from reconcile.mirror.workspace.walk import FileStat, build_file_stat

TICK = 20_000_000
"""Nanoseconds; the kernel's file times advance every 1 to 10 ms, so two writes may look equal."""

COARSE_TICK = 2_000_000_000
"""The same for file systems with whole seconds, which is assumed for a time without fractions."""


def time_until_settled(ctime: int, now: int) -> int:
    """Return the nanoseconds until a further write to this file is sure to change its `ctime`.

    0 for a time in the future: a clock that is ahead must not exclude a file forever.
    """
    tick = TICK if ctime % 1_000_000_000 else COARSE_TICK
    age = now - ctime
    return tick - age if 0 <= age < tick else 0


@cache
def zero_chunk() -> bytes:
    """Return a whole chunk of zeros, always the same object."""
    return bytes(CHUNK)


@cache
def zero_chunk_digest() -> str:
    """Return the digest of a whole chunk of zeros."""
    return hashlib.sha256(zero_chunk()).hexdigest()


def compute_blob_digest(data: bytes) -> str:
    """Return the SHA-256 of some bytes; fast for the object that `zero_chunk` returns."""
    return zero_chunk_digest() if data is zero_chunk() else hashlib.sha256(data).hexdigest()


def zeros(size: int) -> bytes:
    """Return zeros; for a whole chunk the object that `zero_chunk` returns."""
    return zero_chunk() if size == CHUNK else bytes(size)


def seek_data(descriptor: int, offset: int) -> int | None:
    """Return where data begins at or after an offset, None if only a hole follows.

    If the file system does not report holes, everything is data. The file's position is `offset`.
    """
    try:
        return os.lseek(descriptor, offset, os.SEEK_DATA)
    except OSError as error:
        return None if error.errno == errno.ENXIO else offset
    finally:
        os.lseek(descriptor, offset, os.SEEK_SET)


_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CHANGED_ERRNOS = {
    errno.ENOENT,
    errno.ENOTDIR,
    errno.ELOOP,
    errno.ENXIO,
    errno.ESTALE,
    errno.EINVAL,
}


class ReadContent(Struct, frozen=True):
    """The whole content of the file, unchanged since it was seen."""

    data: bytes


class FileChanged(Struct, frozen=True):
    """The file has changed since it was seen: read it when it has settled."""

    path: str


class FileUnreadable(Struct, frozen=True):
    """The file exists but cannot be read; `reason` is for people."""

    path: str
    reason: str


ReadResult: TypeAlias = ReadContent | FileChanged | FileUnreadable


class FileChangedError(MirrorError):
    """The file changed before or while it was read; the caller discards what it got so far."""


class FileUnreadableError(MirrorError):
    """The file at `path` exists but cannot be read."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(reason)
        self.path = path


def read_small_file(root: int | DirectoryHandles, file: FileStat) -> ReadResult:
    """Read a whole small file.

    For many files, give a `DirectoryHandles`, which keeps their directories open.
    """
    try:
        if isinstance(root, DirectoryHandles):
            return _read_whole(root, file)
        with DirectoryHandles(root) as directories:
            return _read_whole(directories, file)
    except OSError as error:
        if error.errno in _CHANGED_ERRNOS:
            return FileChanged(file.path)
        return FileUnreadable(file.path, str(error.strerror))
    except FileChangedError:
        return FileChanged(file.path)


def _read_whole(directories: DirectoryHandles, file: FileStat) -> ReadResult:
    descriptor = _open(directories, file.path)
    try:
        _check_unchanged(os.fstat(descriptor), file)
        _wait_for_tick(file)
        data = _read(descriptor, file.size)
        _check_unchanged(os.fstat(descriptor), file)
    finally:
        os.close(descriptor)
    return ReadContent(data) if len(data) == file.size else FileChanged(file.path)


def read_chunks(root: int | DirectoryHandles, file: FileStat, size: int = CHUNK) -> Iterator[bytes]:
    """Yield a large file in chunks of `size` bytes, the last one shorter.

    Raises:
        FileChangedError: At the end at the latest, if it has changed since it was seen.
        FileUnreadableError: It cannot be read.
    """
    with _open_unchanged(root, file) as descriptor:
        yield from _iter_chunks(descriptor, file, size)
        _check_unchanged(os.fstat(descriptor), file)


def read_growing(
    root: int | DirectoryHandles, file: FileStat, size: int = CHUNK
) -> Iterator[bytes]:
    """Yield the file up to the size that was seen, ignoring what is appended during the read.

    It does not detect that existing bytes are overwritten: a caller that knows the format must.
    Raises as `read_chunks`.
    """
    with _directories(root) as directories, open_path(directories, file.path) as descriptor:
        _check_same_file(os.fstat(descriptor), file)
        yield from _iter_chunks(descriptor, file, size)


def read_link(root: int | DirectoryHandles, file: FileStat) -> str:
    """Return the target of a symbolic link; FileChangedError if it is not the one that was seen."""
    with _directories(root) as directories, _translate_errors(file.path):
        parent, name = directories.open_parent(file.path)
        target = os.readlink(name, dir_fd=parent)
        _check_unchanged(os.stat(name, dir_fd=parent, follow_symlinks=False), file)
        return target


def stat_path(directories: DirectoryHandles, path: str) -> FileStat:
    """Return the current `lstat` data of one path; FileChangedError if it does not exist."""
    directories.close_cached()
    try:
        parent, name = directories.open_parent(path)
        return build_file_stat(path, os.stat(name, dir_fd=parent, follow_symlinks=False))
    except OSError as error:
        raise FileChangedError(path) from error


def _iter_chunks(descriptor: int, file: FileStat, size: int) -> Iterator[bytes]:
    at = 0
    data_at: int | None = 0
    while at < file.size:
        length = min(size, file.size - at)
        if data_at is not None and data_at <= at:
            data_at = _seek_data(descriptor, at, file)
        if data_at is None or data_at >= at + length:
            yield zeros(length)
        else:
            os.lseek(descriptor, at, os.SEEK_SET)
            data = _read(descriptor, length)
            if len(data) != length:
                raise FileChangedError(file.path)
            yield data
        at += length


def _seek_data(descriptor: int, at: int, file: FileStat) -> int | None:
    """Find the next data; FileChangedError if the file has become shorter."""
    data_at = seek_data(descriptor, at)
    if data_at is None and os.fstat(descriptor).st_size < file.size:
        raise FileChangedError(file.path)
    return data_at


@contextmanager
def _open_unchanged(root: int | DirectoryHandles, file: FileStat) -> Iterator[int]:
    """Open a file after a check that it is the one that was seen, unchanged."""
    with _directories(root) as directories, open_path(directories, file.path) as descriptor:
        _check_unchanged(os.fstat(descriptor), file)
        _wait_for_tick(file)
        yield descriptor


@contextmanager
def open_path(directories: DirectoryHandles, path: str) -> Iterator[int]:
    """Open a file for reading, not through a link, and without waiting; raises as `read_chunks`."""
    with _translate_errors(path):
        descriptor = _open(directories, path)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def _open(directories: DirectoryHandles, path: str) -> int:
    parent, name = directories.open_parent(path)
    return os.open(name, _FLAGS, dir_fd=parent)


@contextmanager
def _directories(root: int | DirectoryHandles) -> Iterator[DirectoryHandles]:
    if isinstance(root, DirectoryHandles):
        yield root
        return
    with DirectoryHandles(root) as directories:
        yield directories


@contextmanager
def _translate_errors(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _CHANGED_ERRNOS:
            raise FileChangedError(path) from error
        raise FileUnreadableError(path, str(error.strerror)) from error


def _wait_for_tick(file: FileStat) -> None:
    """Wait until a further write is sure to change the file's times."""
    wait = time_until_settled(file.ctime, time.time_ns())
    if wait > TICK:
        raise FileChangedError(file.path)
    if wait:
        threading.Event().wait(wait / 1e9)


def _check_unchanged(status: os.stat_result, file: FileStat) -> None:
    if (
        status.st_ctime_ns != file.ctime
        or status.st_mtime_ns != file.mtime
        or status.st_size != file.size
        or status.st_ino != file.inode
        or status.st_dev != file.device
        or status.st_mode != file.mode
    ):
        raise FileChangedError(file.path)


def _check_same_file(status: os.stat_result, file: FileStat) -> None:
    """Raise FileChangedError for another file or a smaller one; times may differ."""
    now = (status.st_ino, status.st_dev, status.st_mode)
    if now != (file.inode, file.device, file.mode) or status.st_size < file.size:
        raise FileChangedError(file.path)


def _read(descriptor: int, size: int) -> bytes:
    """Read `size` bytes, or fewer at the end of the file."""
    data = os.read(descriptor, size)
    if len(data) == size or not data:
        return data
    parts = [data]
    while len(data) and (missing := size - sum(map(len, parts))):
        data = os.read(descriptor, missing)
        parts.append(data)
    return b"".join(parts)
