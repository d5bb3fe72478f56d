"""Which entries are taken where there are more than fit: each directory gets a fair share.

An agent that makes a million files must not crowd out its own work. So the room is shared at each
level of the tree: the directory of which least was taken so far is next. Small ones are taken
whole, of large ones a part, whatever their names, and first what the last snapshot has.
"""

import os
from collections.abc import Callable, Container, Iterable, Iterator
from enum import Enum
from heapq import heappop, heappush, nsmallest
from itertools import islice, pairwise
from pathlib import Path
from typing import Final

from msgspec import Struct, field

from reconcile.mirror.workspace.dirfd import DirectoryHandles
from reconcile.mirror.workspace.excludes import Excludes
from reconcile.mirror.workspace.walk import (
    LARGE_DIRECTORY,
    FileStat,
    SkippedEntries,
    TooManyEntriesError,
    WorkspaceWalk,
    unreadable_root_error,
    walk,
)

MAX_FILES: Final = 250_000
"""How much entries may weigh if nobody says otherwise; `docs/mirror.md` says what they cost."""

_MAX_SHARE_DEPTH: Final = 16
"""Below so many levels directories have no shares of their own: paths may be very deep."""


class WalkLimits(Struct, frozen=True):
    """The most that all entries together may weigh, and what the last snapshot has.

    `previous_paths` gives paths; it is asked only where there is no room for all.
    """

    max_weight: int
    previous_paths: Callable[[], Container[str]]


def walk_within(
    root: Path, excludes: Excludes, limits: WalkLimits, is_cancelled: Callable[[], bool]
) -> tuple[list[FileStat], SkippedEntries]:
    """List what a snapshot takes of everything below `root`, in the order of paths.

    Raises:
        WorkspaceError: the root itself cannot be read.
        StoppedError: `is_cancelled` said so.
    """
    try:
        return walk(root, excludes, is_cancelled=is_cancelled, max_weight=limits.max_weight)
    except TooManyEntriesError:
        known = limits.previous_paths()
    try:
        with DirectoryHandles(root) as directories:
            return (
                FairShareWalk(directories, excludes, is_cancelled, limits.max_weight)
                .run_fair(known)
                .sorted()
            )
    except OSError as error:
        raise unreadable_root_error(error) from error


class _Phase(Enum):
    """What is taken of a directory: one that is known has a turn for that, and later a second."""

    ALL = "all of a new one"
    PREVIOUS = "what is known"
    ADDED = "what is not known"


class _Subtree(Struct):
    """A directory and what is below it: `pending` is to be listed, `children` has shares of its own.

    `new_weight` is how much that is new the directory itself holds, -1 as long as nobody knows.
    """

    path: str
    level: int
    phase: "_Phase"
    pending: list[str]
    weight_taken: float = 0
    new_weight: float = -1
    children: "list[tuple[float, bool, str, _Subtree]]" = field(default_factory=list)

    @property
    def is_done(self) -> bool:
        return not self.pending and not self.children

    @property
    def next_weight(self) -> float:
        """What will have been taken of it after its next turn."""
        if self.pending:
            return self.weight_taken + max(self.new_weight, 0)
        top, _, _, branch = self.children[0]
        return self.weight_taken + top - branch.weight_taken

    def push(self, subtree: "_Subtree") -> None:
        late = subtree.phase is not _Phase.PREVIOUS
        heappush(self.children, (subtree.next_weight, late, subtree.path, subtree))

    def pop(self) -> "_Subtree":
        return heappop(self.children)[3]


