"""Writes a snapshot into a volume: aside first, then all of it is made visible by renames.

Compares what a volume holds already with a snapshot, by digests.
"""

import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from enum import Enum
from functools import partial
from pathlib import Path
from typing import assert_never

from msgspec import Struct, field

from reconcile.mirror.errors import DamagedError, WorkspaceError
from reconcile.mirror.model import Directory, Entry, File, HardLink, Symlink
from reconcile.mirror.workspace.dirfd import Directories, checked
from reconcile.mirror.workspace.excludes import Excludes
from reconcile.mirror.workspace.reader import (
    CHUNK,
    ChangedError,
    UnreadableError,
    digest_of,
    read_chunks,
    read_link,
)
from reconcile.mirror.workspace.walk import Seen, Skipped, TooManyError, walk, weight
from reconcile.mirror.workspace.writer import (
    ASIDE,
    Empty,
    Filler,
    Partial,
    Site,
    Spot,
    dress_file,
    dress_last,
    link,
    open_up,
    refusal,
    remove,
    worded,
)

FOREIGN = 100_000
"""About how many entries a volume may hold that the snapshot has not: each costs memory."""


class Verdict(Struct):
    """What is there and right, there and wrong, and there without being in the snapshot.

    Modes and times do not count: they are set anyway. What is neither is missing.
    """

    right: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    @property
    def strange(self) -> list[str]:
        """Whatever a snapshot that was restored in part does not explain."""
        return sorted((*self.wrong, *self.foreign))


def verify(root: Path, entries: Mapping[str, Entry], chunk: int = CHUNK) -> Verdict:
    """Look at everything below `root`; `chunk` is the size of a large file's blobs.

    Raises:
        WorkspaceError: the volume cannot be read.
    """
    try:
        seen, skipped = walk(root, Excludes(()), limit=sum(map(weight, entries)) + FOREIGN)
    except TooManyError:
        raise WorkspaceError(
            f"the volume holds more than {FOREIGN:,} files that its snapshot has not: give the pod "
            "an empty volume"
        ) from None
    verdict = Verdict()
    with Directories(root) as directories:
        judge = _Judge(directories, verdict, chunk)
        for there in seen:
            judge.look(there, entries.get(there.path))
    verdict.foreign.extend(_unsaid(skipped))
    return verdict


def _unsaid(skipped: Skipped) -> list[str]:
    """Sockets and the like are never in a snapshot."""
    return [
        path
        for reason in ("sockets", "devices", "mounts")
        for path in skipped.examples.get(reason, ())
    ]


class _Judge:
    def __init__(self, directories: Directories, verdict: Verdict, chunk: int) -> None:
        self._directories = directories
        self._verdict = verdict
        self._chunk = chunk
        self._inodes: dict[tuple[int, int], str] = {}

    def look(self, there: Seen, wanted: Entry | None) -> None:
        if there.path == "lost+found":
            return
        if wanted is None:
            self._verdict.foreign.append(there.path)
        elif self._is_right(there, wanted):
            self._verdict.right.add(there.path)
        else:
            self._verdict.wrong.append(there.path)

    def _is_right(self, there: Seen, wanted: Entry) -> bool:
        match wanted:
            case Directory():
                return stat.S_ISDIR(there.mode)
            case Symlink():
                return stat.S_ISLNK(there.mode) and self._target(there) == wanted.target
            case HardLink():
                known = self._inodes.get((there.device, there.inode))
                return known == wanted.target and known in self._verdict.right
            case File():
                return self._is_file(there, wanted)
            case _:
                assert_never(wanted)

    def _is_file(self, there: Seen, wanted: File) -> bool:
        """Tell whether the bytes are right, and no other name of the snapshot shares them."""
        if not stat.S_ISREG(there.mode) or there.size != wanted.size:
            return False
        if self._inodes.setdefault((there.device, there.inode), there.path) != there.path:
            return False
        try:
            pieces = read_chunks(self._directories, there, self._chunk)
            found = tuple(digest_of(piece) for piece in pieces)
        except (ChangedError, UnreadableError):
            return False
        return found == wanted.blobs

    def _target(self, there: Seen) -> str | None:
        try:
            return read_link(self._directories, there)
        except (ChangedError, UnreadableError):
            return None


