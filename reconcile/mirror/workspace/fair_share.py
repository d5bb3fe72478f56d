"""Which entries a walk adds if there are more than the limit: each directory gets a fair share.

An agent that creates a million files must not displace its own work. So the limit is shared at each
level of the tree: the directory with the fewest entries so far is next. Small directories are added
completely, large ones in part, whatever their names; entries of the last snapshot come first.
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
    WHOLE,
    FileStat,
    SkippedEntries,
    TooManyEntriesError,
    WalkPart,
    WorkspaceWalk,
    unreadable_root_error,
    walk,
)

MAX_FILES: Final = 250_000
"""The default limit for the weight of all entries; `docs/mirror.md` says what they cost."""

_MAX_SHARE_DEPTH: Final = 16
"""Directories below this many levels have no shares of their own: paths may be very deep."""


class WalkLimits(Struct, frozen=True):
    """The maximum weight of all entries together, and the paths of the last snapshot.

    `previous_paths` is called only if the limit is exceeded.
    """

    max_weight: int
    previous_paths: Callable[[], Container[str]]


def walk_within(
    root: int | Path,
    excludes: Excludes,
    limits: WalkLimits,
    is_cancelled: Callable[[], bool],
    part: WalkPart = WHOLE,
) -> tuple[list[FileStat], SkippedEntries]:
    """List the entries below `root` that are within the limits, in the order of paths.

    Raises:
        WorkspaceError: The root itself cannot be read.
        WalkCancelledError: `is_cancelled` returned true.
    """
    try:
        return walk(
            root, excludes, is_cancelled=is_cancelled, max_weight=limits.max_weight, part=part
        )
    except TooManyEntriesError:
        previous_paths = limits.previous_paths()
    try:
        with DirectoryHandles(root) as directories:
            fair_walk = FairShareWalk(directories, excludes, is_cancelled, limits.max_weight, part)
            return fair_walk.run_fair(previous_paths).sorted()
    except OSError as error:
        raise unreadable_root_error(error) from error


class _Phase(Enum):
    """Which entries of a directory are next: one of the last snapshot has two turns.

    ALL: all entries of a new directory. PREVIOUS: first turn, entries of the last snapshot. ADDED:
    second turn, the other entries.
    """

    ALL = "all"
    PREVIOUS = "previous"
    ADDED = "added"


class _Subtree(Struct):
    """A directory and everything below it.

    Attributes:
        path: Its path.
        level: Its depth below the root.
        phase: Which entries its next turn adds.
        pending: Directories that are still to be listed and have no share of their own.
        weight_taken: The weight of the entries that were added so far.
        new_weight: How many new entries the directory itself has, -1 as long as that is unknown.
        children: A heap of the directories that have shares of their own.
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
        """The weight taken after its next turn."""
        if self.pending:
            return self.weight_taken + max(self.new_weight, 0)
        next_weight, _, _, child = self.children[0]
        return self.weight_taken + next_weight - child.weight_taken

    def push(self, subtree: "_Subtree") -> None:
        is_new = subtree.phase is not _Phase.PREVIOUS
        heappush(self.children, (subtree.next_weight, is_new, subtree.path, subtree))

    def pop(self) -> "_Subtree":
        return heappop(self.children)[3]


