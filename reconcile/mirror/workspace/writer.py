"""The file operations of a restore, each by the descriptor of a directory, never through a link.

A restore stages files where the agent does not see them, and publishes them by renames. The staging
differs for an empty volume and for one that already holds a part of the snapshot. An OSError of the
volume becomes a WorkspaceError that says what to do.
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
from reconcile.mirror.workspace.excludes import STAGING_DIR
from reconcile.mirror.workspace.reader import zero_chunk

_PERMISSION_ADVICE = (
    "the mirror may not write there: it must run as the runner's user, who must own the volume"
)
_ADVICE = {
    errno.ENOSPC: "the volume is full: make it larger",
    errno.EDQUOT: "the volume's quota is used up: raise it",
    errno.EFBIG: "the file is larger than the volume or a limit allows",
    errno.EACCES: _PERMISSION_ADVICE,
    errno.EPERM: _PERMISSION_ADVICE,
    errno.EROFS: "the volume is read-only: mount it writable",
    errno.ENOENT: "the directory does not exist: mount the volume there",
    errno.ENAMETOOLONG: "the volume's file system does not allow names of this length",
    errno.EILSEQ: "the volume's file system does not allow this name",
    errno.EIO: "the disk has an I/O error: use another volume",
}


@contextmanager
def translate_errors(root: Path, path: str) -> Iterator[None]:
    """Turn an OSError at `path` below `root` into a WorkspaceError that says what to do."""
    try:
        yield
    except OSError as error:
        raise build_restore_error(root, path, error) from error


def build_restore_error(root: Path, path: str, error: OSError) -> WorkspaceError:
    """Return the error that explains an OSError at `path` below `root`, and says what to do."""
    advice = _ADVICE.get(error.errno or 0, error.strerror)
    place = f"{root}: {path!r}" if path else str(root)
    return WorkspaceError(f"{place} cannot be restored: {advice}")


def remove_tree(directories: DirectoryHandles, path: str) -> None:
    """Remove the file, link or directory tree at `path`, if it exists."""
    parent, name = directories.open_parent(path)
    try:
        mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(mode):
        os.unlink(name, dir_fd=parent)
        return
    for directory in reversed(_remove_files(directories, path)):
        parent, name = directories.open_parent(directory)
        os.rmdir(name, dir_fd=parent)
    directories.close_cached()


def _remove_files(directories: DirectoryHandles, path: str) -> list[str]:
    """Remove everything except directories, and return these, parents first."""
    remaining = [path]
    for directory in remaining:
        make_writable(directories, directory)
        descriptor = directories.open(directory)
        with os.scandir(descriptor) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    remaining.append(f"{directory}/{entry.name}")
                else:
                    os.unlink(entry.name, dir_fd=descriptor)
    return remaining


def make_writable(directories: DirectoryHandles, path: str) -> None:
    """Allow the owner of a directory to list and change it."""
    parent, name = directories.open_parent(path)
    if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
        os.chmod(name, 0o700, dir_fd=parent)


class Staging(Protocol):
    """Where a restore writes files before it publishes them; paths are those of the snapshot."""

    def locate_file(self, path: str) -> tuple[int, str]:
        """Return the directory and the name to write a file to; thread-safe."""
        ...

    def get_directories(self) -> DirectoryHandles:
        """Return the calling thread's handles for the root in which directories are created."""
        ...

    def publish(self, entries: Iterable[Entry]) -> None:
        """Rename files and directories to their final paths."""
        ...

    def close(self) -> None:
        """Close all descriptors."""
        ...


class PerThreadHandles:
    """One `DirectoryHandles` of the same root for each thread."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._local = threading.local()
        self._opened: list[DirectoryHandles] = []

    def get(self) -> DirectoryHandles:
        """Return those of the calling thread."""
        handles: DirectoryHandles | None = getattr(self._local, "directories", None)
        if handles is None:
            handles = self._local.directories = DirectoryHandles(self._root)
            self._opened.append(handles)
        return handles

    def close(self) -> None:
        """Close all of them; no thread may still use one."""
        while self._opened:
            self._opened.pop().close()


class EmptyVolumeStaging:
    """For an empty volume: stages the whole tree, then renames its top-level entries."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._staging = PerThreadHandles(root / STAGING_DIR)

    def locate_file(self, path: str) -> tuple[int, str]:
        return self._staging.get().open_parent(path)

    def get_directories(self) -> DirectoryHandles:
        return self._staging.get()

    def publish(self, entries: Iterable[Entry]) -> None:
        with DirectoryHandles(self._root) as visible:
            staged = visible.open(STAGING_DIR)
            for entry in entries:
                if "/" not in entry.path and isinstance(entry, File | Directory):
                    os.rename(entry.path, entry.path, src_dir_fd=staged, dst_dir_fd=visible.root)

    def close(self) -> None:
        self._staging.close()


