"""The folder `.session` of the workspace: what must survive the pod together with its work.

The agent runs as the same user and may replace the folder by a link, or make it unwritable. Links
are never followed: what is not a folder is moved aside, and a folder without rights gets them back.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reconcile.runner.folders import (
    append_file,
    ensure_folder,
    is_folder,
    move_aside,
    open_folder,
    read_file,
    replace_file,
    size_of_file,
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

    def append(self, name: str, lines: Sequence[bytes], limit: int, files: int) -> None:
        """Append lines to a file, and begin a new one where it would have more than `limit` bytes.

        `events.jsonl` becomes `events.1.jsonl`, that one `events.2.jsonl`; of `files` files in all
        the oldest is deleted.

        Raises:
            SessionDirError: It cannot be written.
        """
        with self._errors(name), self._open() as folder:
            for part in _divide(lines, limit):
                if size_of_file(name, folder) + len(part) > limit:
                    _rotate(name, folder, files)
                append_file(name, folder, part)

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


def _divide(lines: Sequence[bytes], limit: int) -> Iterator[bytes]:
    """Join lines to parts of at most `limit` bytes, or of one line that is longer."""
    part = bytearray()
    for line in lines:
        if part and len(part) + len(line) > limit:
            yield bytes(part)
            part.clear()
        part += line
    yield bytes(part)


def _rotate(name: str, folder: int, files: int) -> None:
    stem, _, extension = name.rpartition(".")
    names = [name, *(f"{stem}.{number}.{extension}" for number in range(1, files))]
    for older, newer in zip(reversed(names), reversed(names[:-1]), strict=False):
        for each in (older, newer):
            if is_folder(each, folder):
                move_aside(each, folder)
        with suppress(FileNotFoundError):
            os.rename(newer, older, src_dir_fd=folder, dst_dir_fd=folder)
