"""The next tree out of what was seen, what was read, and the tree before it. Pure.

Which paths lie below others, told in one go over many of them.
"""

import math
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from reconcile.mirror.model import (
    Directory,
    Entry,
    File,
    HardLink,
    Missing,
    Pack,
    Place,
    Symlink,
    Tree,
)
from reconcile.mirror.workspace.walk import Seen


class Below:
    """Says of paths whether they are below one of `roots`.

    They must be asked for in their order, so that directories come before what is in them: then
    each costs one look, however many roots there are.
    """

    def __init__(self, roots: Iterable[str]) -> None:
        self._inside = set(roots)

    def __contains__(self, path: str) -> bool:
        if path.rpartition("/")[0] not in self._inside:
            return False
        self._inside.add(path)
        return True


Placed: TypeAlias = Callable[[Sequence[str]], Place | None]
"""Says where the blobs of one file are stored; None where they are not."""

_USABLE = 0o500


class Sight(Struct, frozen=True):
    """A walk, and what is known of it.

    Attributes:
        seen: All entries in the order of paths.
        unchanged: For each a 1 if it is what the tree before has.
        blobs: Of files that were read.
        targets: Of symbolic links that were read.
        unknown: Paths at and below which the walk could learn nothing. What it lacks elsewhere is
            deleted.
        most: How many entries the next tree has at most; what is seen has all of them.
    """

    seen: Sequence[Seen]
    unchanged: bytearray
    blobs: Mapping[str, tuple[str, ...]]
    targets: Mapping[str, str]
    unknown: Sequence[str] = ()
    most: float = math.inf


class Built(Struct, frozen=True):
    """The next tree; `unsettled` are positions of what it has not as it was seen."""

    tree: Tree
    unsettled: Sequence[int]
    missing: Missing


def build(before: Tree, sight: Sight, placed: Placed, packs: Mapping[int, Pack]) -> Built:
    """Return the next tree.

    What could not be read keeps the version that it had, whole; if it had none it is absent.
    Entries that are equal are those of the tree before, so that two trees share their memory.
    """
    builder = _Builder(before, sight, placed)
    for position, seen in enumerate(sight.seen):
        builder.add(position, seen)
    builder.keep_what_was_hidden()
    lacking = [sight.seen[position] for position in builder.unsettled]
    missing = Missing(len(lacking), sum(one.size for one in lacking))
    return Built(Tree(builder.entries, dict(packs)), builder.unsettled, missing)


class _Builder:
    def __init__(self, before: Tree, sight: Sight, placed: Placed) -> None:
        self._before = before.entries
        self._sight = sight
        self._placed = placed
        self._names: dict[tuple[int, int], str] = {}
        self._blind: list[str] = []
        self.entries: dict[str, Entry] = {}
        self.unsettled: list[int] = []

    def add(self, position: int, seen: Seen) -> None:
        entry = self._entry(position, seen)
        if entry is None:
            self.unsettled.append(position)
            entry = self._version_before(seen.path)
        if entry is not None:
            known = self._before.get(seen.path)
            self.entries[seen.path] = known if known == entry else entry

    def _entry(self, position: int, seen: Seen) -> Entry | None:
        known = self._before.get(seen.path)
        if stat.S_ISDIR(seen.mode):
            if seen.mode & _USABLE != _USABLE:
                self._blind.append(seen.path)
            return Directory(seen.path, seen.mode & 0o7777, seen.mtime)
        unchanged = bool(self._sight.unchanged[position])
        if stat.S_ISLNK(seen.mode):
            return known if unchanged and isinstance(known, Symlink) else self._symlink(seen)
        if seen.links > 1:
            return self._linked(seen, unchanged=unchanged)
        if unchanged and isinstance(known, File):
            return known
        return self._file(seen, self._sight.blobs.get(seen.path))

    def _symlink(self, seen: Seen) -> Symlink | None:
        target = self._sight.targets.get(seen.path)
        return None if target is None else Symlink(seen.path, target, seen.mtime)

    def _linked(self, seen: Seen, *, unchanged: bool) -> Entry | None:
        """Name the first path of an inode; which one that is changes when directories move."""
        first = self._names.setdefault((seen.device, seen.inode), seen.path)
        if first != seen.path:
            found = isinstance(self.entries.get(first), File)
            return HardLink(seen.path, first) if found else None
        blobs = self._sight.blobs.get(seen.path)
        if blobs is None and unchanged:
            blobs = self._blobs_before(seen.path)
        return self._file(seen, blobs)

    def _file(self, seen: Seen, blobs: tuple[str, ...] | None) -> File | None:
        place = None if blobs is None else self._placed(blobs)
        if blobs is None or place is None:
            return None
        return File(seen.path, seen.mode & 0o7777, seen.mtime, seen.size, blobs, place)

    def _blobs_before(self, path: str) -> tuple[str, ...] | None:
        version = self._version_before(path)
        return version.blobs if isinstance(version, File) else None

    def _version_before(self, path: str) -> Entry | None:
        """Return what the tree before has at a path, a hard link as the file that it is."""
        known = self._before.get(path)
        match known:
            case HardLink(_, target):
                file = self._before.get(target)
                return replace(file, path=path) if isinstance(file, File) else None
            case File() | Symlink():
                return known
            case _:
                return None

    def keep_what_was_hidden(self) -> None:
        """Keep what the walk could not see: below what it may not enter, say."""
        unknown = frozenset(self._sight.unknown)
        if not self._blind and not unknown:
            return
        hidden = Below((*self._blind, *unknown))
        for path in self._before:
            if (path in hidden or path in unknown) and path not in self.entries:
                if len(self.entries) >= self._sight.most:
                    break
                self._keep(path)
        self.entries = dict(sorted(self.entries.items()))

    def _keep(self, path: str) -> None:
        above = path.rpartition("/")[0]
        if above and not isinstance(self.entries.get(above), Directory):
            return
        known = self._before[path]
        entry = known if isinstance(known, Directory) else self._version_before(path)
        if entry is not None:
            self.entries[path] = entry
