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
from reconcile.mirror.workspace.dirfd import DirectoryHandles
from reconcile.mirror.workspace.reader import zero_chunk

_PERMISSION_ADVICE = (
    "the mirror may not write there: it must run as the runner's user, on a volume of theirs"
)
_ADVICE = {
    errno.ENOSPC: "the volume is full: make it larger",
    errno.EDQUOT: "the volume's quota is used up: raise it",
    errno.EFBIG: "the file is larger than the volume or a limit allows",
    errno.EACCES: _PERMISSION_ADVICE,
    errno.EPERM: _PERMISSION_ADVICE,
    errno.EROFS: "the volume is read-only: mount it writable",
    errno.ENOENT: "there is no such folder: mount the volume there",
    errno.ENAMETOOLONG: "the volume's file system takes no name as long as this",
    errno.EILSEQ: "the volume's file system does not take this name",
    errno.EIO: "the disk fails",
}


@contextmanager
def translate_errors(root: Path, path: str) -> Iterator[None]:
    """Turn an OSError at `path` below `root` into a WorkspaceError that says what to do."""
    try:
        yield
    except OSError as error:
        raise build_restore_error(root, path, error) from error


def build_restore_error(root: Path, path: str, error: OSError) -> WorkspaceError:
    """Say what an OSError at `path` below `root` means, and what to do."""
    advice = _ADVICE.get(error.errno or 0, error.strerror)
    what = f"{root}: {path!r}" if path else str(root)
    return WorkspaceError(f"{what} cannot be restored: {advice}")


def remove_tree(directories: DirectoryHandles, path: str) -> None:
    """Remove what is at `path`, whatever it is; nothing there is as good as removed."""
    parent, name = directories.open_parent(path)
    try:
        mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(mode):
        os.unlink(name, dir_fd=parent)
        return
    for folder in reversed(_remove_files(directories, path)):
        parent, name = directories.open_parent(folder)
        os.rmdir(name, dir_fd=parent)
    directories.close_cached()


def _remove_files(directories: DirectoryHandles, path: str) -> list[str]:
    """Remove all but the directories, and return these, parents first."""
    folders = [path]
    for folder in folders:
        make_writable(directories, folder)
        descriptor = directories.open(folder)
        with os.scandir(descriptor) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(f"{folder}/{entry.name}")
                else:
                    os.unlink(entry.name, dir_fd=descriptor)
    return folders


def make_writable(directories: DirectoryHandles, path: str) -> None:
    """Let the owner of a directory list and change it, whatever its mode was."""
    parent, name = directories.open_parent(path)
    if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
        os.chmod(name, 0o700, dir_fd=parent)


STAGING_DIR = ".reconcile-mirror-restoring"
"""The directory in the volume in which a snapshot is put together; never in a snapshot."""


class Staging(Protocol):
    """What differs between the two; paths are the snapshot's."""

    def locate_file(self, path: str) -> tuple[int, str]:
        """Return the directory and the name under which a file is written; for any thread."""
        ...

    def get_directories(self) -> DirectoryHandles:
        """Return where directories are made; for the calling thread."""
        ...

    def publish(self, entries: Iterable[Entry]) -> None:
        """Put files and directories at their places."""
        ...

    def close(self) -> None:
        """Let go of all descriptors."""
        ...


class PerThreadHandles:
    """One `Directories` of the same root for each thread."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._local = threading.local()
        self._opened: list[DirectoryHandles] = []

    def get(self) -> DirectoryHandles:
        """Return the calling thread's own."""
        known: DirectoryHandles | None = getattr(self._local, "directories", None)
        if known is None:
            known = self._local.directories = DirectoryHandles(self._root)
            self._opened.append(known)
        return known

    def close(self) -> None:
        """Close all of them; no thread may use one any more."""
        while self._opened:
            self._opened.pop().close()


class EmptyVolumeStaging:
    """An empty volume: the tree grows aside, then its top-level entries are renamed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._staging = PerThreadHandles(root / STAGING_DIR)

    def locate_file(self, path: str) -> tuple[int, str]:
        return self._staging.get().open_parent(path)

    def get_directories(self) -> DirectoryHandles:
        return self._staging.get()

    def publish(self, entries: Iterable[Entry]) -> None:
        with DirectoryHandles(self._root) as visible:
            aside = visible.open(STAGING_DIR)
            for entry in entries:
                if "/" not in entry.path and isinstance(entry, File | Directory):
                    os.rename(entry.path, entry.path, src_dir_fd=aside, dst_dir_fd=visible.root)

    def close(self) -> None:
        self._staging.close()


class PartialVolumeStaging:
    """A volume that holds a part: files are written aside and renamed one by one."""

    def __init__(self, root: Path) -> None:
        self._volume = PerThreadHandles(root)
        self._staging_fd = os.open(root / STAGING_DIR, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        self._names: dict[str, str] = {}
        self._count = count()

    def locate_file(self, path: str) -> tuple[int, str]:
        name = self._names.get(path)
        if name is None:
            name = self._names.setdefault(path, str(next(self._count)))
        return self._staging_fd, name

    def get_directories(self) -> DirectoryHandles:
        return self._volume.get()

    def publish(self, entries: Iterable[Entry]) -> None:
        del entries
        for path, name in self._names.items():
            parent, last = self._volume.get().open_parent(path)
            os.rename(name, last, src_dir_fd=self._staging_fd, dst_dir_fd=parent)

    def close(self) -> None:
        self._volume.close()
        os.close(self._staging_fd)


_ZERO_PROBE_SIZE = 512


def write_all(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of `data`."""
    written = os.pwrite(descriptor, data, offset)
    while written < len(data):
        written += os.pwrite(descriptor, memoryview(data)[written:], offset + written)


