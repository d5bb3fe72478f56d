"""Walks a workspace: what is there, by descriptors of directories, never through a link.

What a walk has seen, entry by entry, and what it has left out.
"""

import errno
import math
import os
import stat
from collections.abc import Callable
from itertools import islice
from operator import attrgetter
from pathlib import Path

from msgspec import Struct, field

from reconcile.mirror.errors import WorkspaceError
from reconcile.mirror.workspace.dirfd import DirectoryHandles
from reconcile.mirror.workspace.excludes import Excludes
from reconcile.mirror.workspace.git import OBJECTS, PACKED_REFS, is_git_directory

PATH_WEIGHT_UNIT = 128
"""Characters of a path for which an entry counts once more, see `weight`."""

_INTERNED: dict[int, int] = {}
"""Modes and devices, of which there are few: equal numbers of 100,000 entries share memory."""


class FileStat(Struct, frozen=True, gc=False):
    """What `lstat` says of one entry; times in nanoseconds since 1970, `mode` with the type."""

    path: str
    mode: int
    size: int
    mtime: int
    ctime: int
    inode: int
    device: int
    links: int


class SkippedEntries(Struct):
    """How many entries were left out, by reason, and some of their paths by reason.

    `sockets` counts fifos too. `over_limit` is for how many there was no room, at least: what is in
    directories that were not taken is not counted. `unknown` has the paths at and below which
    nothing could be learned this time: what an earlier walk saw there must not be taken for
    deleted.
    """

    sockets: int = 0
    devices: int = 0
    unreadable: int = 0
    excluded: int = 0
    mounts: int = 0
    too_deep: int = 0
    too_large: int = 0
    vanished: int = 0
    over_limit: int = 0
    unknown: list[str] = field(default_factory=list)
    examples: dict[str, list[str]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """How many should perhaps have been taken: all but what is excluded or gone."""
        special = self.sockets + self.devices + self.mounts
        return special + self.unreadable + self.too_deep + self.too_large + self.over_limit

    def add(self, reason: str, path: str) -> None:
        """Count one more for `reason`, which is the name of a field."""
        setattr(self, reason, getattr(self, reason) + 1)
        known = self.examples.setdefault(reason, [])
        if len(known) < 3:  # noqa: PLR2004 - enough to know what is meant
            known.append(path)


def build_file_stat(path: str, status: os.stat_result) -> FileStat:
    """Return what `lstat` said as a value."""
    mtime, ctime = status.st_mtime_ns, status.st_ctime_ns
    mode, device = status.st_mode, status.st_dev
    return FileStat(
        path,
        _INTERNED.setdefault(mode, mode),
        status.st_size,
        mtime,
        mtime if mtime == ctime else ctime,
        status.st_ino,
        _INTERNED.setdefault(device, device),
        status.st_nlink,
    )


def entry_weight(path: str) -> int:
    """Return for how many entries one with this path counts: memory goes by the length of paths."""
    return 1 + (len(path) if path.isascii() else 4 * len(path)) // PATH_WEIGHT_UNIT


LARGE_DIRECTORY = 20_000
"""A directory with more entries than this is read in pieces, after the others."""

MAX_PATH = 16_384
"""The longest path in bytes; Linux takes 4,096 at once, deeper ones are made step by step."""


_SOCKETS_AND_FIFOS = {stat.S_IFSOCK, stat.S_IFIFO}


class WalkCancelledError(Exception):
    """The walk was asked to stop; it has no result."""


class TooManyEntriesError(Exception):
    """There is more than the walk was allowed to take; it has no result."""


def never_cancelled() -> bool:
    """Do not stop."""
    return False


def walk(
    root: int | Path,
    excludes: Excludes,
    *,
    is_cancelled: Callable[[], bool] = never_cancelled,
    max_weight: float = math.inf,
) -> tuple[list[FileStat], SkippedEntries]:
    """List everything below `root`, in the order of paths.

    Hard links are entries with the same device and inode. Sockets, fifos and devices are left out,
    and what is on another device than `root`.

    Raises:
        WorkspaceError: the root itself cannot be read.
        StoppedError: `is_cancelled` said so.
        TooManyError: All entries together weigh more than `max_weight`.
    """
    try:
        with DirectoryHandles(root) as directories:
            found = WorkspaceWalk(directories, excludes, is_cancelled, max_weight).run()
    except OSError as error:
        raise unreadable_root_error(error) from error
    return found.sorted()


def unreadable_root_error(error: OSError) -> WorkspaceError:
    """Say that there is nothing to walk."""
    return WorkspaceError(
        f"the workspace cannot be read: {error.strerror}: check its volume and its rights"
    )


class WorkspaceWalk:
    """One walk; `remaining` is what it may still take."""

    def __init__(
        self,
        directories: DirectoryHandles,
        excludes: Excludes,
        is_cancelled: Callable[[], bool],
        remaining: float,
    ) -> None:
        self._directories = directories
        self._excludes = excludes
        self._is_cancelled = is_cancelled
        self.remaining = remaining
        self._device = os.fstat(directories.root).st_dev
        self._pending = [""]
        self._large_directories: list[str] = []
        self._packed_refs: list[str] = []
        self._objects: list[str] = []
        self._in_repository = False
        self.stats: list[FileStat] = []
        self.skipped = SkippedEntries()

    def run(self) -> "WorkspaceWalk":
        """Take everything; raises OSError where the root itself cannot be read."""
        os.scandir(self._directories.root).close()
        self._walk_all()
        return self

    def sorted(self) -> tuple[list[FileStat], SkippedEntries]:
        """Return what was found, in the order of paths."""
        self.stats.sort(key=attrgetter("path"))
        return self.stats, self.skipped

    def _walk_all(self) -> None:
        """Take all that is to do, and what refs of git name after the refs."""
        self._descend()
        packed, self._packed_refs = self._packed_refs, []
        for path in packed:
            self._add_packed_refs(path)
        self._pending, self._objects = self._objects, []
        self._descend()

    def _descend(self) -> None:
        while self._pending or self._large_directories:
            if self._pending:
                self._list(self._pending.pop())
            else:
                self._list_large(self._large_directories.pop())

    def _list(self, path: str) -> None:
        """Take up one directory's entries, so that the first by name is entered first."""
        self._check_cancelled()
        try:
            with os.scandir(self._directories.open(path)) as found:
                entries = list(islice(found, LARGE_DIRECTORY + 1))
        except OSError as error:
            self._record_unreadable(path, error)
            return
        if len(entries) > LARGE_DIRECTORY:
            self._large_directories.append(path)
            return
        entries.sort(key=attrgetter("name"), reverse=True)
        self._add_entries(path, entries)

    def _list_large(self, path: str) -> None:
        """The same in pieces, since nobody knows how many there are."""
        try:
            with os.scandir(self._directories.open(path)) as found:
                while entries := list(islice(found, LARGE_DIRECTORY)):
                    self._check_cancelled()
                    self._add_entries(path, entries)
        except OSError as error:
            self._record_unreadable(path, error)

    def _check_cancelled(self) -> None:
        if self._is_cancelled():
            raise WalkCancelledError

    def _add_entries(self, path: str, entries: "list[os.DirEntry[str]]") -> None:
        prefix = f"{path}/" if path else ""
        match = self._excludes.is_excluded
        self._in_repository = is_git_directory({entry.name for entry in entries})
        entries = self._select(prefix, entries)
        if self._in_repository:
            entries = self._defer_packed_refs(prefix, entries)
        for entry in entries:
            name = entry.name
            inner = prefix + name
            if match(inner, name, directory=entry.is_dir(follow_symlinks=False)):
                self.skipped.add("excluded", inner)
            else:
                self._visit(inner, entry)

    def _select(self, prefix: str, entries: "list[os.DirEntry[str]]") -> "list[os.DirEntry[str]]":
        """Return what is to be taken up of one directory."""
        del prefix
        return entries

    def _add_entry(self, path: str, status: os.stat_result) -> bool:
        heavy = entry_weight(path)
        if heavy > self.remaining:
            self._reject(path)
            return False
        self.remaining -= heavy
        self.stats.append(build_file_stat(path, status))
        return True

    def _reject(self, path: str) -> None:
        del path
        raise TooManyEntriesError

    def _defer_packed_refs(
        self, prefix: str, entries: "list[os.DirEntry[str]]"
    ) -> "list[os.DirEntry[str]]":
        """Keep what refs name for the end; see `git.py` for the order."""
        soon = []
        for entry in entries:
            if entry.name == PACKED_REFS and entry.is_file(follow_symlinks=False):
                self._packed_refs.append(prefix + entry.name)
            else:
                soon.append(entry)
        return soon

    def _add_packed_refs(self, path: str) -> None:
        if self._excludes.is_excluded(path, PACKED_REFS, directory=False):
            self.skipped.add("excluded", path)
            return
        try:
            parent, name = self._directories.open_parent(path)
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except OSError as error:
            self._record_unreadable(path, error)
            return
        if stat.S_ISREG(status.st_mode):
            self._add_entry(path, status)

    def _record_unreadable(self, path: str, error: OSError) -> None:
        gone = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE}
        self.skipped.add("vanished" if error.errno in gone else "unreadable", path)
        self.skipped.unknown.append(path)

    def _visit(self, path: str, entry: "os.DirEntry[str]") -> None:
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError as error:
            self._record_unreadable(path, error)
            return
        kind = stat.S_IFMT(status.st_mode)
        if kind in {stat.S_IFREG, stat.S_IFLNK}:
            self._add_entry(path, status)
        elif kind == stat.S_IFDIR:
            self._add_directory(path, status)
        else:
            self.skipped.add("sockets" if kind in _SOCKETS_AND_FIFOS else "devices", path)

    def _add_directory(self, path: str, status: os.stat_result) -> None:
        if status.st_dev != self._device:
            self.skipped.add("mounts", path)
            return
        if not self._add_entry(path, status):
            return
        if len(path) > MAX_PATH:
            self.skipped.add("too_deep", path[:200])
            self.skipped.unknown.append(path)
        elif path.rpartition("/")[2] == OBJECTS and self._in_repository:
            self._objects.append(path)
        else:
            self._pending.append(path)
