"""What of a walk a snapshot takes: no path that the format has no room for, no size without end.

A sparse file costs the agent nothing, whatever size it claims. So there is a limit to the size of
one file, and to the chunks of all of them.
"""

from collections.abc import Sequence
from typing import Final

from reconcile.mirror.snapshot.encoding import MAX_PATH
from reconcile.mirror.snapshot.keys import CHUNK, LARGE
from reconcile.mirror.workspace.walk import Seen, Skipped

MAX_FILE: Final = 1 << 40
"""Bytes of one file, holes included."""

MAX_CHUNKS: Final = 1 << 18
"""Chunks of all large files together: 2 TiB."""

_SHORT: Final = MAX_PATH // 4


def fitting(seen: list[Seen], skipped: Skipped) -> list[Seen]:
    """Return what is taken, in the same order; what is not is counted in `skipped`.

    Of a file that is too large the version that was taken before stays. The smallest come first
    where there are too many chunks.
    """
    large = [one for one in seen if one.size > LARGE]
    beyond = _beyond(large) if large else frozenset[str]()
    if not beyond and all(len(one.path) <= _SHORT for one in seen):
        return seen
    return [one for one in seen if _fits(one, beyond, skipped)]


def _beyond(large: Sequence[Seen]) -> frozenset[str]:
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


def _fits(one: Seen, beyond: frozenset[str], skipped: Skipped) -> bool:
    if one.path in beyond:
        skipped.add("too_large", one.path)
        skipped.unknown.append(one.path)
        return False
    if len(one.path) > _SHORT and len(one.path.encode(errors="surrogateescape")) > MAX_PATH:
        skipped.add("too_deep", one.path[:200])
        return False
    return True
