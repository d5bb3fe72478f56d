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

from reconcile.mirror.workspace.dirfd import Directories
from reconcile.mirror.workspace.excludes import Excludes
from reconcile.mirror.workspace.walk import (
    CROWD,
    Seen,
    Skipped,
    TooManyError,
    Walk,
    unreadable_root,
    walk,
)

MAX_FILES: Final = 250_000
"""How much entries may weigh if nobody says otherwise; `docs/mirror.md` says what they cost."""

_LEVELS: Final = 16
"""Below so many levels directories have no shares of their own: paths may be very deep."""


class Bounds(Struct, frozen=True):
    """The most that all entries together may weigh, and what the last snapshot has.

    `known` gives paths; it is asked only where there is no room for all.
    """

    limit: int
    known: Callable[[], Container[str]]


def walk_within(
    root: Path, excludes: Excludes, bounds: Bounds, stop: Callable[[], bool]
) -> tuple[list[Seen], Skipped]:
    """List what a snapshot takes of everything below `root`, in the order of paths.

    Raises:
        WorkspaceError: the root itself cannot be read.
        StoppedError: `stop` said so.
    """
    try:
        return walk(root, excludes, stop=stop, limit=bounds.limit)
    except TooManyError:
        known = bounds.known()
    try:
        with Directories(root) as directories:
            return _Sharing(directories, excludes, stop, bounds.limit).share(known).sorted()
    except OSError as error:
        raise unreadable_root(error) from error


class _Turn(Enum):
    """What is taken of a directory: one that is known has a turn for that, and later a second."""

    ALL = "all of a new one"
    KNOWN = "what is known"
    NEW = "what is not known"


class _Branch(Struct):
    """A directory and what is below it: `todo` is to be listed, `below` has shares of its own.

    `size` is how much that is new the directory itself holds, -1 as long as nobody knows.
    """

    path: str
    level: int
    turn: "_Turn"
    todo: list[str]
    taken: float = 0
    size: float = -1
    below: "list[tuple[float, bool, str, _Branch]]" = field(default_factory=list)

    @property
    def over(self) -> bool:
        return not self.todo and not self.below

    @property
    def ahead(self) -> float:
        """What will have been taken of it after its next turn."""
        if self.todo:
            return self.taken + max(self.size, 0)
        top, _, _, branch = self.below[0]
        return self.taken + top - branch.taken

    def push(self, branch: "_Branch") -> None:
        late = branch.turn is not _Turn.KNOWN
        heappush(self.below, (branch.ahead, late, branch.path, branch))

    def next(self) -> "_Branch":
        return heappop(self.below)[3]


