"""The mark in `.session` that says which prompts were delivered, read after everything else.

The runner's program writes the mark before the agent begins to work. So a snapshot that has a file
as it was at some time must have the mark as it was then, or later: otherwise the next pod would
deliver a prompt again whose work is there already.
"""

import errno
import os
import stat
import threading
import time
from typing import Final

from msgspec import Struct

from reconcile.mirror.errors import WorkspaceError
from reconcile.mirror.snapshot.keys import MAX_PACKED_FILE
from reconcile.mirror.workspace.dirfd import DirectoryHandles
from reconcile.mirror.workspace.reader import time_until_settled
from reconcile.mirror.workspace.walk import FileStat, WalkPart, build_file_stat

SESSION_DIR: Final = ".session"
"""The directory in the workspace of what must survive the pod together with its work."""

MARK: Final = f"{SESSION_DIR}/prompt.json"

SESSION_PART: Final = WalkPart(top=SESSION_DIR)
WORK_PART: Final = WalkPart(omitted=SESSION_DIR)

MAX_SESSION_FILES: Final = 1000
"""How many entries of `.session` are stored; they do not count towards the workspace's limit."""

_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_ABSENT: Final = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO}
_ATTEMPTS: Final = 10


class Mark(Struct, frozen=True):
    """The mark and the directory that it is in, as they were at one moment."""

    directory: FileStat
    file: FileStat
    data: bytes


def is_in_session_dir(path: str) -> bool:
    """Whether a path is `.session` or below it."""
    return path == SESSION_DIR or path.startswith(f"{SESSION_DIR}/")


def can_be_mark(file: FileStat) -> bool:
    """Whether an entry is the mark: of its name, a link or a giant file is another thing."""
    return file.path == MARK and stat.S_ISREG(file.mode) and file.size <= MAX_PACKED_FILE


def stat_mark(directories: DirectoryHandles) -> FileStat | None:
    """Return the stat of the mark; None where it cannot be seen."""
    try:
        parent, name = directories.open_parent(MARK)
        return build_file_stat(MARK, os.stat(name, dir_fd=parent, follow_symlinks=False))
    except OSError:
        return None


def read_mark(directories: DirectoryHandles) -> Mark | None:
    """Return the mark as it is now; None if there is none.

    Raises:
        WorkspaceError: There is one, but it cannot be read.
    """
    for _ in range(_ATTEMPTS):
        directories.close_cached()
        try:
            parent, name = directories.open_parent(MARK)
            descriptor = os.open(name, _FLAGS, dir_fd=parent)
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            if error.errno == errno.ESTALE:
                continue
            raise unreadable_mark_error(str(error.strerror)) from error
        try:
            file = build_file_stat(MARK, os.fstat(descriptor))
            data = _read_settled(descriptor, file) if can_be_mark(file) else b""
            directory = build_file_stat(SESSION_DIR, os.fstat(parent))
        except OSError as error:
            raise unreadable_mark_error(str(error.strerror)) from error
        finally:
            os.close(descriptor)
        if not can_be_mark(file):
            return None
        if data is not None:
            return Mark(directory, file, data)
    raise unreadable_mark_error("it changes each time that it is read")


def unreadable_mark_error(reason: str) -> WorkspaceError:
    """Return the error for a mark that exists and cannot be read."""
    return WorkspaceError(
        f"{MARK} cannot be read: {reason}. No work is stored without it, since the next pod would "
        f"deliver the prompt again: let the user of the pod read {SESSION_DIR} and what is in it, "
        "and mount nothing there"
    )


def _read_settled(descriptor: int, file: FileStat) -> bytes | None:
    """Return all bytes; None if they changed meanwhile.

    A file that was replaced meanwhile is still what it was when it was opened.
    """
    wait = time_until_settled(file.ctime, time.time_ns())
    if wait:
        threading.Event().wait(wait / 1e9)
    data = os.pread(descriptor, file.size + 1, 0)
    status = os.fstat(descriptor)
    same = (status.st_size, status.st_mtime_ns) == (file.size, file.mtime)
    return data if same and len(data) == file.size else None
