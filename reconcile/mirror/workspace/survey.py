"""What of a walk a snapshot takes: no path that the format has no room for, no size without end.

A sparse file costs the agent nothing, whatever size it claims. So there is a limit to the size of
one file, and to the chunks of all of them.
"""

from collections.abc import Sequence
from typing import Final

from reconcile.mirror.snapshot.encoding import MAX_PATH
from reconcile.mirror.snapshot.keys import CHUNK, MAX_PACKED_FILE
from reconcile.mirror.workspace.walk import FileStat, SkippedEntries

MAX_FILE: Final = 1 << 40
"""Bytes of one file, holes included."""

MAX_CHUNKS: Final = 1 << 18
"""Chunks of all large files together: 2 TiB."""

_SAFE_PATH_LENGTH: Final = MAX_PATH // 4


def select_storable(stats: list[FileStat], skipped: SkippedEntries) -> list[FileStat]:
    """Return what is taken, in the same order; what is not is counted in `skipped`.

    Of a file that is too large the version that was taken before stays. The smallest come first
    where there are too many chunks.
    """
    large = [one for one in stats if one.size > MAX_PACKED_FILE]
    beyond = _find_over_limit(large) if large else frozenset[str]()
    if not beyond and all(len(one.path) <= _SAFE_PATH_LENGTH for one in stats):
        return stats
    return [one for one in stats if _is_storable(one, beyond, skipped)]


def _find_over_limit(large: Sequence[FileStat]) -> frozenset[str]:
    """Return the paths of files for which there is no room."""
    left = MAX_CHUNKS
    beyond = []
    for one in sorted(large, key=lambda one: one.size):
        chunks = -(-one.size // CHUNK)
        if one.size > MAX_FILE or chunks > left:
            beyond.append(one.path)
        else:
            left -= chunks
    return frozenset(beyond)


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