def is_all_zeros(data: bytes | memoryview) -> bool:
    """Tell whether these are only zeros, which need no room on the disk."""
    if data is zero_chunk():
        return True
    # Nearly all other data says so by its first bytes.
    return not bytes(data[:_ZERO_PROBE_SIZE]).strip(b"\0") and not bytes(data).strip(b"\0")


def apply_metadata(descriptor: int, entry: File | Directory) -> None:
    """Set mode and time; the mode first, since it may be refused."""
    os.fchmod(descriptor, entry.mode)
    os.utime(descriptor, ns=(entry.mtime, entry.mtime))


def apply_file_metadata(visible: DirectoryHandles, file: File) -> None:
    """Do the same by name, for a file that its own mode may not let us open."""
    parent, name = visible.open_parent(file.path)
    os.chmod(name, file.mode, dir_fd=parent)
    os.utime(name, ns=(file.mtime, file.mtime), dir_fd=parent, follow_symlinks=False)


def apply_final_metadata(visible: DirectoryHandles, entry: Entry) -> None:
    """Set what making other entries would have spoilt."""
    match entry:
        case Directory():
            apply_metadata(visible.open(entry.path), entry)
        case Symlink():
            parent, name = visible.open_parent(entry.path)
            times = (entry.mtime, entry.mtime)
            os.utime(name, ns=times, dir_fd=parent, follow_symlinks=False)
        case _:
            pass


def create_link(visible: DirectoryHandles, entry: Entry) -> None:
    """Make a symbolic or hard link; nothing for other entries."""
    match entry:
        case Symlink():
            parent, name = visible.open_parent(entry.path)
            os.symlink(entry.target, name, dir_fd=parent)
        case HardLink():
            _create_hard_link(visible, entry)
        case _:
            pass


def _create_hard_link(visible: DirectoryHandles, entry: HardLink) -> None:
    above, old = visible.open_parent(entry.target)
    source = os.dup(above)
    try:
        parent, name = visible.open_parent(entry.path)
        os.link(old, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
    finally:
        os.close(source)


_CREATE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_FLAGS = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class OpenChunk:
    """A file that is being put together, open for one of its blobs."""

    def __init__(self, root: Path, path: str, descriptor: int, start: int) -> None:
        self._root = root
        self._path = path
        self._descriptor = descriptor
        self._start = start
        self._end = 0

    def write(self, data: bytes | memoryview, at: int) -> None:
        """Write the bytes of the blob from `at` on; WorkspaceError where that fails.

        Zeros take no room on the disk, unless an attempt before has left something else there.
        """
        if at >= self._end and is_all_zeros(data):
            return
        with translate_errors(self._root, self._path):
            write_all(self._descriptor, data, self._start + at)
        self._end = max(self._end, at + len(data))


class FileWriter:
    """Fills files at a site; `root` is the volume's, for messages."""

    def __init__(self, root: Path, staging: Staging) -> None:
        self._root = root
        self._staging = staging

    def write(self, file: File, data: bytes | memoryview) -> os.stat_result:
        """Write a file whole that has one blob; WorkspaceError where that fails.

        Returns:
            What it is from then on.
        """
        # A context manager would cost as much as two calls of the system.
        try:
            descriptor = self._create(file)
            try:
                write_all(descriptor, data, 0)
                apply_metadata(descriptor, file)
                return os.fstat(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise build_restore_error(self._root, file.path, error) from error

    @contextmanager
    def open_chunk(self, path: str, byte_range: range) -> Iterator[OpenChunk]:
        """Open a file for which there is room; `byte_range` says which of its bytes one blob is.

        Raises:
            WorkspaceError: The volume does not let it be opened.
        """
        with translate_errors(self._root, path):
            descriptor = self._open(path)
        try:
            yield OpenChunk(self._root, path, descriptor, byte_range.start)
        finally:
            os.close(descriptor)

    def preallocate(self, file: File) -> None:
        """Make a file of the right size; OSError where that fails."""
        descriptor = self._create(file)
        try:
            os.ftruncate(descriptor, file.size)
        finally:
            os.close(descriptor)

    def apply_metadata(self, file: File) -> None:
        """Set mode and time of a file whose blobs are all there; OSError where that fails."""
        descriptor = self._open(file.path)
        try:
            apply_metadata(descriptor, file)
        finally:
            os.close(descriptor)

    def _create(self, file: File) -> int:
        parent, name = self._staging.locate_file(file.path)
        return os.open(name, _CREATE_FLAGS, 0o600, dir_fd=parent)

    def _open(self, path: str) -> int:
        parent, name = self._staging.locate_file(path)
        return os.open(name, _OPEN_FLAGS, dir_fd=parent)
