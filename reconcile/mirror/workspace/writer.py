"""Where a restore puts files until they are shown: an empty volume, or one to be completed.

What a volume's refusal means to people.

Removes a whole directory however deep it is, without following a link.

Single steps of a restore, each by the descriptor of a directory.

Writes the bytes of files where a restore puts them together; for any thread.
"""

import errno
import os
import stat
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Protocol

from reconcile.mirror.errors import WorkspaceError
from reconcile.mirror.model import Directory, Entry, File, HardLink, Symlink
from reconcile.mirror.workspace.dirfd import Directories
from reconcile.mirror.workspace.reader import hole

_RIGHTS = "the mirror may not write there: it must run as the runner's user, on a volume of theirs"
_ADVICE = {
    errno.ENOSPC: "the volume is full: make it larger",
    errno.EDQUOT: "the volume's quota is used up: raise it",
    errno.EFBIG: "the file is larger than the volume or a limit allows",
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: "the volume is read-only: mount it writable",
    errno.ENOENT: "there is no such folder: mount the volume there",
    errno.ENAMETOOLONG: "the volume's file system takes no name as long as this",
    errno.EILSEQ: "the volume's file system does not take this name",
    errno.EIO: "the disk fails",
}


@contextmanager
def worded(root: Path, path: str) -> Iterator[None]:
    """Turn an OSError at `path` below `root` into a WorkspaceError that says what to do."""
    try:
        yield
    except OSError as error:
        raise refusal(root, path, error) from error


def refusal(root: Path, path: str, error: OSError) -> WorkspaceError:
    """Say what an OSError at `path` below `root` means, and what to do."""
    advice = _ADVICE.get(error.errno or 0, error.strerror)
    what = f"{root}: {path!r}" if path else str(root)
    return WorkspaceError(f"{what} cannot be restored: {advice}")


def remove(directories: Directories, path: str) -> None:
    """Remove what is at `path`, whatever it is; nothing there is as good as removed."""
    parent, name = directories.parent(path)
    try:
        mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(mode):
        os.unlink(name, dir_fd=parent)
        return
    for folder in reversed(_emptied(directories, path)):
        parent, name = directories.parent(folder)
        os.rmdir(name, dir_fd=parent)
    directories.forget()


def _emptied(directories: Directories, path: str) -> list[str]:
    """Remove all but the directories, and return these, parents first."""
    folders = [path]
    for folder in folders:
        open_up(directories, folder)
        descriptor = directories.open(folder)
        with os.scandir(descriptor) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(f"{folder}/{entry.name}")
                else:
                    os.unlink(entry.name, dir_fd=descriptor)
    return folders


def open_up(directories: Directories, path: str) -> None:
    """Let the owner of a directory list and change it, whatever its mode was."""
    parent, name = directories.parent(path)
    if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
        os.chmod(name, 0o700, dir_fd=parent)


ASIDE = ".reconcile-mirror-restoring"
"""The directory in the volume in which a snapshot is put together; never in a snapshot."""


class Site(Protocol):
    """What differs between the two; paths are the snapshot's."""

    def file(self, path: str) -> tuple[int, str]:
        """Return the directory and the name under which a file is written; for any thread."""
        ...

    def inside(self) -> Directories:
        """Return where directories are made; for the calling thread."""
        ...

    def show(self, entries: Iterable[Entry]) -> None:
        """Put files and directories at their places."""
        ...

    def close(self) -> None:
        """Let go of all descriptors."""
        ...


class PerThread:
    """One `Directories` of the same root for each thread."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._local = threading.local()
        self._all: list[Directories] = []

    def get(self) -> Directories:
        """Return the calling thread's own."""
        known: Directories | None = getattr(self._local, "directories", None)
        if known is None:
            known = self._local.directories = Directories(self._root)
            self._all.append(known)
        return known

    def close(self) -> None:
        """Close all of them; no thread may use one any more."""
        while self._all:
            self._all.pop().close()


class Empty:
    """An empty volume: the tree grows aside, then its top-level entries are renamed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._aside = PerThread(root / ASIDE)

    def file(self, path: str) -> tuple[int, str]:
        return self._aside.get().parent(path)

    def inside(self) -> Directories:
        return self._aside.get()

    def show(self, entries: Iterable[Entry]) -> None:
        with Directories(self._root) as visible:
            aside = visible.open(ASIDE)
            for entry in entries:
                if "/" not in entry.path and isinstance(entry, File | Directory):
                    os.rename(entry.path, entry.path, src_dir_fd=aside, dst_dir_fd=visible.root)

    def close(self) -> None:
        self._aside.close()


class Partial:
    """A volume that holds a part: files are written aside and renamed one by one."""

    def __init__(self, root: Path) -> None:
        self._inside = PerThread(root)
        self._aside = os.open(root / ASIDE, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        self._names: dict[str, str] = {}
        self._count = count()

    def file(self, path: str) -> tuple[int, str]:
        name = self._names.get(path)
        if name is None:
            name = self._names.setdefault(path, str(next(self._count)))
        return self._aside, name

    def inside(self) -> Directories:
        return self._inside.get()

    def show(self, entries: Iterable[Entry]) -> None:
        del entries
        for path, name in self._names.items():
            parent, last = self._inside.get().parent(path)
            os.rename(name, last, src_dir_fd=self._aside, dst_dir_fd=parent)

    def close(self) -> None:
        self._inside.close()
        os.close(self._aside)


_FIRST = 512


def write(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of `data`."""
    written = os.pwrite(descriptor, data, offset)
    while written < len(data):
        written += os.pwrite(descriptor, memoryview(data)[written:], offset + written)


def is_hole(data: bytes | memoryview) -> bool:
    """Tell whether these are only zeros, which need no room on the disk."""
    if data is hole():
        return True
    # Nearly all other data says so by its first bytes.
    return not bytes(data[:_FIRST]).strip(b"\0") and not bytes(data).strip(b"\0")


def dress(descriptor: int, entry: File | Directory) -> None:
    """Set mode and time; the mode first, since it may be refused."""
    os.fchmod(descriptor, entry.mode)
    os.utime(descriptor, ns=(entry.mtime, entry.mtime))


def dress_file(visible: Directories, file: File) -> None:
    """Do the same by name, for a file that its own mode may not let us open."""
    parent, name = visible.parent(file.path)
    os.chmod(name, file.mode, dir_fd=parent)
    os.utime(name, ns=(file.mtime, file.mtime), dir_fd=parent, follow_symlinks=False)


def dress_last(visible: Directories, entry: Entry) -> None:
    """Set what making other entries would have spoilt."""
    match entry:
        case Directory():
            dress(visible.open(entry.path), entry)
        case Symlink():
            parent, name = visible.parent(entry.path)
            times = (entry.mtime, entry.mtime)
            os.utime(name, ns=times, dir_fd=parent, follow_symlinks=False)
        case _:
            pass


def link(visible: Directories, entry: Entry) -> None:
    """Make a symbolic or hard link; nothing for other entries."""
    match entry:
        case Symlink():
            parent, name = visible.parent(entry.path)
            os.symlink(entry.target, name, dir_fd=parent)
        case HardLink():
            _link_hard(visible, entry)
        case _:
            pass


def _link_hard(visible: Directories, entry: HardLink) -> None:
    above, old = visible.parent(entry.target)
    source = os.dup(above)
    try:
        parent, name = visible.parent(entry.path)
        os.link(old, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
    finally:
        os.close(source)


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
