"""Writes the bytes of files where a restore puts them together; for any thread."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reconcile.mirror.model import File
from reconcile.mirror.tree.placing import dress, is_hole, write
from reconcile.mirror.tree.wording import refusal, worded
from reconcile.mirror.workspace.writer import Site

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Spot:
    """A file that is being put together, open for one of its blobs."""

    def __init__(self, root: Path, path: str, descriptor: int, start: int) -> None:
        self._root = root
        self._path = path
        self._descriptor = descriptor
        self._start = start
        self._reached = 0

    def write(self, data: bytes | memoryview, at: int) -> None:
        """Write the bytes of the blob from `at` on; WorkspaceError where that fails.

        Zeros take no room on the disk, unless an attempt before has left something else there.
        """
        if at >= self._reached and is_hole(data):
            return
        with worded(self._root, self._path):
            write(self._descriptor, data, self._start + at)
        self._reached = max(self._reached, at + len(data))


class Filler:
    """Fills files at a site; `root` is the volume's, for messages."""

    def __init__(self, root: Path, site: Site) -> None:
        self._root = root
        self._site = site

    def write(self, file: File, data: bytes | memoryview) -> os.stat_result:
        """Write a file whole that has one blob; WorkspaceError where that fails.

        Returns:
            What it is from then on.
        """
        # A context manager would cost as much as two calls of the system.
        try:
            descriptor = self._create(file)
            try:
                write(descriptor, data, 0)
                dress(descriptor, file)
                return os.fstat(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise refusal(self._root, file.path, error) from error

    @contextmanager
    def spot(self, path: str, place: range) -> Iterator[Spot]:
        """Open a file for which there is room; `place` says which of its bytes one blob is.

        Raises:
            WorkspaceError: The volume does not let it be opened.
        """
        with worded(self._root, path):
            descriptor = self._open(path)
        try:
            yield Spot(self._root, path, descriptor, place.start)
        finally:
            os.close(descriptor)

    def make_room(self, file: File) -> None:
        """Make a file of the right size; OSError where that fails."""
        descriptor = self._create(file)
        try:
            os.ftruncate(descriptor, file.size)
        finally:
            os.close(descriptor)

    def dress(self, file: File) -> None:
        """Set mode and time of a file whose blobs are all there; OSError where that fails."""
        descriptor = self._open(file.path)
        try:
            dress(descriptor, file)
        finally:
            os.close(descriptor)

    def _create(self, file: File) -> int:
        parent, name = self._site.file(file.path)
        return os.open(name, _CREATE, 0o600, dir_fd=parent)

    def _open(self, path: str) -> int:
        parent, name = self._site.file(path)
        return os.open(name, _OPEN, dir_fd=parent)
