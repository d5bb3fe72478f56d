"""Writes a snapshot into a volume: aside first, then all of it is made visible by renames."""

import errno
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from reconcile.mirror.errors import WorkspaceError
from reconcile.mirror.model import Directory, Entry, File, HardLink, Symlink
from reconcile.mirror.tree.directories import Directories

ASIDE = ".reconcile-mirror-restoring"
"""The directory in the volume in which a snapshot is put together."""

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Restorer:
    """Restores one snapshot into the volume at `root`.

    Call `begin`, then `write` or `write_at` for each file of `files`, from any thread and in any
    order, then `finish`. Every method raises WorkspaceError where the volume does not let it.
    """

    def __init__(self, root: Path, entries: Iterable[Entry]) -> None:
        self._root = root
        self._entries = list(entries)
        self._local = threading.local()
        self._all: list[Directories] = []
        self._lock = threading.Lock()

    @property
    def files(self) -> list[File]:
        """The files whose bytes are wanted; those of no bytes are made without."""
        return [entry for entry in self._entries if isinstance(entry, File) and entry.size]

    def begin(self) -> None:
        """Make all directories, and large files at their full length."""
        with _worded(self._root, ""):
            os.mkdir(self._root / ASIDE, 0o700)  # noqa: PTH102 - never with parents
        for entry in self._entries:
            with _worded(self._root, entry.path):
                match entry:
                    case Directory():
                        parent, name = self._aside().parent(entry.path)
                        os.mkdir(name, 0o700, dir_fd=parent)
                    case File(size=0) | File(blobs=(_, _, *_)):
                        os.close(self._create(entry))
                    case _:
                        pass

    def write(self, file: File, data: bytes) -> None:
        """Write a file whole, that has one blob at most."""
        with _worded(self._root, file.path):
            descriptor = self._create(file)
            try:
                _write(descriptor, data, 0)
                _dress(descriptor, file)
            finally:
                os.close(descriptor)

    def write_at(self, file: File, offset: int, data: bytes) -> None:
        """Write one blob of a file that has several."""
        with _worded(self._root, file.path):
            parent, name = self._aside().parent(file.path)
            descriptor = os.open(name, _OPEN, dir_fd=parent)
            try:
                _write(descriptor, data, offset)
            finally:
                os.close(descriptor)

    def finish(self) -> None:
        """Make links, set modes and times, and make everything visible."""
        for entry in self._entries:
            with _worded(self._root, entry.path):
                self._link(entry)
        self._show()
        with Directories(self._root) as visible:
            for entry in reversed(self._entries):
                if isinstance(entry, Directory):
                    with _worded(self._root, entry.path):
                        descriptor = visible.open(entry.path)
                        _dress(descriptor, entry)
        self.close()

    def close(self) -> None:
        """Let go of what is open; what is put together aside stays for the next attempt."""
        with self._lock:
            for directories in self._all:
                directories.close()
            self._all.clear()
            self._local = threading.local()

    def _aside(self) -> Directories:
        known: Directories | None = getattr(self._local, "directories", None)
        if known is None:
            known = Directories(self._root / ASIDE)
            self._local.directories = known
            with self._lock:
                self._all.append(known)
        return known

    def _create(self, file: File) -> int:
        parent, name = self._aside().parent(file.path)
        return os.open(name, _CREATE, 0o600, dir_fd=parent)

    def _link(self, entry: Entry) -> None:
        match entry:
            case Symlink():
                parent, name = self._aside().parent(entry.path)
                os.symlink(entry.target, name, dir_fd=parent)
                times = (entry.mtime, entry.mtime)
                os.utime(name, ns=times, dir_fd=parent, follow_symlinks=False)
            case HardLink():
                self._hard_link(entry)
            case File(size=0) | File(blobs=(_, _, *_)):
                parent, name = self._aside().parent(entry.path)
                descriptor = os.open(name, _OPEN, dir_fd=parent)
                try:
                    _dress(descriptor, entry)
                finally:
                    os.close(descriptor)
            case _:
                pass

    def _hard_link(self, entry: HardLink) -> None:
        source, old = self._aside().parent(entry.target)
        source = os.dup(source)
        try:
            parent, name = self._aside().parent(entry.path)
            os.link(old, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(source)

    def _show(self) -> None:
        with Directories(self._root) as visible:
            aside = visible.open(ASIDE)
            for entry in self._entries:
                if "/" not in entry.path:
                    with _worded(self._root, entry.path):
                        os.rename(entry.path, entry.path, src_dir_fd=aside, dst_dir_fd=visible.root)
            os.rmdir(ASIDE, dir_fd=visible.root)


def _write(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def _dress(descriptor: int, entry: File | Directory) -> None:
    os.fchmod(descriptor, entry.mode)
    os.utime(descriptor, ns=(entry.mtime, entry.mtime))


_ADVICE = {
    errno.ENOSPC: "the volume is full: make it larger",
    errno.EDQUOT: "the volume's quota is used up: raise it",
    errno.EACCES: "the mirror may not write there: it must run as the runner's user",
    errno.EPERM: "the mirror may not write there: it must run as the runner's user",
    errno.EROFS: "the volume is read-only: mount it writable",
    errno.EEXIST: "something is there already: the volume must be empty",
    errno.ENAMETOOLONG: "the volume's file system takes no name as long as this",
}


@contextmanager
def _worded(root: Path, path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, error.strerror)
        raise WorkspaceError(f"{root}: {path!r} cannot be restored: {advice}") from error
