"""Folders of a workspace that an agent could change: links are never followed, nothing is deleted.

Whatever is not what its name says is moved aside, to `<name>.moved-1`, where the agent finds it.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MOST_MOVED: Final = 100
_LONGEST_LINE: Final = 1 << 20


@contextmanager
def open_folder(name: str | Path, parent: int | None = None) -> Iterator[int]:
    """Open a folder for the duration of the block; a link is an OSError."""
    descriptor = os.open(name, FOLDER_FLAGS, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def is_folder(name: str, parent: int) -> bool:
    """Whether something is a folder, and no link to one."""
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def move_aside(name: str, parent: int) -> str:
    """Rename what is not what it should be, and return its new name.

    Raises:
        OSError: It cannot be renamed.
    """
    for number in range(1, _MOST_MOVED):
        aside = f"{name}.moved-{number}"
        try:
            os.stat(aside, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            os.rename(name, aside, src_dir_fd=parent, dst_dir_fd=parent)
            return aside
    raise OSError(errno.EEXIST, "no name is free to move it aside")


def ensure_folder(name: str, parent: int) -> str:
    """Make sure that a usable folder has this name; returns what was moved aside for it, or `""`.

    A folder of ours without rights, which no program could enter, gets them back.

    Raises:
        OSError: The folder cannot be made.
    """
    moved = ""
    with suppress(FileNotFoundError):
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if not stat.S_ISDIR(status.st_mode):
            moved = move_aside(name, parent)
        elif status.st_mode & stat.S_IRWXU != stat.S_IRWXU and status.st_uid == os.geteuid():
            _give_rights(name, parent, 0o700)
    with suppress(FileExistsError):
        os.mkdir(name, 0o775, dir_fd=parent)
    return moved


def _give_rights(name: str, parent: int, rights: int) -> None:
    """Add rights to what has this name, even if a link has replaced it since it was examined."""
    descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISLNK(mode):
            os.chmod(f"/proc/self/fd/{descriptor}", rights | stat.S_IMODE(mode))  # noqa: PTH101
    finally:
        os.close(descriptor)


def read_file(name: str, parent: int, limit: int) -> bytes | None:
    """Read a file; None if something else has its name, or it has more than `limit` bytes.

    Raises:
        OSError: It does not exist, or cannot be read.
    """
    status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if not stat.S_ISREG(status.st_mode):
        return None
    if not status.st_mode & stat.S_IRUSR and status.st_uid == os.geteuid():
        _give_rights(name, parent, stat.S_IRUSR)
    with os.fdopen(os.open(name, _FILE_FLAGS, dir_fd=parent), "rb") as file:
        data = file.read(limit + 1)
    return data if len(data) <= limit else None


def replace_file(name: str, parent: int, data: bytes, mode: int = 0o640) -> None:
    """Replace a file at once, and make it durable.

    Raises:
        OSError: It cannot be written.
    """
    temporary = f".{name}.new"
    if is_folder(temporary, parent):
        move_aside(temporary, parent)
    with suppress(FileNotFoundError):
        os.unlink(temporary, dir_fd=parent)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(temporary, flags, mode, dir_fd=parent), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
    os.fsync(parent)


def size_of_file(name: str, parent: int) -> int:
    """Return a file's bytes; 0 if it does not exist.

    What is not a file of ours, or cannot be written, is moved aside.

    Raises:
        OSError: It cannot be examined, or moved.
    """
    try:
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return 0
    is_usable = stat.S_ISREG(status.st_mode) and status.st_mode & stat.S_IWUSR
    if is_usable and status.st_uid == os.geteuid():
        return status.st_size
    move_aside(name, parent)
    return 0


def append_file(name: str, parent: int, data: bytes, mode: int = 0o640) -> None:
    """Append lines to a file, which is made if it does not exist.

    The begin of a line at its end, which a process left that was killed, is removed.

    Raises:
        OSError: It is a link or no file, or cannot be written.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(name, flags, mode, dir_fd=parent)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a file")
        _remove_partial_line(descriptor)
        remaining = memoryview(data)
        while remaining:
            remaining = remaining[os.write(descriptor, remaining) :]
    finally:
        os.close(descriptor)


def _remove_partial_line(descriptor: int) -> None:
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        start = max(0, size - _LONGEST_LINE)
        end = os.pread(descriptor, _LONGEST_LINE, start)
        os.ftruncate(descriptor, start + end.rfind(b"\n") + 1)
