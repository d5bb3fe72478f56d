"""The folder `.session` of the workspace: what must survive the pod together with its work.

The agent runs as the same user and may replace the folder by a link, or make it unwritable. Links
are never followed: what is not a folder is moved aside, and a folder without rights gets them back.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reconcile.runner.folders import (
    ensure_folder,
    is_folder,
    move_aside,
    open_folder,
    read_file,
    replace_file,
)

NAME: Final = ".session"
_LARGEST_FILE: Final = 1 << 20


class SessionDirError(Exception):
    """The folder or a file in it cannot be used; the message says which and why."""


@dataclass(frozen=True, slots=True)
class SessionDir:
    """Reads and writes files of `.session` in one workspace."""

    workspace: Path

    def read(self, name: str) -> bytes:
        """Read a file; empty if there is none, it is too large, or something else has its name.

        Raises:
            SessionDirError: It cannot be read.
        """
        with self._errors(name), self._open() as folder:
            try:
                return read_file(name, folder, _LARGEST_FILE) or b""
            except FileNotFoundError:
                return b""

    def write(self, name: str, data: bytes) -> None:
        """Replace a file at once, and make it durable.

        Raises:
            SessionDirError: It cannot be written.
        """
        with self._errors(name), self._open() as folder:
            if is_folder(name, folder):
                move_aside(name, folder)
            replace_file(name, folder, data)

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SessionDirError(f"{NAME}/{name}: {error.strerror}") from error

    @contextmanager
    def _open(self) -> Iterator[int]:
        with open_folder(self.workspace) as top:
            ensure_folder(NAME, top)
            with open_folder(NAME, top) as folder:
                yield folder