class PartialVolumeStaging:
    """For a volume with a part of the snapshot: stages files, then renames them one by one."""

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
    """Write all of `data` at `offset`."""
    written = os.pwrite(descriptor, data, offset)
    while written < len(data):
        written += os.pwrite(descriptor, memoryview(data)[written:], offset + written)


def is_all_zeros(data: bytes | memoryview) -> bool:
    """Whether the data is only zeros, which need no space on the disk."""
    if data is zero_chunk():
        return True
    # For nearly all other data the first bytes are enough.
    return not bytes(data[:_ZERO_PROBE_SIZE]).strip(b"\0") and not bytes(data).strip(b"\0")


_SET_ID = stat.S_ISUID | stat.S_ISGID


def restored_mode(entry: File | Directory) -> int:
    """Return the mode to set. A snapshot has no owners, so a file belongs to who restores it.

    Restored by root, the agent's program must not become one that gives every user root's rights.
    """
    if isinstance(entry, File) and os.geteuid() == 0:
        return entry.mode & ~_SET_ID
    return entry.mode


def apply_metadata(descriptor: int, entry: File | Directory) -> None:
    """Set mode and time; the mode first, because setting it may fail."""
    os.fchmod(descriptor, restored_mode(entry))
    os.utime(descriptor, ns=(entry.mtime, entry.mtime))


def apply_file_metadata(visible: DirectoryHandles, file: File) -> None:
    """Set mode and time by name, for a file whose mode may not allow opening it."""
    parent, name = visible.open_parent(file.path)
    os.chmod(name, restored_mode(file), dir_fd=parent)
    os.utime(name, ns=(file.mtime, file.mtime), dir_fd=parent, follow_symlinks=False)


def apply_final_metadata(visible: DirectoryHandles, entry: Entry) -> None:
    """Set mode and time of a directory or link, which creating other entries would have changed."""
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
    """Create a symbolic or hard link; does nothing for other entries."""
    match entry:
        case Symlink():
            parent, name = visible.open_parent(entry.path)
            os.symlink(entry.target, name, dir_fd=parent)
        case HardLink():
            _create_hard_link(visible, entry)
        case _:
            pass


def _create_hard_link(visible: DirectoryHandles, entry: HardLink) -> None:
    target_parent, target_name = visible.open_parent(entry.target)
    source = os.dup(target_parent)
    try:
        parent, name = visible.open_parent(entry.path)
        os.link(target_name, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
    finally:
        os.close(source)


_CREATE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_FLAGS = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class OpenChunk:
    """A staged file, open to write one of its blobs."""

    def __init__(self, root: Path, path: str, descriptor: int, start: int) -> None:
        self._root = root
        self._path = path
        self._descriptor = descriptor
        self._start = start
        self._end = 0

    def write(self, data: bytes | memoryview, at: int) -> None:
        """Write bytes of the blob from `at` on; WorkspaceError if that fails.

        Zeros are not written, unless an earlier attempt may have written other bytes there.
        """
        if at >= self._end and is_all_zeros(data):
            return
        with translate_errors(self._root, self._path):
            write_all(self._descriptor, data, self._start + at)
        self._end = max(self._end, at + len(data))


class FileWriter:
    """Writes the content of files to a staging area; thread-safe. `root` is used for messages."""

    def __init__(self, root: Path, staging: Staging) -> None:
        self._root = root
        self._staging = staging

    def write(self, file: File, data: bytes | memoryview) -> os.stat_result:
        """Write a whole file that has one blob; WorkspaceError if that fails.

        Returns:
            Its stat after that.
        """
        # A context manager would cost as much as two system calls.
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
        """Open a preallocated file; `byte_range` are the bytes of one of its blobs.

        Raises:
            WorkspaceError: It cannot be opened.
        """
        with translate_errors(self._root, path):
            descriptor = self._open(path)
        try:
            yield OpenChunk(self._root, path, descriptor, byte_range.start)
        finally:
            os.close(descriptor)

    def preallocate(self, file: File) -> None:
        """Create a file of the right size; OSError if that fails."""
        descriptor = self._create(file)
        try:
            os.ftruncate(descriptor, file.size)
        finally:
            os.close(descriptor)

    def apply_metadata(self, file: File) -> None:
        """Set mode and time of a file whose blobs are all written; OSError if that fails."""
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
