"""Which objects are needed, and which may be deleted: two decisions with a grace time between them.

`mark` names what nothing needs; `sweep`, a grace time later and on a fresh listing, says what of it
may go. Ages are told by the store's own times. A clock may be wrong by the skew, at most what S3
itself lets pass, so everything is taken to be that much younger.

The records that garbage collection leaves below `gc/`, as JSON and back.

Notices of what garbage collection deletes, as JSON and back.

A notice is written before anything is looked at for the last time, and stays for days. A writer
reads notices after its manifest is stored and before it commits: either garbage collection sees
that manifest, or the writer sees the notice. So an object that is written again while it is being
deleted is never taken for one that is there.
"""

from collections.abc import Iterable, Iterator, Set
from typing import Any, Final

import orjson
from msgspec import Struct

from reconcile.mirror.errors import DamagedError, UnknownFormatError
from reconcile.mirror.model import File, Generation, LooseBlobs, ManifestRef, SnapshotTree
from reconcile.mirror.snapshot import encoding, head, keys, strict_json
from reconcile.mirror.snapshot.keys import FORMAT, is_collectable_key
from reconcile.mirror.snapshot.manifest import SnapshotManifest
from reconcile.mirror.snapshot.strict_json import JsonObject
from reconcile.mirror.store.port import ListedObject

MAX_CLOCK_SKEW: Final = 900.0
"""Seconds: S3 refuses requests of clocks that differ by more from its own."""


class GracePeriods(Struct, frozen=True):
    """What the time is and how long something must have been unneeded before it goes, in seconds.

    `now` is counted since 1970; `skew` is how wrong it may be.
    """

    now: float
    grace: float
    skew: float = MAX_CLOCK_SKEW

    def is_young(self, modified: float) -> bool:
        """Tell whether something that the store says is of this time may be within the grace."""
        return self.now - modified < self.grace + self.skew


class GarbageMark(Struct, frozen=True):
    """What nothing needed once; `written` is the store's own time of the record that says so."""

    written: float
    dead: tuple[ListedObject, ...]


def manifest_keys(generation: Generation) -> frozenset[str]:
    """Return the keys of the manifests that a generation stands upon."""
    return frozenset(ref.key for ref in generation.chain)


def iter_referenced_keys(manifest: SnapshotManifest) -> Iterator[str]:
    """Yield the keys of all objects that a manifest names: its chain, its packs and its blobs.

    A generation needs what all manifests of its chain need.
    """
    yield from (ref.key for ref in manifest.header.chain)
    yield from (keys.pack_key(pack.digest) for pack in manifest.packs)
    for entry in manifest.entries.values():
        if isinstance(entry, File) and isinstance(entry.location, LooseBlobs):
            yield from map(keys.blob_key, entry.blobs)


def find_roots(
    listing: Iterable[ListedObject], kept: Iterable[Generation], grace_periods: GracePeriods
) -> frozenset[str]:
    """Return the keys of the manifests that count, with all that they need.

    Args:
        listing: At least all manifests.
        kept: The current generation and all others to keep.
        grace_periods: Manifests that may be young count, whoever wrote them: one may be about to commit.
    """
    young = (
        each.key
        for each in listing
        if each.key.startswith(keys.MANIFESTS) and grace_periods.is_young(each.modified)
    )
    return frozenset(young).union(*map(manifest_keys, kept))


def find_garbage(listing: Iterable[ListedObject], live: Set[str]) -> tuple[ListedObject, ...]:
    """Return what nothing needs, of the objects that format 1 knows; others are never touched.

    Args:
        listing: All objects.
        live: The keys of the manifests that count and of all that they need.
    """
    return tuple(
        each for each in listing if keys.is_collectable_key(each.key) and each.key not in live
    )


def find_deletable(
    mark: GarbageMark, listing: Iterable[ListedObject], live: Set[str], grace_periods: GracePeriods
) -> tuple[str, ...]:
    """Return the keys that may be deleted now; none while the mark may be young.

    Args:
        mark: What was unneeded then.
        listing: All objects, listed after that.
        live: As for `find_garbage`, found anew.
        grace_periods: What was written again since the mark is not deleted, whatever its age.
    """
    if grace_periods.is_young(mark.written):
        return ()
    dead = {each.key: each.modified for each in mark.dead}
    return tuple(
        each.key
        for each in listing
        if dead.get(each.key) == each.modified
        and each.key not in live
        and not grace_periods.is_young(each.modified)
    )


_RECORD_FIELDS: Final = frozenset({"format", "time", "history", "dead"})
_DEAD_FIELDS: Final = frozenset({"key", "size", "modified"})


class GcRecord(Struct, frozen=True):
    """What one garbage collection found.

    Attributes:
        time: When it looked, by its own clock, in nanoseconds since 1970.
        history: The manifests of all committed generations that it knew and keeps; they are still
            known when those between them and HEAD are gone.
        dead: What nothing needed.
    """

    time: int
    history: tuple[ManifestRef, ...]
    dead: tuple[ListedObject, ...]