class FairShareWalk(WorkspaceWalk):
    """A walk in which each directory gets its share of the entries that fit."""

    _previous_paths: Container[str] = ()
    _phase = _Phase.ALL

    def run_fair(self, previous_paths: Container[str]) -> "FairShareWalk":
        """Take what there is room for; raises OSError where the root itself cannot be read."""
        os.scandir(self._directories.root).close()
        self._previous_paths = previous_paths
        self._pending.clear()
        root, crowds = _Subtree("", 0, _Phase.PREVIOUS, [""]), list[str]()
        while not root.is_done or crowds:
            if root.is_done:
                self._list_part(crowds.pop(), len(crowds) + 1)
                self._add_children(root)
            else:
                self._list_next(root)
                crowds.extend(self._large_directories)
                self._large_directories.clear()
        return self

    def _list_next(self, root: _Subtree) -> None:
        """List the directory whose turn it is, or see first how much is new in it."""
        chain = [root]
        while not chain[-1].pending:
            chain.append(chain[-1].pop())
        last, room = chain[-1], self.remaining
        if last.phase is not _Phase.PREVIOUS and last.new_weight < 0:
            last.new_weight = self._count_new(last.path)
            if not last.new_weight and last.phase is _Phase.ADDED:
                last.pending.clear()
        else:
            path, self._phase = last.pending.pop(), last.phase
            again = self._list_directory(path) and last.phase is _Phase.PREVIOUS
            self._add_children(last)
            if again:
                last.push(_Subtree(path, last.level + 1, _Phase.ADDED, [path]))
            last.phase, last.new_weight, self._phase = _Phase.ALL, 0, _Phase.ALL
        for branch in chain:
            branch.weight_taken += room - self.remaining
        for above, branch in reversed(list(pairwise(chain))):
            if not branch.is_done:
                above.push(branch)

    def _count_new(self, path: str) -> int:
        """Return how many new entries there are, if there are not very many."""
        self._check_cancelled()
        prefix = f"{path}/" if path else ""
        try:
            with os.scandir(self._directories.open(path)) as found:
                names = (prefix + entry.name for entry in islice(found, LARGE_DIRECTORY))
                return sum(name not in self._previous_paths for name in names)
        except OSError:
            return 0

    def _add_children(self, subtree: _Subtree) -> None:
        fresh, self._pending = self._pending, []
        if subtree.level >= _MAX_SHARE_DEPTH:
            subtree.pending.extend(fresh)
            return
        for path in fresh:
            turn = _Phase.PREVIOUS if path in self._previous_paths else _Phase.ALL
            subtree.push(_Subtree(path, subtree.level + 1, turn, [path]))

    def _list_directory(self, path: str) -> bool:
        """Take up one directory; a repository's own is taken with all below, or stays as it was.

        Returns:
            Whether it may have a second turn: it is no repository's, and not crowded.
        """
        count, room, beyond = len(self.stats), self.remaining, self.skipped.over_limit
        self._in_repository = False
        self._list(path)
        if not self._in_repository:
            return not self._large_directories
        self._phase = _Phase.ALL
        self._walk_all()
        if self.skipped.over_limit > beyond:
            del self.stats[count:]
            self.remaining = room
            self.skipped.unknown.append(path)
        return False

    def _select(self, prefix: str, entries: "list[os.DirEntry[str]]") -> "list[os.DirEntry[str]]":
        """Return what has its turn, in order; nothing where there is no room."""
        if self._phase is not _Phase.ALL and not self._in_repository:
            known = self._phase is _Phase.PREVIOUS
            entries = [e for e in entries if (prefix + e.name in self._previous_paths) is known]
        if self.remaining > 0:
            return sorted(entries, key=self._sort_key(prefix))
        for entry in self._iter_not_excluded(prefix, entries):
            self._reject(prefix + entry.name)
        return []

    def _sort_key(self, prefix: str) -> "Callable[[os.DirEntry[str]], tuple[bool, str]]":
        return lambda entry: (prefix + entry.name not in self._previous_paths, entry.name)

    def _iter_not_excluded(
        self, prefix: str, entries: "Iterable[os.DirEntry[str]]"
    ) -> "Iterator[os.DirEntry[str]]":
        match = self._excludes.is_excluded
        for entry in entries:
            path, name = prefix + entry.name, entry.name
            if not match(path, name, directory=entry.is_dir(follow_symlinks=False)):
                yield entry

    def _list_large(self, path: str) -> None:
        self._list_part(path, 1)

    def _list_part(self, path: str, parts: int) -> None:
        """Of a directory with very many entries take the first, in one of so many parts of room."""
        prefix = f"{path}/" if path else ""
        room = max(-(-int(self.remaining) // parts), 1)
        try:
            with os.scandir(self._directories.open(path)) as found:
                wanted = _CountingIterator(
                    self._iter_not_excluded(prefix, found), self._check_cancelled
                )
                first = nsmallest(room, wanted, key=self._sort_key(prefix))
        except OSError as error:
            self._record_unreadable(path, error)
            return
        self._add_entries(path, first)
        self.skipped.over_limit += wanted.count - len(first)

    def _reject(self, path: str) -> None:
        self.skipped.add("over_limit", path)


class _CountingIterator:
    """Counts what goes through, and breathes now and then."""

    def __init__(
        self, entries: "Iterable[os.DirEntry[str]]", check_cancelled: Callable[[], None]
    ) -> None:
        self._entries = entries
        self._check_cancelled = check_cancelled
        self.count = 0

    def __iter__(self) -> "Iterator[os.DirEntry[str]]":
        for entry in self._entries:
            self.count += 1
            if not self.count % LARGE_DIRECTORY:
                self._check_cancelled()
            yield entry