class Found(Enum):
    """Whose are the files that a volume holds before anything is restored?

    OURS if an attempt of ours began on it when it was empty, and no agent has run since: what
    differs from the snapshot is replaced, what is not in it is removed. Else they are a STRANGER's:
    files that are as in the snapshot stay and the rest is completed, but anything else is an error.
    """

    OURS = "ours"
    STRANGERS = "a stranger's"


class _Works(Struct, frozen=True):
    """What there is from `begin` until the end."""

    site: Site
    filler: Filler


class Restorer:
    """Restores one snapshot into the volume at `root`.

    Call `begin`; then `write`, or `spot` once for each blob, for each file that `files` names,
    from any thread and in any order; then `finish`. Every method raises WorkspaceError where the
    volume does not let it, and DamagedError for entries that no walk can have seen. `close` lets go
    of a restore that cannot be finished; what is put together aside stays for the next attempt.

    Args:
        root: the volume.
        entries: the snapshot, in the order of paths.
        found: whose files the volume may hold already; `lost+found` does not count.
    """

    def __init__(
        self, root: Path, entries: Iterable[Entry], found: Found = Found.STRANGERS
    ) -> None:
        self._root = root
        self._entries = {entry.path: entry for entry in entries}
        self._found = found
        self._right: set[str] = set()
        self._left: dict[str, int] = {}
        self._lock = threading.Lock()
        self._works: _Works | None = None

    @property
    def was_empty(self) -> bool:
        """Whether `begin` found nothing: then another process may fill files beside this one."""
        return isinstance(self._ready().site, Empty)

    @property
    def files(self) -> list[File]:
        """The files whose bytes are wanted, once `begin` was called."""
        return [
            entry
            for entry in self._entries.values()
            if isinstance(entry, File) and entry.size and entry.path not in self._right
        ]

    def begin(self) -> None:
        """Look at what is there, and make directories, empty files, and room for large ones."""
        for entry in self._entries.values():
            self._check(entry)
        with worded(self._root, ""), Directories(self._root) as visible:
            remove(visible, ASIDE)
            with os.scandir(visible.root) as names:
                there = {entry.name for entry in names} - {"lost+found"}
            if there:
                self._take_over(visible)
            os.mkdir(ASIDE, 0o700, dir_fd=visible.root)
            site: Site = Partial(self._root) if there else Empty(self._root)
            self._works = _Works(site, Filler(self._root, site))
        self._left = {file.path: file.size for file in self.files}
        wanted = (
            entry
            for entry in self._entries.values()
            if entry.path not in self._right or isinstance(entry, Directory)
        )
        self._for_each(wanted, self._prepare)

    def write(self, file: File, data: bytes | memoryview) -> os.stat_result:
        """Write a file whole that has one blob, and return what it is from then on."""
        self.written(file.path, len(data))
        return self._ready().filler.write(file, data)

    def spot(self, path: str, place: range) -> AbstractContextManager[Spot]:
        """Open a file that has several blobs; `place` says which of its bytes one of them is."""
        self.written(path, len(place))
        return self._ready().filler.spot(path, place)

    def written(self, path: str, size: int) -> None:
        """Take it that so many bytes more of a file are there, whoever has written them."""
        with self._lock:
            left = self._left.get(path, 0) - size
            if left < 0:
                raise DamagedError(f"{path!r} would be longer than the snapshot says")
            self._left[path] = left

    def finish(self) -> None:
        """Make everything visible, with its links, modes and times; directories come last."""
        if any(self._left.values()):
            missing = [path for path, left in self._left.items() if left]
            raise DamagedError(f"{len(missing)} files were not restored, such as {missing[0]!r}")
        site = self._ready().site
        self._for_each(self._unwhole(), self._dress_later)
        with worded(self._root, ""), Directories(self._root) as visible:
            site.show(self._entries.values())
            remove(visible, ASIDE)
            self._complete(visible)
        self.close()

    def close(self) -> None:
        """Let go of all descriptors."""
        if self._works is not None:
            self._works.site.close()
            self._works = None

    def _complete(self, visible: Directories) -> None:
        """Make links, then set what making them has spoilt: a directory's content comes first."""
        links = (
            entry
            for entry in self._entries.values()
            if isinstance(entry, Symlink | HardLink) and entry.path not in self._right
        )
        self._for_each(links, partial(link, visible))
        spoilt = (
            entry
            for entry in reversed(self._entries.values())
            if not isinstance(entry, File) or entry.path in self._right
        )
        self._for_each(spoilt, partial(_dress_last, visible))

    def _for_each(self, entries: Iterable[Entry], work: Callable[[Entry], None]) -> None:
        """Do something to many entries; errors name the one at which it failed."""
        path = ""
        try:
            for entry in entries:
                path = entry.path
                work(entry)
        except OSError as error:
            raise refusal(self._root, path, error) from error

    def _ready(self) -> "_Works":
        if self._works is None:
            raise RuntimeError("a Restorer begins with `begin`, and ends with `finish` or `close`")
        return self._works

    def _check(self, entry: Entry) -> None:
        """Raise DamagedError for what no walk can have seen, before anything is written."""
        above, _, name = entry.path.rpartition("/")
        checked(name)
        if above and not isinstance(self._entries.get(above), Directory):
            raise DamagedError(f"{entry.path!r} is in no directory of the snapshot")
        if entry.path.partition("/")[0] == ASIDE:
            raise DamagedError(f"{entry.path!r} is a name that only the mirror itself may use")
        if isinstance(entry, HardLink) and not isinstance(self._entries.get(entry.target), File):
            raise DamagedError(f"{entry.path!r} is linked to {entry.target!r}, which is no file")

    def _take_over(self, visible: Directories) -> None:
        """Keep what is right; the rest goes if it is ours, and stops us if it is a stranger's."""
        verdict = verify(self._root, self._entries)
        if verdict.strange and self._found is Found.STRANGERS:
            raise WorkspaceError(_refusal(self._root, verdict))
        self._right = verdict.right
        for path in sorted(verdict.right):
            if isinstance(self._entries[path], Directory):
                open_up(visible, path)
        gone = ""
        for path in verdict.strange:
            if not gone or not path.startswith(f"{gone}/"):
                remove(visible, path)
                gone = path

    def _prepare(self, entry: Entry) -> None:
        match entry:
            case Directory():
                self._make_directory(entry.path)
            case File() if not _is_whole(entry):
                self._ready().filler.make_room(entry)
            case _:
                pass

    def _make_directory(self, path: str) -> None:
        parent, name = self._ready().site.inside().parent(path)
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            if path not in self._right:
                raise

    def _unwhole(self) -> Iterator[File]:
        for entry in self._entries.values():
            if isinstance(entry, File) and not _is_whole(entry) and entry.path not in self._right:
                yield entry

    def _dress_later(self, file: Entry) -> None:
        assert isinstance(file, File)
        self._ready().filler.dress(file)


def _dress_last(visible: Directories, entry: Entry) -> None:
    if isinstance(entry, File):
        dress_file(visible, entry)
    else:
        dress_last(visible, entry)


def _is_whole(file: File) -> bool:
    """Whether the file is written in one step; others are made first, and dressed at the end."""
    return len(file.blobs) == 1


def _refusal(root: Path, verdict: Verdict) -> str:
    count = len(verdict.strange)
    examples = ", ".join(repr(path) for path in verdict.strange[:3])
    return (
        f"{root}: the volume holds {count} files that are not as in the snapshot ({examples}): "
        "they may be newer work. Empty the volume, or give one that is empty, or overwrite it with "
        "--force"
    )