def encode_gc_record(record: GcRecord) -> bytes:
    """Write a record."""
    value: dict[str, Any] = {
        "format": FORMAT,
        "time": encoding.format_timestamp(record.time),
        "history": [head.encode_ref(ref) for ref in record.history],
        "dead": [
            {"key": each.key, "size": each.size, "modified": each.modified} for each in record.dead
        ],
    }
    return orjson.dumps(value) + b"\n"


def decode_gc_record(data: bytes) -> GcRecord:
    """Read a record.

    Raises:
        UnknownFormatError: Another version wrote it.
        DamagedError: It is not what `encode_gc_record` writes.
    """
    try:
        value = strict_json.parse_object(data)
        head.check_format(value)
        strict_json.require_fields(value, _RECORD_FIELDS)
        return GcRecord(
            strict_json.get_converted(value, "time", encoding.parse_timestamp),
            tuple(map(head.parse_ref, strict_json.get_list(value, "history"))),
            tuple(map(_parse_dead, strict_json.get_list(value, "dead"))),
        )
    except UnknownFormatError:
        raise
    except (ValueError, DamagedError) as error:
        raise DamagedError(f"a record of garbage collection is damaged: {error}") from None


def _parse_dead(value: Any) -> ListedObject:
    dead: JsonObject = strict_json.check_object(value, "dead")
    strict_json.require_fields(dead, _DEAD_FIELDS)
    key = strict_json.get_text(dead, "key")
    if not is_collectable_key(key):
        raise ValueError(f"`key` {key[:100]!r} is none that may be deleted")
    modified = dead["modified"]
    if type(modified) not in {int, float}:
        raise ValueError("`modified` is no number")
    return ListedObject(key, strict_json.get_integer(dead, "size"), float(modified))


DELETE_INTENTS: Final = "sweep/"
"""Where notices lie."""

DELETE_TIMEOUT: Final = 600.0
"""Seconds after a notice within which all its deletes have ended, those on their way included."""

INTENT_RETENTION: Final = 7 * 86_400.0
"""Seconds that a notice stays at least."""

MAX_UNCOMMITTED_AGE: Final = INTENT_RETENTION / 2
"""Seconds after which a writer does not trust any more what it stored but did not commit."""

_INTENT_FIELDS: Final = frozenset({"format", "time", "keys"})


class DeleteIntent(Struct, frozen=True):
    """What is being deleted; `time` is that of the garbage collection, in nanoseconds."""

    time: int
    keys: tuple[str, ...]


def encode_delete_intent(intent: DeleteIntent) -> bytes:
    """Write a notice."""
    value = {
        "format": keys.FORMAT,
        "time": encoding.format_timestamp(intent.time),
        "keys": list(intent.keys),
    }
    return orjson.dumps(value) + b"\n"


def decode_delete_intent(data: bytes) -> DeleteIntent:
    """Read a notice.

    Raises:
        UnknownFormatError: Another version wrote it.
        DamagedError: It is not what `encode_delete_intent` writes.
    """
    try:
        value = strict_json.parse_object(data)
        head.check_format(value)
        strict_json.require_fields(value, _INTENT_FIELDS)
        time = strict_json.get_converted(value, "time", encoding.parse_timestamp)
        return DeleteIntent(time, tuple(map(_parse_key, strict_json.get_list(value, "keys"))))
    except UnknownFormatError:
        raise
    except (ValueError, DamagedError) as error:
        raise DamagedError(f"a notice of garbage collection is damaged: {error}") from None


def may_delete_uploads(modified: float, since: float) -> bool:
    """Tell whether deletes of a notice may hit what a writer has stored since then.

    Args:
        modified: The store's own time of the notice, in seconds since 1970.
        since: From when on the writer stored what it has not committed, by its own clock.
    """
    return since < modified + DELETE_TIMEOUT + MAX_CLOCK_SKEW


def iter_new_keys(before: SnapshotTree, after: SnapshotTree) -> Iterable[str]:
    """Yield the keys of packs and blobs that one tree needs and the one before it does not."""
    old = {pack.digest for pack in before.packs.values()}
    for pack in after.packs.values():
        if pack.digest not in old:
            yield keys.pack_key(pack.digest)
    known = set(_iter_loose_blobs(before))
    yield from (keys.blob_key(digest) for digest in _iter_loose_blobs(after) if digest not in known)


def _iter_loose_blobs(tree: SnapshotTree) -> Iterable[str]:
    for entry in tree.entries.values():
        if isinstance(entry, File) and isinstance(entry.location, LooseBlobs):
            yield from entry.blobs


def _parse_key(value: Any) -> str:
    if not isinstance(value, str) or not keys.is_collectable_key(value):
        raise ValueError(f"`keys` has {str(value)[:100]!r}, which is none that may be deleted")
    return value
