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
    BlobLocation,
    Directory,
    Entry,
    File,
    HardLink,
    Pack,
    Partial,
    SnapshotTree,
    Symlink,
)
from reconcile.mirror.workspace.walk import FileStat


class DescendantFilter:
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


PlaceLookup: TypeAlias = Callable[[Sequence[str]], BlobLocation | None]
"""Says where the blobs of one file are stored; None where they are not."""

_READ_AND_SEARCH = 0o500


class TreeInput(Struct, frozen=True):
    """A walk, and what is known of it.

    Attributes:
        file_stats: All entries in the order of paths.
        unchanged: For each a 1 if it is what the tree before has.
        blobs: Of files that were read.
        link_targets: Of symbolic links that were read.
        unreadable_paths: Paths at and below which the walk could learn nothing. What it lacks elsewhere is
            deleted.
        max_entries: How many entries the next tree has at most; what is seen has all of them.
    """

    file_stats: Sequence[FileStat]
    unchanged: bytearray
    blobs: Mapping[str, tuple[str, ...]]
    link_targets: Mapping[str, str]
    unreadable_paths: Sequence[str] = ()
    max_entries: float = math.inf


class TreeResult(Struct, frozen=True):
    """The next tree; `stale_positions` are positions of what it has not as it was seen."""

    tree: SnapshotTree
    stale_positions: Sequence[int]
    missing: Partial


def build_tree(
    previous: SnapshotTree,
    tree_input: TreeInput,
    find_place: PlaceLookup,
    packs: Mapping[int, Pack],
) -> TreeResult:
    """Return the next tree.

    What could not be read keeps the version that it had, whole; if it had none it is absent.
    Entries that are equal are those of the tree before, so that two trees share their memory.
    """
    builder = _TreeBuilder(previous, tree_input, find_place)
    for position, seen in enumerate(tree_input.file_stats):
        builder.add(position, seen)
    builder.keep_hidden_entries()
    lacking = [tree_input.file_stats[position] for position in builder.stale_positions]
    missing = Partial(len(lacking), sum(one.size for one in lacking))
    return TreeResult(SnapshotTree(builder.entries, dict(packs)), builder.stale_positions, missing)


class _TreeBuilder:
    def __init__(
        self, previous: SnapshotTree, tree_input: TreeInput, find_place: PlaceLookup
    ) -> None:
        self._previous_entries = previous.entries
        self._input = tree_input
        self._find_place = find_place
        self._first_paths: dict[tuple[int, int], str] = {}
        self._unsearchable: list[str] = []
        self.entries: dict[str, Entry] = {}
        self.stale_positions: list[int] = []

    def add(self, position: int, file_stat: FileStat) -> None:
        entry = self._build_entry(position, file_stat)
        if entry is None:
            self.stale_positions.append(position)
            entry = self._previous_version(file_stat.path)
        if entry is not None:
            known = self._previous_entries.get(file_stat.path)
            self.entries[file_stat.path] = known if known == entry else entry

    def _build_entry(self, position: int, file_stat: FileStat) -> Entry | None:
        known = self._previous_entries.get(file_stat.path)
        if stat.S_ISDIR(file_stat.mode):
            if file_stat.mode & _READ_AND_SEARCH != _READ_AND_SEARCH:
                self._unsearchable.append(file_stat.path)
            return Directory(file_stat.path, file_stat.mode & 0o7777, file_stat.mtime)
        unchanged = bool(self._input.unchanged[position])
        if stat.S_ISLNK(file_stat.mode):
            return (
                known
                if unchanged and isinstance(known, Symlink)
                else self._build_symlink(file_stat)
            )
        if file_stat.links > 1:
            return self._build_linked_file(file_stat, unchanged=unchanged)
        if unchanged and isinstance(known, File):
            return known
        return self._build_file(file_stat, self._input.blobs.get(file_stat.path))

    def _build_symlink(self, file_stat: FileStat) -> Symlink | None:
        target = self._input.link_targets.get(file_stat.path)
        return None if target is None else Symlink(file_stat.path, target, file_stat.mtime)

    def _build_linked_file(self, file_stat: FileStat, *, unchanged: bool) -> Entry | None:
        """Name the first path of an inode; which one that is changes when directories move."""
        first = self._first_paths.setdefault((file_stat.device, file_stat.inode), file_stat.path)
        if first != file_stat.path:
            found = isinstance(self.entries.get(first), File)
            return HardLink(file_stat.path, first) if found else None
        blobs = self._input.blobs.get(file_stat.path)
        if blobs is None and unchanged:
            blobs = self._previous_blobs(file_stat.path)
        return self._build_file(file_stat, blobs)

    def _build_file(self, file_stat: FileStat, blobs: tuple[str, ...] | None) -> File | None:
        place = None if blobs is None else self._find_place(blobs)
        if blobs is None or place is None:
            return None
        return File(
            file_stat.path, file_stat.mode & 0o7777, file_stat.mtime, file_stat.size, blobs, place
        )

    def _previous_blobs(self, path: str) -> tuple[str, ...] | None:
        version = self._previous_version(path)
        return version.blobs if isinstance(version, File) else None

    def _previous_version(self, path: str) -> Entry | None:
        """Return what the tree before has at a path, a hard link as the file that it is."""
        known = self._previous_entries.get(path)
        match known:
            case HardLink(_, target):
                file = self._previous_entries.get(target)
                return replace(file, path=path) if isinstance(file, File) else None
            case File() | Symlink():
                return known
            case _:
                return None

    def keep_hidden_entries(self) -> None:
        """Keep what the walk could not see: below what it may not enter, say."""
        unknown = frozenset(self._input.unreadable_paths)
        if not self._unsearchable and not unknown:
            return
        hidden = DescendantFilter((*self._unsearchable, *unknown))
        for path in self._previous_entries:
            if (path in hidden or path in unknown) and path not in self.entries:
                if len(self.entries) >= self._input.max_entries:
                    break
                self._keep_entry(path)
        self.entries = dict(sorted(self.entries.items()))

    def _keep_entry(self, path: str) -> None:
        above = path.rpartition("/")[0]
        if above and not isinstance(self.entries.get(above), Directory):
            return
        known = self._previous_entries[path]
        entry = known if isinstance(known, Directory) else self._previous_version(path)
        if entry is not None:
            self.entries[path] = entry
