"""Reads files as they were seen, or not at all: what changes meanwhile is never torn.

When a file is quiet, told from its times alone.

Holes of sparse files: found without reading, known without hashing, made without writing.
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
from reconcile.mirror.workspace.dirfd import Directories
from reconcile.mirror.workspace.walk import Seen, as_seen

TICK = 20_000_000
"""Nanoseconds; the kernel's file times advance every 1 to 10 ms, and so two writes may look one."""

COARSE = 2_000_000_000
"""The same for file systems that keep whole seconds, told by a time without fractions."""


def fresh_for(ctime: int, now: int) -> int:
    """How many nanoseconds until a further write to this file is sure to change its `ctime`.

    0 for a time in the future: a clock that is ahead must not keep a file out for ever.
    """
    grain = TICK if ctime % 1_000_000_000 else COARSE
    age = now - ctime
    return grain - age if 0 <= age < grain else 0


@cache
def hole() -> bytes:
    """Return a whole chunk of zeros, always the same object."""
    return bytes(CHUNK)


@cache
def hole_digest() -> str:
    """Return the digest of a whole chunk of zeros."""
    return hashlib.sha256(hole()).hexdigest()


def digest_of(data: bytes) -> str:
    """Return the SHA-256 of some bytes, which may be `hole()` itself."""
    return hole_digest() if data is hole() else hashlib.sha256(data).hexdigest()


def zeros(size: int) -> bytes:
    """Return zeros, `hole()` itself where that fits."""
    return hole() if size == CHUNK else bytes(size)


def data_from(descriptor: int, offset: int) -> int | None:
    """Return where data begins at or after an offset; None where only a hole is left.

    Where the file system does not tell, everything is data. The file's position is as it was.
    """
    try:
        found = os.lseek(descriptor, offset, os.SEEK_DATA)
    except OSError as error:
        return None if error.errno == errno.ENXIO else offset
    finally:
        os.lseek(descriptor, offset, os.SEEK_SET)
    return found


_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CHANGED = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.ESTALE, errno.EINVAL}


class Content(Struct, frozen=True):
    """The whole file, as it was when it was seen."""

    data: bytes


class Changed(Struct, frozen=True):
    """It is no longer what was seen: take it at the next quiet moment."""

    path: str


class Unreadable(Struct, frozen=True):
    """It is there, but may not or cannot be read; `reason` is for people."""

    path: str
    reason: str


Reading: TypeAlias = Content | Changed | Unreadable


class ChangedError(MirrorError):
    """The file changed while it was read; what was given out of it is to be thrown away."""


class UnreadableError(MirrorError):
    """The file may not or cannot be read."""


def read_file(root: int | Directories, seen: Seen) -> Reading:
    """Read a small file whole.

    Give a `Directories` for many files: it holds their directories open.
    """
    try:
        if isinstance(root, Directories):
            return _whole(root, seen)
        with Directories(root) as directories:
            return _whole(directories, seen)
    except OSError as error:
        if error.errno in _CHANGED:
            return Changed(seen.path)
        return Unreadable(seen.path, str(error.strerror))
    except ChangedError:
        return Changed(seen.path)


def _whole(directories: Directories, seen: Seen) -> Reading:
    descriptor = _open(directories, seen)
    try:
        _same(os.fstat(descriptor), seen)
        _let_tick_pass(seen)
        data = _read(descriptor, seen.size)
        _same(os.fstat(descriptor), seen)
    finally:
        os.close(descriptor)
    return Content(data) if len(data) == seen.size else Changed(seen.path)


def read_chunks(root: int | Directories, seen: Seen, size: int = CHUNK) -> Iterator[bytes]:
    """Yield a large file in pieces of `size` bytes, the last one shorter.

    ChangedError where it is, or becomes, another than was seen; it comes at the end at the latest.
    UnreadableError where it cannot be read.
    """
    with _opened(root, seen) as descriptor:
        yield from _pieces(descriptor, seen, size)
        _same(os.fstat(descriptor), seen)


