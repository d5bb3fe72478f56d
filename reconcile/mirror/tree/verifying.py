"""Compares what a volume holds already with a snapshot, by digests."""

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import assert_never

from msgspec import Struct, field

from reconcile.mirror.errors import WorkspaceError
from reconcile.mirror.model import Directory, Entry, File, HardLink, Symlink
from reconcile.mirror.tree.holes import digest_of
from reconcile.mirror.tree.seen import Seen, Skipped, weight
from reconcile.mirror.workspace.dirfd import Directories
from reconcile.mirror.workspace.excludes import Excludes
from reconcile.mirror.workspace.reader import (
    CHUNK,
    ChangedError,
    UnreadableError,
    read_chunks,
    read_link,
)
from reconcile.mirror.workspace.walk import TooManyError, walk

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
