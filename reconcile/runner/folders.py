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

    A folder of ours without rights, which nobody could enter, gets them back.

    Raises:
        OSError: The folder cannot be made.
    """
    moved = ""
    with suppress(FileNotFoundError):
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if not stat.S_ISDIR(status.st_mode):
            moved = move_aside(name, parent)
        elif status.st_mode & stat.S_IRWXU != stat.S_IRWXU and status.st_uid == os.geteuid():
            os.chmod(name, 0o700 | stat.S_IMODE(status.st_mode), dir_fd=parent)
    with suppress(FileExistsError):
        os.mkdir(name, 0o775, dir_fd=parent)
    return moved


def read_file(name: str, parent: int, limit: int) -> bytes | None:
    """Read a file; None if something else has its name, or it has more than `limit` bytes.

    Raises:
        OSError: It does not exist, or cannot be read.
    """
    status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if not stat.S_ISREG(status.st_mode):
        return None
    with os.fdopen(os.open(name, _FILE_FLAGS, dir_fd=parent), "rb") as file:
        data = file.read(limit + 1)
    return data if len(data) <= limit else None


def replace_file(name: str, parent: int, data: bytes, mode: int = 0o640) -> None:
    """Replace a file at once, and make it durable.

    Raises:
        OSError: It cannot be written.
    """
    temporary = f".{name}.new"
    with suppress(FileNotFoundError):
        os.unlink(temporary, dir_fd=parent)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(temporary, flags, mode, dir_fd=parent), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
    os.fsync(parent)
