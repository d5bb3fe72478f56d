"""Walks a workspace by descriptors of directories, never through a link.

The result is the `lstat` data of each entry, and counts of the entries that were skipped.
"""

import errno
import math
import os
import re
import stat
from collections.abc import Callable, Iterator
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Final

from msgspec import Struct, field

from reconcile.mirror.errors import WorkspaceError
from reconcile.mirror.workspace.dirfd import DirectoryHandles
from reconcile.mirror.workspace.excludes import Excludes
from reconcile.mirror.workspace.git import OBJECTS, PACKED_REFS, is_git_directory

PATH_WEIGHT_UNIT = 128
"""Bytes of a path for which an entry counts once more, see `entry_weight`."""

_INTERNED: dict[int, int] = {}
"""Modes and devices, which have few values: equal numbers of 100,000 entries share memory."""


class FileStat(Struct, frozen=True, gc=False):
    """The `lstat` data of one entry; times in nanoseconds since 1970, `mode` with the file type."""

    path: str
    mode: int
    size: int
    mtime: int
    ctime: int
    inode: int
    device: int
    links: int


class SkippedEntries(Struct):
    """How many entries were skipped, by reason, and some of their paths by reason.

    `sockets` also counts fifos. `over_limit` is a minimum: entries of skipped directories are not
    counted. `unknown` has paths that could not be seen: entries that an earlier walk saw at and
    below them must not be treated as deleted. `unreadable_reason` names one path and its error.
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
    unreadable_reason: str = ""

    def include(self, other: "SkippedEntries") -> None:
        """Add what another walk has skipped."""
        for name in _COUNTERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.unknown.extend(other.unknown)
        for reason, paths in other.examples.items():
            self.examples[reason] = [*self.examples.get(reason, ()), *paths][:_MAX_EXAMPLES]
        self.unreadable_reason = self.unreadable_reason or other.unreadable_reason

    @property
    def total(self) -> int:
        """How many skipped entries may matter: all except excluded and vanished ones."""
        special = self.sockets + self.devices + self.mounts
        return special + self.unreadable + self.too_deep + self.too_large + self.over_limit

    def add(self, reason: str, path: str) -> None:
        """Count one more for `reason`, which is the name of a field."""
        setattr(self, reason, getattr(self, reason) + 1)
        examples = self.examples.setdefault(reason, [])
        if len(examples) < _MAX_EXAMPLES:
            examples.append(path)


_MAX_EXAMPLES: Final = 3
"""Paths for each reason: enough to understand it."""

_COUNTERS: Final = (
    "sockets",
    "devices",
    "unreadable",
    "excluded",
    "mounts",
    "too_deep",
    "too_large",
    "vanished",
    "over_limit",
)


def build_file_stat(path: str, status: os.stat_result) -> FileStat:
    """Convert the result of `lstat`."""
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
    """Return for how many entries one with this path counts: longer paths need more memory."""
    return 1 + (len(path) if path.isascii() else 4 * len(path)) // PATH_WEIGHT_UNIT


LARGE_DIRECTORY = 20_000
"""A directory with more entries than this is listed in parts, after the others."""

MAX_PATH = 16_384
"""Directories with longer paths, in characters, are not entered.

