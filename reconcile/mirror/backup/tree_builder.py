"""Builds the next tree from a scan, what was read, and the previous tree. Pure."""

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
    """Says whether a path is below one of `roots`.

    Paths must be tested in their order, so that directories come before what is in them: then each
    test is one look-up, for any number of roots.
    """

    def __init__(self, roots: Iterable[str]) -> None:
        self._inside = set(roots)

    def __contains__(self, path: str) -> bool:
        if path.rpartition("/")[0] not in self._inside:
            return False
        self._inside.add(path)
        return True


PlaceLookup: TypeAlias = Callable[[Sequence[str]], BlobLocation | None]
"""Returns where the blobs of one file are stored; None where they are not."""

_READ_AND_SEARCH = 0o500


class TreeInput(Struct, frozen=True):
    """A scan, and what was read of it.

    Attributes:
        file_stats: All entries in the order of paths.
        unchanged: For each a 1 if it equals the entry of the previous tree.
        blobs: Of files that were read.
        link_targets: Of symbolic links that were read.
        unreadable_paths: Paths at and below which the walk could read nothing. An entry that is
            missing elsewhere was deleted.
        max_entries: How many entries the next tree may have when entries are kept that the scan
            did not see.
    """

    file_stats: Sequence[FileStat]
    unchanged: bytearray
    blobs: Mapping[str, tuple[str, ...]]
    link_targets: Mapping[str, str]
    unreadable_paths: Sequence[str] = ()
    max_entries: float = math.inf


class TreeResult(Struct, frozen=True):
    """The next tree; `stale_positions` are those of the scan that it lacks or has as before."""

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

    An entry that could not be read keeps its previous version as a whole, or is absent if it has
    none. Equal entries are the objects of the previous tree, so that both trees share their memory.
    """
    builder = _TreeBuilder(previous, tree_input, find_place)
    for position, file_stat in enumerate(tree_input.file_stats):
        builder.add(position, file_stat)
    builder.keep_hidden_entries()
    stale = [tree_input.file_stats[position] for position in builder.stale_positions]
    missing = Partial(len(stale), sum(file_stat.size for file_stat in stale))
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
            previous = self._previous_entries.get(file_stat.path)
            self.entries[file_stat.path] = previous if previous == entry else entry

    def _build_entry(self, position: int, file_stat: FileStat) -> Entry | None:
        previous = self._previous_entries.get(file_stat.path)
        if stat.S_ISDIR(file_stat.mode):
            if file_stat.mode & _READ_AND_SEARCH != _READ_AND_SEARCH:
                self._unsearchable.append(file_stat.path)
            return Directory(file_stat.path, file_stat.mode & 0o7777, file_stat.mtime)
        unchanged = bool(self._input.unchanged[position])
        if stat.S_ISLNK(file_stat.mode):
            if unchanged and isinstance(previous, Symlink):
                return previous
            return self._build_symlink(file_stat)
        if file_stat.links > 1:
            return self._build_linked_file(file_stat, unchanged=unchanged)
        if unchanged and isinstance(previous, File):
            return previous
        return self._build_file(file_stat, self._input.blobs.get(file_stat.path))

    def _build_symlink(self, file_stat: FileStat) -> Symlink | None:
        target = self._input.link_targets.get(file_stat.path)
        return None if target is None else Symlink(file_stat.path, target, file_stat.mtime)

    def _build_linked_file(self, file_stat: FileStat, *, unchanged: bool) -> Entry | None:
        """Refer to the first path of an inode, which changes when directories are moved."""
        first = self._first_paths.setdefault((file_stat.device, file_stat.inode), file_stat.path)
        if first != file_stat.path:
            has_target = isinstance(self.entries.get(first), File)
            return HardLink(file_stat.path, first) if has_target else None
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
        """Return the previous entry at a path, a hard link as the file that it refers to."""
        previous = self._previous_entries.get(path)
        match previous:
            case HardLink(_, target):
                file = self._previous_entries.get(target)
                return replace(file, path=path) if isinstance(file, File) else None
            case File() | Symlink():
                return previous
            case _:
                return None

    def keep_hidden_entries(self) -> None:
        """Keep what the walk could not see, such as the contents of unreadable directories."""
        unreadable = frozenset(self._input.unreadable_paths)
        if not self._unsearchable and not unreadable:
            return
        hidden = DescendantFilter((*self._unsearchable, *unreadable))
        for path in self._previous_entries:
            if (path in hidden or path in unreadable) and path not in self.entries:
                if len(self.entries) >= self._input.max_entries:
                    break
                self._keep_entry(path)
        self.entries = dict(sorted(self.entries.items()))

    def _keep_entry(self, path: str) -> None:
        parent = path.rpartition("/")[0]
        if parent and not isinstance(self.entries.get(parent), Directory):
            return
        previous = self._previous_entries[path]
        entry = previous if isinstance(previous, Directory) else self._previous_version(path)
        if entry is not None:
            self.entries[path] = entry
