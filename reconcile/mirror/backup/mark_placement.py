"""Puts the mark as it was read last into a scan, and checks that the tree has it. Pure."""

import stat
from bisect import bisect_left
from collections.abc import Collection, Sequence
from operator import attrgetter

from reconcile.mirror.backup.file_archiver import ReadFiles
from reconcile.mirror.model import File, HardLink, SnapshotTree
from reconcile.mirror.workspace.session_mark import (
    MARK,
    SESSION_DIR,
    Mark,
    can_be_mark,
    unreadable_mark_error,
)
from reconcile.mirror.workspace.walk import FileStat

_BELOW_MARK = (f"{MARK}/", f"{MARK}0")
"""Paths below the mark are between these: the character after the slash is 0."""


def check_session_dir(unknown: Collection[str]) -> None:
    """Raise WorkspaceError if a walk could not see `.session` or the mark in it.

    Args:
        unknown: Paths that it could not see.
    """
    if SESSION_DIR in unknown or MARK in unknown:
        raise unreadable_mark_error("it cannot be seen")


def place_mark(
    stats: Sequence[FileStat], unchanged: bytearray, mark: Mark | None
) -> list[FileStat]:
    """Return a scan in the order of paths in which the mark is what was read last.

    Args:
        stats: The scan. The mark may have been created, replaced or removed since.
        unchanged: A flag for each entry, which is changed accordingly; the mark has none.
        mark: The mark, None if there is none.
    """
    placed = list(stats)
    if mark is None:
        position = _find(placed, MARK)
        if position < len(placed) and can_be_mark(placed[position]):
            del placed[position], unchanged[position]
        return placed
    start, end = (_find(placed, path) for path in _BELOW_MARK)
    del placed[start:end], unchanged[start:end]
    _put(placed, unchanged, mark.file)
    position = _find(placed, SESSION_DIR)
    is_there = position < len(placed) and placed[position].path == SESSION_DIR
    if not is_there or not stat.S_ISDIR(placed[position].mode):
        _put(placed, unchanged, mark.directory)
    return placed


def _find(stats: Sequence[FileStat], path: str) -> int:
    return bisect_left(stats, path, key=attrgetter("path"))


def _put(stats: list[FileStat], unchanged: bytearray, file: FileStat) -> None:
    position = _find(stats, file.path)
    if position < len(stats) and stats[position].path == file.path:
        stats[position], unchanged[position] = file, 0
    else:
        stats.insert(position, file)
        unchanged.insert(position, 0)


def has_mark(tree: SnapshotTree, read: ReadFiles) -> bool:
    """Whether a tree has the mark as it was read last, if there is one."""
    if read.mark is None:
        return True
    entry = tree.entries.get(MARK)
    if isinstance(entry, HardLink):
        entry = tree.entries.get(entry.target)
    return isinstance(entry, File) and entry.blobs == read.blobs.get(MARK)