Linux accepts 4,096 bytes in one call; deeper trees are created step by step."""


_SOCKETS_AND_FIFOS = {stat.S_IFSOCK, stat.S_IFIFO}


class WalkCancelledError(Exception):
    """The walk was cancelled; it has no result."""


class TooManyEntriesError(Exception):
    """There are more entries than the limit of the walk; it has no result."""


class WalkPart(Struct, frozen=True):
    """What a walk lists: the entry at `top` with all below it, without the entry at `omitted`.

    Both are paths; `omitted` is in the root. An empty one is the root, or nothing.
    """

    top: str = ""
    omitted: str = ""


WHOLE = WalkPart()


def never_cancelled() -> bool:
    """Do not cancel."""
    return False


def walk(
    root: int | Path,
    excludes: Excludes,
    *,
    is_cancelled: Callable[[], bool] = never_cancelled,
    max_weight: float = math.inf,
    part: WalkPart = WHOLE,
) -> tuple[list[FileStat], SkippedEntries]:
    """List everything below `root`, or a part of it, in the order of paths.

    Hard links are entries with the same device and inode. Sockets, fifos, devices and what is
    mounted below `root` are skipped.

    Raises:
        WorkspaceError: The root itself cannot be read.
        WalkCancelledError: `is_cancelled` returned true.
        TooManyEntriesError: All entries together weigh more than `max_weight`.
    """
    try:
        with DirectoryHandles(root) as directories:
            finished = WorkspaceWalk(directories, excludes, is_cancelled, max_weight, part).run()
    except OSError as error:
        raise unreadable_root_error(error) from error
    return finished.sorted()


def unreadable_root_error(error: OSError) -> WorkspaceError:
    """Return the error for a root that cannot be read."""
    return WorkspaceError(
        f"the workspace cannot be read: {error.strerror}: check its volume and its permissions"
    )


_MOUNT_TABLE: Final = Path("/proc/self/mountinfo")
_MOUNT_POINT: Final = 4
"""The column with the path of the mount point."""
_MOUNT_ESCAPE: Final = re.compile(r"\\([0-7]{3})")


def find_mount_points(root: int) -> frozenset[str]:
    """Return the paths of mount points below an open directory; empty where the kernel has none.

    What is mounted there belongs to another volume. The device number alone does not show it: two
    volumes may be directories of the same file system, as those of the kind `emptyDir` are.
    """
    try:
        prefix = f"{Path(f'/proc/self/fd/{root}').readlink()}".rstrip("/") + "/"
        table = os.fsdecode(_MOUNT_TABLE.read_bytes())
    except OSError:
        return frozenset()
    return parse_mount_points(table, prefix)


def parse_mount_points(table: str, prefix: str) -> frozenset[str]:
    """Return the paths below `prefix`, relative to it, from the text of `/proc/self/mountinfo`."""
    points = (line.split(" ")[_MOUNT_POINT] for line in table.split("\n") if line)
    paths = (_MOUNT_ESCAPE.sub(lambda found: chr(int(found[1], 8)), point) for point in points)
    return frozenset(path.removeprefix(prefix) for path in paths if path.startswith(prefix))


class WorkspaceWalk:
    """One walk; `remaining` is the weight of the entries that it may still add."""

    def __init__(
        self,
        directories: DirectoryHandles,
        excludes: Excludes,
        is_cancelled: Callable[[], bool],
        remaining: float,
        part: WalkPart = WHOLE,
    ) -> None:
        self._directories = directories
        self._part = part
        self._excludes = excludes
        self._is_cancelled = is_cancelled
        self.remaining = remaining
        self._device = os.fstat(directories.root).st_dev
        self._mounts = find_mount_points(directories.root)
        self._pending: list[str] = []
        self._large_directories: list[str] = []
        self._packed_refs: list[str] = []
        self._objects: list[str] = []
        self._in_repository = False
        self.stats: list[FileStat] = []
        self.skipped = SkippedEntries()

    def run(self) -> "WorkspaceWalk":
        """Walk the whole part; raises OSError if the root itself cannot be read."""
        self._pending = self._begin()
        self._walk_all()
        return self

    def _begin(self) -> list[str]:
        """Return the directories to begin with: the root, or the top of a part, which is added."""
        top = self._part.top
        if not top:
            os.scandir(self._directories.root).close()
            return [top]
        try:
            parent, name = self._directories.open_parent(top)
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return []
        except OSError as error:
            self._record_unreadable(top, error)
            return []
        self._add(top, status)
        pending, self._pending = self._pending, []
        return pending

    def _leave_out(
        self, path: str, scanned: "Iterator[os.DirEntry[str]]"
    ) -> "Iterator[os.DirEntry[str]]":
        """Return the entries of a directory without the one that is no part of this walk."""
        omitted = self._part.omitted
        if path or not omitted:
            return scanned
        return (entry for entry in scanned if entry.name != omitted)

    def sorted(self) -> tuple[list[FileStat], SkippedEntries]:
        """Return the entries in the order of paths, and what was skipped."""
        self.stats.sort(key=attrgetter("path"))
        return self.stats, self.skipped

    def _walk_all(self) -> None:
        """List all pending directories; packed refs and objects of git come after the refs."""
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
        """Add the entries of one directory, so that the first by name is entered first."""
        self._check_cancelled()
        try:
            with os.scandir(self._directories.open(path)) as scanned:
                entries = list(islice(self._leave_out(path, scanned), LARGE_DIRECTORY + 1))
        except OSError as error:
            self._record_unreadable(path, error)
            return
        if len(entries) > LARGE_DIRECTORY:
            self._large_directories.append(path)
            return
        entries.sort(key=attrgetter("name"), reverse=True)
        self._add_entries(path, entries)

    def _list_large(self, path: str) -> None:
        """Do the same in parts: the directory may have any number of entries."""
        try:
            with os.scandir(self._directories.open(path)) as scanned:
                own = self._leave_out(path, scanned)
                while entries := list(islice(own, LARGE_DIRECTORY)):
                    self._check_cancelled()
                    self._add_entries(path, entries)
        except OSError as error:
            self._record_unreadable(path, error)

    def _check_cancelled(self) -> None:
        if self._is_cancelled():
            raise WalkCancelledError

    def _add_entries(self, directory: str, entries: "list[os.DirEntry[str]]") -> None:
        prefix = f"{directory}/" if directory else ""
        is_excluded = self._excludes.is_excluded
        self._in_repository = is_git_directory({entry.name for entry in entries})
        entries = self._select(prefix, entries)
        if self._in_repository:
            entries = self._defer_packed_refs(prefix, entries)
        for entry in entries:
            name = entry.name
            path = prefix + name
            if is_excluded(path, name, directory=entry.is_dir(follow_symlinks=False)):
                self.skipped.add("excluded", path)
            else:
                self._visit(path, entry)

    def _select(self, prefix: str, entries: "list[os.DirEntry[str]]") -> "list[os.DirEntry[str]]":
        """Return the entries of one directory to add, in order."""
        del prefix
        return entries

    def _add_entry(self, path: str, status: os.stat_result) -> bool:
        weight = entry_weight(path)
        if weight > self.remaining:
            self._reject(path)
            return False
        self.remaining -= weight
        self.stats.append(build_file_stat(path, status))
        return True

    def _reject(self, path: str) -> None:
        del path
        raise TooManyEntriesError

    def _defer_packed_refs(
        self, prefix: str, entries: "list[os.DirEntry[str]]"
    ) -> "list[os.DirEntry[str]]":
        """Defer the packed refs of a repository; see `git.py` for the order."""
        others = []
        for entry in entries:
            if entry.name == PACKED_REFS and entry.is_file(follow_symlinks=False):
                self._packed_refs.append(prefix + entry.name)
            else:
                others.append(entry)
        return others

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
        self.skipped.unknown.append(path)
        if error.errno in gone:
            self.skipped.add("vanished", path)
        else:
            self.skipped.add("unreadable", path)
            self.skipped.unreadable_reason = f"{path}: {error.strerror}"

    def _visit(self, path: str, entry: "os.DirEntry[str]") -> None:
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError as error:
            self._record_unreadable(path, error)
            return
        self._add(path, status)

    def _add(self, path: str, status: os.stat_result) -> None:
        kind = stat.S_IFMT(status.st_mode)
        if path in self._mounts:
            self._add_mount(path)
        elif kind in {stat.S_IFREG, stat.S_IFLNK}:
            self._add_entry(path, status)
        elif kind == stat.S_IFDIR:
            self._add_directory(path, status)
        else:
            self.skipped.add("sockets" if kind in _SOCKETS_AND_FIFOS else "devices", path)

    def _add_mount(self, path: str) -> None:
        """Skip it; what it hides was not deleted."""
        self.skipped.add("mounts", path)
        self.skipped.unknown.append(path)

    def _add_directory(self, path: str, status: os.stat_result) -> None:
        if status.st_dev != self._device:
            self._add_mount(path)
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
