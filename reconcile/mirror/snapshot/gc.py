"""Which objects are needed and which may be deleted, and the objects that record this as JSON.

Garbage collection decides twice, with a grace period in between: `find_garbage` returns the objects
that nothing needs; `find_deletable`, later and on a new listing, returns those of them that may be
deleted. Ages are calculated from the store's own timestamps. A clock may be wrong by the skew, at
most the difference that S3 accepts, so every object is treated as younger by that much.

Records below `gc/` name the garbage and the committed generations. Delete intents below `sweep/`
name the objects that are about to be deleted. An intent is written before the last scan and stays
for days. A writer reads intents after it has stored its manifest and before it commits: either
garbage collection sees that manifest, or the writer sees the intent. So a writer never relies on an
object that it has stored again while it was being deleted.
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

MAX_RECORD: Final = 64 << 20
"""Bytes of a record or delete intent to read at most."""

MAX_CLOCK_SKEW: Final = 900.0
"""Seconds: S3 rejects requests if the client's clock differs by more from its own."""


class GracePeriods(Struct, frozen=True):
    """The current time, and how long an object must have been unneeded before it is deleted.

    All in seconds: `now` since 1970, `skew` is by how much it may be wrong.
    """

    now: float
    grace: float
    skew: float = MAX_CLOCK_SKEW

    def is_young(self, modified: float) -> bool:
        """Whether an object that the store wrote at this time may be within the grace period."""
        return self.now - modified < self.grace + self.skew


class GarbageMark(Struct, frozen=True):
    """Objects that a record names as garbage; `written` is the store's own time of the record."""

    written: float
    dead: tuple[ListedObject, ...]


def manifest_keys(generation: Generation) -> frozenset[str]:
    """Return the keys of the manifests of a generation's chain."""
    return frozenset(ref.key for ref in generation.chain)


def iter_referenced_keys(manifest: SnapshotManifest) -> Iterator[str]:
    """Yield the keys of all objects that a manifest names: its chain, packs and blobs.

    A generation needs the objects of all manifests of its chain.
    """
    yield from (ref.key for ref in manifest.header.chain)
    yield from (keys.pack_key(pack.digest) for pack in manifest.packs)
    for entry in manifest.entries.values():
        if isinstance(entry, File) and isinstance(entry.location, LooseBlobs):
            yield from map(keys.blob_key, entry.blobs)


def find_roots(
    listing: Iterable[ListedObject], kept: Iterable[Generation], grace_periods: GracePeriods
) -> frozenset[str]:
    """Return the keys of the manifests that must be kept with everything they need.

    Args:
        listing: At least all manifests.
        kept: The current generation and all others to keep.
        grace_periods: Manifests that may be young are kept: their writers may be about to commit.
    """
    young = (
        listed.key
        for listed in listing
        if listed.key.startswith(keys.MANIFESTS) and grace_periods.is_young(listed.modified)
    )
    return frozenset(young).union(*map(manifest_keys, kept))


def find_garbage(listing: Iterable[ListedObject], live: Set[str]) -> tuple[ListedObject, ...]:
    """Return the manifests, packs and blobs that nothing needs; other objects are never touched.

    Args:
        listing: All objects.
        live: The keys of the manifests to keep and of everything they need.
    """
    return tuple(
        listed
        for listed in listing
        if keys.is_collectable_key(listed.key) and listed.key not in live
    )


def find_deletable(
    mark: GarbageMark, listing: Iterable[ListedObject], live: Set[str], grace_periods: GracePeriods
) -> tuple[str, ...]:
    """Return the keys that may be deleted now; none while the mark may be young.

    An object that was written again after the mark is not deleted, whatever its age.

    Args:
        mark: The objects that were garbage at an earlier time.
        listing: All objects, listed after that time.
        live: As for `find_garbage`, computed from this listing.
        grace_periods: How old the mark and an object must be.
    """
    if grace_periods.is_young(mark.written):
        return ()
    dead = {listed.key: listed.modified for listed in mark.dead}
    return tuple(
        listed.key
        for listed in listing
        if dead.get(listed.key) == listed.modified
        and listed.key not in live
        and not grace_periods.is_young(listed.modified)
    )