class _Sharing(Walk):
    _known: Container[str] = ()
    _turn = _Turn.ALL

    def share(self, known: Container[str]) -> "_Sharing":
        """Take what there is room for; raises OSError where the root itself cannot be read."""
        os.scandir(self._directories.root).close()
        self._known = known
        self._todo.clear()
        root, crowds = _Branch("", 0, _Turn.KNOWN, [""]), list[str]()
        while not root.over or crowds:
            if root.over:
                self._list_some(crowds.pop(), len(crowds) + 1)
                self._grow(root)
            else:
                self._list_next(root)
                crowds.extend(self._crowded)
                self._crowded.clear()
        return self

    def _list_next(self, root: _Branch) -> None:
        """List the directory whose turn it is, or see first how much is new in it."""
        chain = [root]
        while not chain[-1].todo:
            chain.append(chain[-1].next())
        last, room = chain[-1], self.room
        if last.turn is not _Turn.KNOWN and last.size < 0:
            last.size = self._count(last.path)
            if not last.size and last.turn is _Turn.NEW:
                last.todo.clear()
        else:
            path, self._turn = last.todo.pop(), last.turn
            again = self._list_whole(path) and last.turn is _Turn.KNOWN
            self._grow(last)
            if again:
                last.push(_Branch(path, last.level + 1, _Turn.NEW, [path]))
            last.turn, last.size, self._turn = _Turn.ALL, 0, _Turn.ALL
        for branch in chain:
            branch.taken += room - self.room
        for above, branch in reversed(list(pairwise(chain))):
            if not branch.over:
                above.push(branch)

    def _count(self, path: str) -> int:
        """Return how many new entries there are, if there are not very many."""
        self._breathe()
        prefix = f"{path}/" if path else ""
        try:
            with os.scandir(self._directories.open(path)) as found:
                names = (prefix + entry.name for entry in islice(found, CROWD))
                return sum(name not in self._known for name in names)
        except OSError:
            return 0

    def _grow(self, branch: _Branch) -> None:
        fresh, self._todo = self._todo, []
        if branch.level >= _LEVELS:
            branch.todo.extend(fresh)
            return
        for path in fresh:
            turn = _Turn.KNOWN if path in self._known else _Turn.ALL
            branch.push(_Branch(path, branch.level + 1, turn, [path]))

    def _list_whole(self, path: str) -> bool:
        """Take up one directory; a repository's own is taken with all below, or stays as it was.

        Returns:
            Whether it may have a second turn: it is no repository's, and not crowded.
        """
        count, room, beyond = len(self.seen), self.room, self.skipped.beyond
        self._in_repository = False
        self._list(path)
        if not self._in_repository:
            return not self._crowded
        self._turn = _Turn.ALL
        self._finish()
        if self.skipped.beyond > beyond:
            del self.seen[count:]
            self.room = room
            self.skipped.unknown.append(path)
        return False

    def _chosen(self, prefix: str, entries: "list[os.DirEntry[str]]") -> "list[os.DirEntry[str]]":
        """Return what has its turn, in order; nothing where there is no room."""
        if self._turn is not _Turn.ALL and not self._in_repository:
            known = self._turn is _Turn.KNOWN
            entries = [e for e in entries if (prefix + e.name in self._known) is known]
        if self.room > 0:
            return sorted(entries, key=self._order(prefix))
        for entry in self._wanted(prefix, entries):
            self._refuse(prefix + entry.name)
        return []

    def _order(self, prefix: str) -> "Callable[[os.DirEntry[str]], tuple[bool, str]]":
        return lambda entry: (prefix + entry.name not in self._known, entry.name)

    def _wanted(
        self, prefix: str, entries: "Iterable[os.DirEntry[str]]"
    ) -> "Iterator[os.DirEntry[str]]":
        match = self._excludes.match
        for entry in entries:
            path, name = prefix + entry.name, entry.name
            if not match(path, name, directory=entry.is_dir(follow_symlinks=False)):
                yield entry

    def _list_crowd(self, path: str) -> None:
        self._list_some(path, 1)

    def _list_some(self, path: str, parts: int) -> None:
        """Of a directory with very many entries take the first, in one of so many parts of room."""
        prefix = f"{path}/" if path else ""
        room = max(-(-int(self.room) // parts), 1)
        try:
            with os.scandir(self._directories.open(path)) as found:
                wanted = _Counted(self._wanted(prefix, found), self._breathe)
                first = nsmallest(room, wanted, key=self._order(prefix))
        except OSError as error:
            self._lost(path, error)
            return
        self._take(path, first)
        self.skipped.beyond += wanted.count - len(first)

    def _refuse(self, path: str) -> None:
        self.skipped.add("beyond", path)


class _Counted:
    """Counts what goes through, and breathes now and then."""

    def __init__(self, entries: "Iterable[os.DirEntry[str]]", breathe: Callable[[], None]) -> None:
        self._entries = entries
        self._breathe = breathe
        self.count = 0

    def __iter__(self) -> "Iterator[os.DirEntry[str]]":
        for entry in self._entries:
            self.count += 1
            if not self.count % CROWD:
                self._breathe()
            yield entry
