"""One look at a workspace: walk it, read what changed, send it, and say what the next tree is.

Reads what may have changed in a workspace and hands its bytes to the uploads.
"""

import stat
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeAlias

from msgspec import Struct, field

from reconcile.mirror.backup.tree_builder import Built, Sight, build
from reconcile.mirror.backup.uploader import Uploads
from reconcile.mirror.concurrency import Limit, OverError
from reconcile.mirror.index import Index
from reconcile.mirror.model import Tree
from reconcile.mirror.snapshot.keys import CHUNK, LARGE
from reconcile.mirror.snapshot.repack import THRIFT, Thrift
from reconcile.mirror.workspace.dirfd import Directories
from reconcile.mirror.workspace.excludes import Excludes
from reconcile.mirror.workspace.fair_share import Bounds, walk_within
from reconcile.mirror.workspace.git import git_directories, held_back
from reconcile.mirror.workspace.reader import (
    Changed,
    ChangedError,
    Content,
    Unreadable,
    UnreadableError,
    digest_of,
    read_chunks,
    read_file,
    read_link,
)
from reconcile.mirror.workspace.sqlite import (
    JOURNAL,
    SHARED_MEMORY,
    WAL,
    Database,
    databases,
    read_database,
    shared_memory,
)
from reconcile.mirror.workspace.survey import fitting
from reconcile.mirror.workspace.walk import Seen, Skipped, StoppedError


class Gathered(Struct):
    """What was read, by path; what is missing here keeps the version that it had.

    `seen` has what is to be taken for the walk's own: it was looked at again while it was read.
    `restless` changed while they were read, `unreadable` could not be; `size` is what was read.
    """

    blobs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    targets: dict[str, str] = field(default_factory=dict)
    seen: dict[str, Seen] = field(default_factory=dict)
    restless: int = 0
    unreadable: int = 0
    size: int = 0

    def forget(self) -> None:
        """Let go of all but the counts, once the tree is built."""
        self.blobs, self.targets = {}, {}


class Gatherer:
    """Reads one entry after the other; not for several threads at once."""

    def __init__(self, directories: Directories, uploads: Uploads, limit: Limit) -> None:
        self._directories = directories
        self._uploads = uploads
        self._limit = limit
        self.found = Gathered()

    def take_link(self, seen: Seen) -> None:
        """Read a symbolic link."""
        try:
            self.found.targets[seen.path] = read_link(self._directories, seen)
        except ChangedError:
            self.found.restless += 1
        except UnreadableError:
            self.found.unreadable += 1

    def take_file(self, seen: Seen) -> None:
        """Read a file; OverError at the limit, StoreError where an upload has failed."""
        if not seen.size:
            self.found.blobs[seen.path] = ()
        elif seen.size > LARGE:
            self._take_large(seen)
        else:
            self._take_small(seen)

    def take_database(self, database: Database) -> None:
        """Read a database with its log, both or neither; raises as `take_file`."""
        blobs: dict[str, list[str]] = {database.main.path: [], database.log.path: []}
        seen: dict[str, Seen] = {}
        try:
            for piece in read_database(self._directories, database, CHUNK):
                self._limit.check()
                seen[piece.seen.path] = piece.seen
                blobs[piece.seen.path].append(self._send(piece.seen, piece.data))
        except ChangedError:
            self.found.restless += 1
        except UnreadableError:
            self.found.unreadable += 1
        else:
            self.found.seen.update(seen)
            self.found.blobs.update((path, tuple(digests)) for path, digests in blobs.items())

    def _send(self, seen: Seen, data: bytes) -> str:
        digest = digest_of(data)
        if seen.size > LARGE:
            self._uploads.add_alone(digest, data, self._limit)
        else:
            self._uploads.add(digest, data, self._limit)
        self.found.size += len(data)
        return digest

    def _take_small(self, seen: Seen) -> None:
        match read_file(self._directories, seen):
            case Content(data):
                self.found.blobs[seen.path] = (self._send(seen, data),)
            case Changed():
                self.found.restless += 1
            case Unreadable():
                self.found.unreadable += 1

    def _take_large(self, seen: Seen) -> None:
        digests = []
        try:
            for data in read_chunks(self._directories, seen, CHUNK):
                self._limit.check()
                digests.append(self._send(seen, data))
        except ChangedError:
            self.found.restless += 1
        except UnreadableError:
            self.found.unreadable += 1
        else:
            self.found.blobs[seen.path] = tuple(digests)


HIDDEN: Final = 1.5
"""How many times its limit a tree may have, with what is there but cannot be seen this time."""


class Survey(Struct, frozen=True):
    """What a walk has seen; `newest` is the time of the last write, 0 if there is nothing.

    `limit` is how much its entries might have weighed.
    """

    seen: list[Seen]
    skipped: Skipped
    newest: int
    limit: int


class Captured(Struct, frozen=True):
    """A tree whose bytes are all stored, and what it could not take; not committed yet.

    `seen` is the walk, but for what was looked at again while it was read.
    """

    seen: list[Seen]
    built: Built
    gathered: Gathered
    cut: bool