def read_growing(root: int | Directories, seen: Seen, size: int = CHUNK) -> Iterator[bytes]:
    """Yield as much of a file as was seen, whatever is appended to it meanwhile.

    What was there may be overwritten meanwhile; only who knows the format can tell.
    """
    with _directories(root) as directories, _worded(seen):
        descriptor = _open(directories, seen)
        try:
            _same_file(os.fstat(descriptor), seen)
            yield from _pieces(descriptor, seen, size)
        finally:
            os.close(descriptor)


def read_link(root: int | Directories, seen: Seen) -> str:
    """Return what a symbolic link says; ChangedError where it is none any more."""
    with _directories(root) as directories, _worded(seen):
        parent, name = directories.parent(seen.path)
        target = os.readlink(name, dir_fd=parent)
        _same(os.stat(name, dir_fd=parent, follow_symlinks=False), seen)
        return target


def look(directories: Directories, path: str) -> Seen:
    """See one path anew, without a walk; ChangedError where nothing is there any more."""
    directories.forget()
    try:
        parent, name = directories.parent(path)
        return as_seen(path, os.stat(name, dir_fd=parent, follow_symlinks=False))
    except OSError as error:
        raise ChangedError(path) from error


def _pieces(descriptor: int, seen: Seen, size: int) -> Iterator[bytes]:
    at = 0
    data_at: int | None = 0
    while at < seen.size:
        length = min(size, seen.size - at)
        if data_at is not None and data_at <= at:
            data_at = _data_from(descriptor, at, seen)
        if data_at is None or data_at >= at + length:
            yield zeros(length)
        else:
            os.lseek(descriptor, at, os.SEEK_SET)
            data = _read(descriptor, length)
            if len(data) != length:
                raise ChangedError(seen.path)
            yield data
        at += length


def _data_from(descriptor: int, at: int, seen: Seen) -> int | None:
    """Find the next data; what is beyond the end of the file is no hole."""
    found = data_from(descriptor, at)
    if found is None and os.fstat(descriptor).st_size < seen.size:
        raise ChangedError(seen.path)
    return found


@contextmanager
def _opened(root: int | Directories, seen: Seen) -> Iterator[int]:
    """Open the very file that was seen, as it was seen."""
    with _directories(root) as directories, _worded(seen):
        descriptor = _open(directories, seen)
        try:
            _same(os.fstat(descriptor), seen)
            _let_tick_pass(seen)
            yield descriptor
        finally:
            os.close(descriptor)


def _open(directories: Directories, seen: Seen) -> int:
    parent, name = directories.parent(seen.path)
    return os.open(name, _FLAGS, dir_fd=parent)


@contextmanager
def _directories(root: int | Directories) -> Iterator[Directories]:
    if isinstance(root, Directories):
        yield root
        return
    with Directories(root) as directories:
        yield directories


@contextmanager
def _worded(seen: Seen) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _CHANGED:
            raise ChangedError(seen.path) from error
        raise UnreadableError(str(error.strerror)) from error


def _let_tick_pass(seen: Seen) -> None:
    """Wait until a further write must show in the file's times, which have the kernel's ticks."""
    wait = fresh_for(seen.ctime, time.time_ns())
    if wait > TICK:
        raise ChangedError(seen.path)
    if wait:
        threading.Event().wait(wait / 1e9)


def _same(status: os.stat_result, seen: Seen) -> None:
    if (
        status.st_ctime_ns != seen.ctime
        or status.st_mtime_ns != seen.mtime
        or status.st_size != seen.size
        or status.st_ino != seen.inode
        or status.st_dev != seen.device
        or status.st_mode != seen.mode
    ):
        raise ChangedError(seen.path)


def _same_file(status: os.stat_result, seen: Seen) -> None:
    """Let times and a larger size pass."""
    now = (status.st_ino, status.st_dev, status.st_mode)
    if now != (seen.inode, seen.device, seen.mode) or status.st_size < seen.size:
        raise ChangedError(seen.path)


def _read(descriptor: int, size: int) -> bytes:
    """Read `size` bytes, or less at the end of the file."""
    data = os.read(descriptor, size)
    if len(data) == size or not data:
        return data
    parts = [data]
    while len(data) and (missing := size - sum(map(len, parts))):
        data = os.read(descriptor, missing)
        parts.append(data)
    return b"".join(parts)
