"""One look at a workspace: walk it, read what changed, send it, and say what the next tree is."""

import stat
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from reconcile.mirror.building import Built, Sight, build
from reconcile.mirror.gather import Gathered, Gatherer
from reconcile.mirror.index import Index
from reconcile.mirror.limit import Limit, OverError
from reconcile.mirror.model import Tree
from reconcile.mirror.tree.directories import Directories
from reconcile.mirror.tree.excludes import Excludes
from reconcile.mirror.tree.walk import Seen, Skipped, StoppedError, walk
from reconcile.mirror.uploads import Uploads


@dataclass(frozen=True, slots=True)
class Survey:
    """What a walk has seen; `newest` is the time of the last write, 0 if there is nothing."""

    seen: list[Seen]
    skipped: Skipped
    newest: int


@dataclass(frozen=True, slots=True)
class Captured:
    """A tree whose bytes are all stored, and what it could not take; not committed yet."""

    built: Built
    gathered: Gathered
    cut: bool


@dataclass(frozen=True, slots=True)
class Effort:
    """How far a pass may go.

    A pass that is `final` ends at its limit with what it has, newest files first; any other is
    given up there.
    """

    limit: Limit
    final: bool = False


def survey(root: Path, excludes: Excludes, limit: Limit) -> Survey:
    """Walk the workspace.

    Raises:
        OverError: The limit was reached.
        WorkspaceError: The workspace itself cannot be read.
    """
    try:
        seen, skipped = walk(root, excludes, stop=limit.over)
    except StoppedError:
        raise OverError from None
    newest = max((max(one.mtime, one.ctime) for one in seen), default=0)
    return Survey(seen, skipped, newest)


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
        gathered, cut = self._gather(todo, effort)
        complete = not survey.skipped.beyond
        sight = Sight(seen, unchanged, gathered.blobs, gathered.targets, complete)
        built = build(self._before, sight, self._uploads.place, self._uploads.packs)
        return Captured(built, gathered, cut)

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

    def _gather(self, todo: Iterable[Seen], effort: Effort) -> tuple[Gathered, bool]:
        with Directories(self._root) as directories:
            gatherer = Gatherer(directories, self._uploads, effort.limit)
            cut = self._until_over(lambda: self._take_all(gatherer, todo, effort.limit), effort)
            cut = self._until_over(lambda: self._send_rest(effort.limit), effort) or cut
        return gatherer.found, cut

    def _take_all(self, gatherer: Gatherer, todo: Iterable[Seen], limit: Limit) -> None:
        for one in todo:
            limit.check()
            if stat.S_ISLNK(one.mode):
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
