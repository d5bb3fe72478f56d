"""Notices of what garbage collection deletes, as JSON and back.

A notice is written before anything is looked at for the last time, and stays for days. A writer
reads notices after its manifest is stored and before it commits: either garbage collection sees
that manifest, or the writer sees the notice. So an object that is written again while it is being
deleted is never taken for one that is there.
"""

from collections.abc import Iterable
from typing import Any, Final

import orjson
from msgspec import Struct

from reconcile.mirror.errors import DamagedError, UnknownFormatError
from reconcile.mirror.model import Alone, File, Tree
from reconcile.mirror.snapshot import head, keys, strict_json, times
from reconcile.mirror.snapshot.gc import SKEW

SWEEP: Final = "sweep/"
"""Where notices lie."""

DELETING: Final = 600.0
"""Seconds after a notice within which all its deletes have ended, those on their way included."""

KEPT: Final = 7 * 86_400.0
"""Seconds that a notice stays at least."""

OLDEST: Final = KEPT / 2
"""Seconds after which a writer does not trust any more what it stored but did not commit."""

_FIELDS: Final = frozenset({"format", "time", "keys"})


class Notice(Struct, frozen=True):
    """What is being deleted; `time` is that of the garbage collection, in nanoseconds."""

    time: int
    keys: tuple[str, ...]


def encode_notice(notice: Notice) -> bytes:
    """Write a notice."""
    value = {
        "format": keys.FORMAT,
        "time": times.stamp_text(notice.time),
        "keys": list(notice.keys),
    }
    return orjson.dumps(value) + b"\n"


def decode_notice(data: bytes) -> Notice:
    """Read a notice.

    Raises:
        UnknownFormatError: Another version wrote it.
        DamagedError: It is not what `encode_notice` writes.
    """
    try:
        value = strict_json.parse_object(data)
        head.check_format(value)
        strict_json.require(value, _FIELDS)
        time = strict_json.converted(value, "time", times.parse_stamp)
        return Notice(time, tuple(map(_key, strict_json.sequence(value, "keys"))))
    except UnknownFormatError:
        raise
    except (ValueError, DamagedError) as error:
        raise DamagedError(f"a notice of garbage collection is damaged: {error}") from None


def concerns(modified: float, since: float) -> bool:
    """Tell whether deletes of a notice may hit what a writer has stored since then.

    Args:
        modified: The store's own time of the notice, in seconds since 1970.
        since: From when on the writer stored what it has not committed, by its own clock.
    """
    return since < modified + DELETING + SKEW


def named_anew(before: Tree, after: Tree) -> Iterable[str]:
    """Yield the keys of packs and blobs that one tree needs and the one before it does not."""
    old = {pack.digest for pack in before.packs.values()}
    for pack in after.packs.values():
        if pack.digest not in old:
            yield keys.pack_key(pack.digest)
    known = set(_blobs(before))
    yield from (keys.blob_key(digest) for digest in _blobs(after) if digest not in known)


def _blobs(tree: Tree) -> Iterable[str]:
    for entry in tree.entries.values():
        if isinstance(entry, File) and isinstance(entry.place, Alone):
            yield from entry.blobs


def _key(value: Any) -> str:
    if not isinstance(value, str) or not keys.is_ours(value):
        raise ValueError(f"`keys` has {str(value)[:100]!r}, which is none that may be deleted")
    return value