class Effort(Struct, frozen=True):
    """How far a pass may go.

    A pass that is `final` ends at its limit with what it has, newest files first; any other is
    given up there. `thrift` says what is packed anew beside a commit.
    """

    limit: Limit
    final: bool = False
    thrift: Thrift = THRIFT


def survey(root: Path, excludes: Excludes, bounds: Bounds, limit: Limit) -> Survey:
    """Walk the workspace.

    Raises:
        OverError: The limit was reached.
        WorkspaceError: The workspace itself cannot be read.
    """
    try:
        seen, skipped = walk_within(root, excludes, bounds, limit.over)
    except StoppedError:
        raise OverError from None
    if any(one.path.endswith(SHARED_MEMORY) for one in seen):
        hidden = shared_memory(seen)
        seen = [one for one in seen if one.path not in hidden]
    seen = fitting(seen, skipped)
    newest = max((max(one.mtime, one.ctime) for one in seen), default=0)
    return Survey(seen, skipped, newest, bounds.limit)


Task: TypeAlias = Seen | Database


def _todo(seen: Sequence[Seen], todo: Sequence[Seen]) -> list[Task]:
    """Put databases that are in use first, each with its log as one task."""
    if not any(one.path.endswith((WAL, JOURNAL)) for one in seen):
        return list(todo)
    changed = {one.path for one in todo}
    pairs = [
        pair for pair in databases(seen) if pair.main.path in changed or pair.log.path in changed
    ]
    together = {path for pair in pairs for path in (pair.main.path, pair.log.path)}
    return [*pairs, *(one for one in todo if one.path not in together)]


class Capture:
    """Turns a survey into a tree that is stored."""

    def __init__(self, root: Path, before: Tree, index: Index | None, uploads: Uploads) -> None:
        self._root = root
        self._before = before
        self._index = index
        self._uploads = uploads

    def run(self, survey: Survey, effort: Effort) -> Captured:
        """Read and send what changed.

        Raises:
            OverError: The limit of a pass that is not final was reached.
            StoreError: Something could not be stored.
        """
        seen = survey.seen
        unchanged = self._index.unchanged(seen) if self._index else bytearray(len(seen))
        todo = list(self._unread(seen, unchanged))
        if effort.final:
            todo.sort(key=lambda one: max(one.mtime, one.ctime), reverse=True)
        gathered, cut = self._gather(_todo(seen, todo), effort)
        self._hold_back(seen, todo, gathered)
        seen = [gathered.seen.get(one.path, one) for one in seen] if gathered.seen else seen
        unknown = survey.skipped.unknown
        most = HIDDEN * survey.limit
        sight = Sight(seen, unchanged, gathered.blobs, gathered.targets, unknown, most)
        built = build(self._before, sight, self._uploads.place, self._uploads.packs)
        gathered.forget()
        return Captured(seen, built, gathered, cut)

    def _hold_back(self, seen: Sequence[Seen], todo: Sequence[Seen], gathered: Gathered) -> None:
        """Let go of what names objects of git that could not be taken."""
        missing = [one.path for one in todo if not self._is_stored(one.path, gathered)]
        if not missing:
            return
        repositories = git_directories({one.path for one in seen})
        for path in held_back([one.path for one in todo], missing, repositories):
            gathered.blobs.pop(path, None)
            gathered.targets.pop(path, None)

    def _is_stored(self, path: str, gathered: Gathered) -> bool:
        blobs = gathered.blobs.get(path)
        if blobs is None:
            return path in gathered.targets
        return self._uploads.place(blobs) is not None

    def _unread(self, seen: Sequence[Seen], unchanged: bytearray) -> Iterable[Seen]:
        inodes: set[tuple[int, int]] = set()
        for position, one in enumerate(seen):
            if stat.S_ISDIR(one.mode) or (unchanged[position] and one.path in self._before.entries):
                continue
            if one.links > 1 and stat.S_ISREG(one.mode):
                inode = (one.device, one.inode)
                if inode in inodes:
                    continue
                inodes.add(inode)
            yield one

    def _gather(self, todo: Iterable[Task], effort: Effort) -> tuple[Gathered, bool]:
        with Directories(self._root) as directories:
            gatherer = Gatherer(directories, self._uploads, effort.limit)
            cut = self._until_over(lambda: self._take_all(gatherer, todo, effort.limit), effort)
            cut = self._until_over(lambda: self._send_rest(effort.limit), effort) or cut
        return gatherer.found, cut

    def _take_all(self, gatherer: Gatherer, todo: Iterable[Task], limit: Limit) -> None:
        for one in todo:
            limit.check()
            if isinstance(one, Database):
                gatherer.take_database(one)
            elif stat.S_ISLNK(one.mode):
                gatherer.take_link(one)
            else:
                gatherer.take_file(one)

    def _send_rest(self, limit: Limit) -> None:
        self._uploads.close_pack(limit)
        self._uploads.drain(limit)

    def _until_over(self, work: Callable[[], None], effort: Effort) -> bool:
        if not effort.final:
            work()
            return False
        with suppress(OverError):
            work()
            return False
        return True