_RECORD_FIELDS: Final = frozenset({"format", "time", "history", "dead"})
_DEAD_FIELDS: Final = frozenset({"key", "size", "modified"})


class GcRecord(Struct, frozen=True):
    """The result of one garbage collection.

    Attributes:
        time: When it ran, by its own clock, in nanoseconds since 1970.
        history: The manifests of all committed generations that it keeps; so they are known as
            committed even after the generations between them and HEAD were deleted.
        dead: The objects that nothing needed.
    """

    time: int
    history: tuple[ManifestRef, ...]
    dead: tuple[ListedObject, ...]


def encode_gc_record(record: GcRecord) -> bytes:
    """Encode a record."""
    value: dict[str, Any] = {
        "format": FORMAT,
        "time": encoding.format_timestamp(record.time),
        "history": [head.encode_ref(ref) for ref in record.history],
        "dead": [
            {"key": listed.key, "size": listed.size, "modified": listed.modified}
            for listed in record.dead
        ],
    }
    return orjson.dumps(value) + b"\n"


def decode_gc_record(data: bytes) -> GcRecord:
    """Decode a record.

    Raises:
        UnknownFormatError: It has another version of the format.
        DamagedError: It is malformed.
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
        raise ValueError(f"`key` {key[:100]!r} is not a key that may be deleted")
    modified = dead["modified"]
    if type(modified) not in {int, float}:
        raise ValueError("`modified` is not a number")
    return ListedObject(key, strict_json.get_integer(dead, "size"), float(modified))


DELETE_INTENTS: Final = "sweep/"
"""The prefix of delete intents."""

DELETE_TIMEOUT: Final = 600.0
"""Seconds after an intent within which all its deletes have ended, including those in flight."""

INTENT_RETENTION: Final = 7 * 86_400.0
"""Seconds for which an intent is kept at least."""

MAX_UNCOMMITTED_AGE: Final = INTENT_RETENTION / 2
"""Seconds after which a writer no longer relies on objects that it stored but did not commit."""

_INTENT_FIELDS: Final = frozenset({"format", "time", "keys"})


class DeleteIntent(Struct, frozen=True):
    """Objects that are about to be deleted; `time` is nanoseconds since 1970, by gc's own clock."""

    time: int
    keys: tuple[str, ...]


def encode_delete_intent(intent: DeleteIntent) -> bytes:
    """Encode an intent."""
    value = {
        "format": keys.FORMAT,
        "time": encoding.format_timestamp(intent.time),
        "keys": list(intent.keys),
    }
    return orjson.dumps(value) + b"\n"


def decode_delete_intent(data: bytes) -> DeleteIntent:
    """Decode an intent.

    Raises:
        UnknownFormatError: It has another version of the format.
        DamagedError: It is malformed.
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
        raise DamagedError(f"a delete intent of garbage collection is damaged: {error}") from None


def may_delete_uploads(modified: float, since: float) -> bool:
    """Whether the deletes of an intent may hit objects that a writer has stored since a time.

    Args:
        modified: The store's own time of the intent, in seconds since 1970.
        since: When the writer began to store what it has not committed, by its own clock.
    """
    return since < modified + DELETE_TIMEOUT + MAX_CLOCK_SKEW


def iter_new_keys(before: SnapshotTree, after: SnapshotTree) -> Iterable[str]:
    """Yield the keys of the packs and blobs that `after` needs and `before` does not."""
    old_packs = {pack.digest for pack in before.packs.values()}
    for pack in after.packs.values():
        if pack.digest not in old_packs:
            yield keys.pack_key(pack.digest)
    old_blobs = set(_iter_loose_blobs(before))
    for digest in _iter_loose_blobs(after):
        if digest not in old_blobs:
            yield keys.blob_key(digest)


def _iter_loose_blobs(tree: SnapshotTree) -> Iterable[str]:
    for entry in tree.entries.values():
        if isinstance(entry, File) and isinstance(entry.location, LooseBlobs):
            yield from entry.blobs


def _parse_key(value: Any) -> str:
    if not isinstance(value, str) or not keys.is_collectable_key(value):
        raise ValueError(f"`keys` has {str(value)[:100]!r}, which may not be deleted")
    return value
