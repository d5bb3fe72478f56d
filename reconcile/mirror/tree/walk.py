"""Walks a workspace: what is there, by descriptors of directories, never through a link."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path

from reconcile.mirror.errors import WorkspaceError
from reconcile.mirror.tree.directories import Directories
from reconcile.mirror.tree.excludes import Excludes

LIMIT = 1_000_000
"""How many entries a walk returns at most; see `Skipped.beyond`."""

CROWD = 20_000
"""A directory with more entries than this comes last, so that it drowns nothing else."""

MAX_PATH = 16_384
"""The longest path in bytes; Linux takes 4,096 at once, deeper ones are made step by step."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What `lstat` says of one entry; times in nanoseconds since 1970, `mode` with the type."""

    path: str
    mode: int
    size: int
    mtime: int
    ctime: int
    inode: int
    device: int
    links: int


@dataclass(slots=True)
class Skipped:
    """How many entries were left out, by reason, and some of their paths by reason.

    `beyond` counts entries over the limit: where it is not 0 the walk is not the whole tree, and
    what it lacks must not be taken for deleted.
    """

    sockets: int = 0
    devices: int = 0
    unreadable: int = 0
    excluded: int = 0
    mounts: int = 0
    too_deep: int = 0
    vanished: int = 0
    beyond: int = 0
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, path: str) -> None:
        """Count one more for `reason`, which is the name of a field."""
        setattr(self, reason, getattr(self, reason) + 1)
        known = self.examples.setdefault(reason, [])
        if len(known) < 3:  # noqa: PLR2004 - enough to know what is meant
            known.append(path)


class StoppedError(Exception):
    """The walk was asked to stop; it has no result."""


def never() -> bool:
    """Do not stop."""
    return False


def walk(
    root: int | Path,
    excludes: Excludes,
    *,
    stop: Callable[[], bool] = never,
    limit: int = LIMIT,
) -> tuple[list[Seen], Skipped]:
    """List everything below `root`, in the order of paths.

    Hard links are entries with the same device and inode. Sockets, fifos and devices are left out,
    and what is on another device than `root`.

    Raises:
        WorkspaceError: the root itself cannot be read.
        StoppedError: `stop` said so.
    """
    try:
        with Directories(root) as directories:
            found = _Walk(directories, excludes, stop, limit).run()
    except OSError as error:
        raise WorkspaceError(
            f"the workspace cannot be read: {error.strerror}: check its volume and its rights"
        ) from error
    found.seen.sort(key=attrgetter("path"))
    return found.seen, found.skipped


class _Walk:
    def __init__(
        self,
        directories: Directories,
        excludes: Excludes,
        stop: Callable[[], bool],
        limit: int,
    ) -> None:
        self._directories = directories
        self._excludes = excludes
        self._stop = stop
        self._limit = limit
        self._device = os.fstat(directories.root).st_dev
        self._todo = [""]
        self._crowded: list[str] = []
        self.seen: list[Seen] = []
        self.skipped = Skipped()

    def run(self) -> "_Walk":
        os.scandir(self._directories.root).close()
        while self._todo or self._crowded:
            if self._todo:
                self._list(self._todo.pop(), CROWD)
            else:
                self._list(self._crowded.pop(), None)
        return self

    def _list(self, path: str, crowd: int | None) -> None:
        if self._stop():
            raise StoppedError
        try:
            entries = list(self._scan(path, crowd))
        except OSError as error:
            self.skipped.add(_why(error), path)
            return
        prefix = f"{path}/" if path else ""
        if crowd is not None and len(entries) > crowd:
            self._crowded.append(path)
            return
        entries.sort(key=attrgetter("name"), reverse=True)
        for entry in entries:
            self._entry(prefix, entry)

    def _scan(self, path: str, crowd: int | None) -> Iterator["os.DirEntry[str]"]:
        with os.scandir(self._directories.open(path)) as entries:
            for number, entry in enumerate(entries):
                yield entry
                if crowd is not None and number > crowd:
                    return

    def _entry(self, prefix: str, entry: "os.DirEntry[str]") -> None:
        path = prefix + entry.name
        directory = entry.is_dir(follow_symlinks=False)
        if self._excludes.match(path, directory=directory):
            self.skipped.add("excluded", path)
        elif len(self.seen) >= self._limit:
            self.skipped.add("beyond", path)
        else:
            self._stat(path, entry)

    def _stat(self, path: str, entry: "os.DirEntry[str]") -> None:
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError as error:
            self.skipped.add(_why(error), path)
            return
        mode = status.st_mode
        if stat.S_ISDIR(mode):
            self._directory(path, status)
        elif stat.S_ISREG(mode) or stat.S_ISLNK(mode):
            self.seen.append(_seen(path, status))
        else:
            kind = "devices" if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else "sockets"
            self.skipped.add(kind, path)

    def _directory(self, path: str, status: os.stat_result) -> None:
        if status.st_dev != self._device:
            self.skipped.add("mounts", path)
            return
        self.seen.append(_seen(path, status))
        if len(path) > MAX_PATH:
            self.skipped.add("too_deep", path[:200])
        else:
            self._todo.append(path)


def _seen(path: str, status: os.stat_result) -> Seen:
    mtime, ctime = status.st_mtime_ns, status.st_ctime_ns
    return Seen(
        path,
        status.st_mode,
        status.st_size,
        mtime,
        mtime if mtime == ctime else ctime,
        status.st_ino,
        status.st_dev,
        status.st_nlink,
    )


def _why(error: OSError) -> str:
    gone = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE}
    return "vanished" if error.errno in gone else "unreadable"