class FairShareWalk(WorkspaceWalk):
    """A walk in which each directory gets its share of the entries that fit."""

    _previous_paths: Container[str] = ()
    _phase = _Phase.ALL

    def run_fair(self, previous_paths: Container[str]) -> "FairShareWalk":
        """Add the entries within the limit; raises OSError if the root itself cannot be read."""
        self._previous_paths = previous_paths
        root, large = _Subtree(self._part.top, 0, _Phase.PREVIOUS, self._begin()), list[str]()
        while not root.is_done or large:
            if root.is_done:
                self._list_part(large.pop(), len(large) + 1)
                self._add_children(root)
            else:
                self._list_next(root)
                large.extend(self._large_directories)
                self._large_directories.clear()
        return self

    def _list_next(self, root: _Subtree) -> None:
        """List the directory whose turn it is, or first count its new entries."""
        chain = [root]
        while not chain[-1].pending:
            chain.append(chain[-1].pop())
        last, remaining_before = chain[-1], self.remaining
        if last.phase is not _Phase.PREVIOUS and last.new_weight < 0:
            last.new_weight = self._count_new(last.path)
            if not last.new_weight and last.phase is _Phase.ADDED:
                last.pending.clear()
        else:
            path, self._phase = last.pending.pop(), last.phase
            has_second_turn = self._list_directory(path) and last.phase is _Phase.PREVIOUS
            self._add_children(last)
            if has_second_turn:
                last.push(_Subtree(path, last.level + 1, _Phase.ADDED, [path]))
            last.phase, last.new_weight, self._phase = _Phase.ALL, 0, _Phase.ALL
        for subtree in chain:
            subtree.weight_taken += remaining_before - self.remaining
        for parent, child in reversed(list(pairwise(chain))):
            if not child.is_done:
                parent.push(child)

    def _count_new(self, path: str) -> int:
        """Return how many entries of a directory are new, at most `LARGE_DIRECTORY`."""
        self._check_cancelled()
        prefix = f"{path}/" if path else ""
        try:
            with os.scandir(self._directories.open(path)) as scanned:
                own = islice(self._leave_out(path, scanned), LARGE_DIRECTORY)
                paths = (prefix + entry.name for entry in own)
                return sum(inner not in self._previous_paths for inner in paths)
        except OSError:
            return 0

    def _add_children(self, subtree: _Subtree) -> None:
        directories, self._pending = self._pending, []
        if subtree.level >= _MAX_SHARE_DEPTH:
            subtree.pending.extend(directories)
            return
        for path in directories:
            phase = _Phase.PREVIOUS if path in self._previous_paths else _Phase.ALL
            subtree.push(_Subtree(path, subtree.level + 1, phase, [path]))

    def _list_directory(self, path: str) -> bool:
        """List one directory; a git directory is added with everything below it, or not at all.

        Returns:
            Whether it may have a second turn: it is not a git directory, and not large.
        """
        count, remaining, over_limit = len(self.stats), self.remaining, self.skipped.over_limit
        self._in_repository = False
        self._list(path)
        if not self._in_repository:
            return not self._large_directories
        self._phase = _Phase.ALL
        self._walk_all()
        if self.skipped.over_limit > over_limit:
            del self.stats[count:]
            self.remaining = remaining
            self.skipped.unknown.append(path)
        return False

    def _select(self, prefix: str, entries: "list[os.DirEntry[str]]") -> "list[os.DirEntry[str]]":
        """Return the entries of the current phase, in order; none if the limit is reached."""
        if self._phase is not _Phase.ALL and not self._in_repository:
            wanted = self._phase is _Phase.PREVIOUS
            entries = [e for e in entries if (prefix + e.name in self._previous_paths) is wanted]
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
        is_excluded = self._excludes.is_excluded
        for entry in entries:
            path, name = prefix + entry.name, entry.name
            if not is_excluded(path, name, directory=entry.is_dir(follow_symlinks=False)):
                yield entry

    def _list_large(self, path: str) -> None:
        self._list_part(path, 1)

    def _list_part(self, path: str, parts: int) -> None:
        """Add the first entries of a large directory, within its part of the remaining limit."""
        prefix = f"{path}/" if path else ""
        limit = max(-(-int(self.remaining) // parts), 1)
        try:
            with os.scandir(self._directories.open(path)) as scanned:
                own = self._iter_not_excluded(prefix, self._leave_out(path, scanned))
                candidates = _CountingIterator(own, self._check_cancelled)
                first = nsmallest(limit, candidates, key=self._sort_key(prefix))
        except OSError as error:
            self._record_unreadable(path, error)
            return
        self._add_entries(path, first)
        self.skipped.over_limit += candidates.count - len(first)

    def _reject(self, path: str) -> None:
        self.skipped.add("over_limit", path)


class _CountingIterator:
    """Counts the entries that it yields, and sometimes checks whether the walk is cancelled."""

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
