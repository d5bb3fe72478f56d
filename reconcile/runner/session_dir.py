"""The folder `.session` of the workspace: what must survive the pod together with its work.

The agent runs as the same user and may replace the folder by a link, or make it unwritable. Links
are never followed: what is not a folder is moved aside, and a folder without rights gets them back.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

NAME: Final = ".session"
_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LARGEST_FILE: Final = 1 << 20


class SessionDirError(Exception):
    """The folder or a file in it cannot be used; the message says which and why."""


@dataclass(frozen=True, slots=True)
class SessionDir:
    """Reads and writes files of `.session` in one workspace."""

    workspace: Path

    def read(self, name: str) -> bytes:
        """Read a file; empty if there is none, or something else has its name.

        Raises:
            SessionDirError: It cannot be read.
        """
        with self._errors(name), self._open() as folder:
            try:
                descriptor = os.open(name, _READ, dir_fd=folder)
            except (FileNotFoundError, IsADirectoryError):
                return b""
            with os.fdopen(descriptor, "rb") as file:
                is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
                return file.read(_LARGEST_FILE) if is_file else b""

    def write(self, name: str, data: bytes) -> None:
        """Replace a file at once, and make it durable.

        Raises:
            SessionDirError: It cannot be written.
        """
        with self._errors(name), self._open() as folder:
            temporary = f".{name}.new"
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=folder)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(temporary, flags, 0o640, dir_fd=folder), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            self._clear(name, folder)
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            os.fsync(folder)

    def _clear(self, name: str, folder: int) -> None:
        """Move a directory aside that has the name of a file."""
        with suppress(FileNotFoundError):
            if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                _move_aside(name, folder)

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SessionDirError(f"{NAME}/{name}: {error.strerror}") from error

    @contextmanager
    def _open(self) -> Iterator[int]:
        top = os.open(self.workspace, _FLAGS)
        try:
            folder = _open_folder(top)
        finally:
            os.close(top)
        try:
            yield folder
        finally:
            os.close(folder)


def _open_folder(top: int) -> int:
    with suppress(FileNotFoundError):
        status = os.stat(NAME, dir_fd=top, follow_symlinks=False)
        if not stat.S_ISDIR(status.st_mode):
            _move_aside(NAME, top)
        elif status.st_mode & stat.S_IRWXU != stat.S_IRWXU and status.st_uid == os.geteuid():
            os.chmod(NAME, 0o700, dir_fd=top)
    with suppress(FileExistsError):
        os.mkdir(NAME, 0o750, dir_fd=top)
    return os.open(NAME, _FLAGS, dir_fd=top)


def _move_aside(name: str, folder: int) -> None:
    for number in range(1, 100):
        aside = f"{name}.moved-{number}"
        try:
            os.stat(aside, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            os.rename(name, aside, src_dir_fd=folder, dst_dir_fd=folder)
            return
    raise OSError(17, "it is not what it should be, and no name is free to move it aside")
