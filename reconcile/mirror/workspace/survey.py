"""Scans a workspace: one walk, reduced to the entries that a snapshot can hold.

A sparse file costs the agent nothing, whatever size it claims. So there is a limit to the size of
one file, and to the chunks of all of them. A path may be as long as the format allows.
"""

from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import Final

from msgspec import Struct

from reconcile.mirror.concurrency import Deadline, DeadlineExceededError
from reconcile.mirror.snapshot.encoding import MAX_PATH
from reconcile.mirror.snapshot.keys import CHUNK, MAX_PACKED_FILE
from reconcile.mirror.workspace.dirfd import DirectoryHandles
from reconcile.mirror.workspace.excludes import Excludes
from reconcile.mirror.workspace.fair_share import WalkLimits, walk_within
from reconcile.mirror.workspace.session_mark import (
    MARK,
    MAX_SESSION_FILES,
    SESSION_PART,
    WORK_PART,
    stat_mark,
)
from reconcile.mirror.workspace.sqlite import SHARED_MEMORY, find_shared_memory
from reconcile.mirror.workspace.walk import FileStat, SkippedEntries, WalkCancelledError

MAX_FILE: Final = 1 << 40
"""Bytes of one file, holes included."""

MAX_CHUNKS: Final = 1 << 18
"""Chunks of all large files together: 2 TiB."""

_SAFE_PATH_LENGTH: Final = MAX_PATH // 4


class Scan(Struct, frozen=True):
    """One walk of a workspace.

    Attributes:
        file_stats: The entries that a snapshot can hold, sorted by path.
        skipped: The entries that it cannot hold.
        newest_write: Time of the last write in nanoseconds since 1970, 0 for an empty workspace;
            what is in `.session` does not count.
        weight_limit: The limit for the weight of all entries.
    """

    file_stats: list[FileStat]
    skipped: SkippedEntries
    newest_write: int
    weight_limit: int


def scan_workspace(
    root: int | Path, excludes: Excludes, limits: WalkLimits, deadline: Deadline
) -> Scan:
    """Walk the workspace, and select what a snapshot can hold; `.session` is walked last.

    Raises:
        DeadlineExceededError: The limit was reached.
        WorkspaceError: The workspace itself cannot be read.
    """
    try:
        stats, skipped = walk_within(root, excludes, limits, deadline.expired, WORK_PART)
        newest = max((max(stat.mtime, stat.ctime) for stat in stats), default=0)
        session = _walk_session_dir(root, excludes, limits, deadline)
    except WalkCancelledError:
        raise DeadlineExceededError from None
    if session is not None:
        stats = sorted([*stats, *session[0]], key=attrgetter("path"))
        skipped.include(session[1])
    stats = select_storable(_without_shared_memory(stats), skipped)
    return Scan(stats, skipped, newest, limits.max_weight)


def _walk_session_dir(
    root: int | Path, excludes: Excludes, limits: WalkLimits, deadline: Deadline
) -> tuple[list[FileStat], SkippedEntries] | None:
    """Walk `.session`, which has a limit of its own, within which the mark always is.

    Returns:
        None if there is nothing of this name.
    """
    own_limits = WalkLimits(MAX_SESSION_FILES, limits.previous_paths)
    stats, skipped = walk_within(root, excludes, own_limits, deadline.expired, SESSION_PART)
    if skipped.over_limit and not any(stat.path == MARK for stat in stats):
        with DirectoryHandles(root) as directories:
            mark = stat_mark(directories)
        if mark is not None:
            stats.append(mark)
            skipped.over_limit -= 1
    return (stats, skipped) if stats or skipped.unknown else None


def _without_shared_memory(stats: list[FileStat]) -> list[FileStat]:
    if not any(stat.path.endswith(SHARED_MEMORY) for stat in stats):
        return stats
    hidden = find_shared_memory(stats)
    return [stat for stat in stats if stat.path not in hidden]


def select_storable(stats: list[FileStat], skipped: SkippedEntries) -> list[FileStat]:
    """Return what a snapshot can hold, in the same order; the rest is counted in `skipped`.

    A file that is too large keeps its previous version. Where there are too many chunks, the
    smallest files have priority.
    """
    large = [stat for stat in stats if stat.size > MAX_PACKED_FILE]
    over_limit = _find_over_limit(large) if large else frozenset[str]()
    if not over_limit and all(len(stat.path) <= _SAFE_PATH_LENGTH for stat in stats):
        return stats
    return [stat for stat in stats if _is_storable(stat, over_limit, skipped)]


def _find_over_limit(large: Sequence[FileStat]) -> frozenset[str]:
    """Return the paths of files beyond the limits."""
    remaining = MAX_CHUNKS
    over_limit = []
    for stat in sorted(large, key=lambda stat: stat.size):
        chunks = -(-stat.size // CHUNK)
        if stat.size > MAX_FILE or chunks > remaining:
            over_limit.append(stat.path)
        else:
            remaining -= chunks
    return frozenset(over_limit)


def _is_storable(stat: FileStat, over_limit: frozenset[str], skipped: SkippedEntries) -> bool:
    if stat.path in over_limit:
        skipped.add("too_large", stat.path)
        skipped.unknown.append(stat.path)
        return False
    if (
        len(stat.path) > _SAFE_PATH_LENGTH
        and len(stat.path.encode(errors="surrogateescape")) > MAX_PATH
    ):
        skipped.add("too_deep", stat.path[:200])
        return False
    return True
