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
from reconcile.mirror.model import Alone, File, Generation, ManifestRef, Tree
from reconcile.mirror.snapshot import encoding, head, keys, strict_json
from reconcile.mirror.snapshot.keys import FORMAT, is_ours
from reconcile.mirror.snapshot.manifest import Manifest
from reconcile.mirror.snapshot.strict_json import Json
from reconcile.mirror.store.port import Listed

SKEW: Final = 900.0
"""Seconds: S3 refuses requests of clocks that differ by more from its own."""


class Ages(Struct, frozen=True):
    """What the time is and how long something must have been unneeded before it goes, in seconds.

    `now` is counted since 1970; `skew` is how wrong it may be.
    """

    now: float
    grace: float
    skew: float = SKEW

    def is_young(self, modified: float) -> bool:
        """Tell whether something that the store says is of this time may be within the grace."""
        return self.now - modified < self.grace + self.skew


class Mark(Struct, frozen=True):
    """What nothing needed once; `written` is the store's own time of the record that says so."""

    written: float
    dead: tuple[Listed, ...]


def named(generation: Generation) -> frozenset[str]:
    """Return the keys of the manifests that a generation stands upon."""
    return frozenset(ref.key for ref in generation.chain)


def needs(manifest: Manifest) -> Iterator[str]:
    """Yield the keys of all objects that a manifest names: its chain, its packs and its blobs.

    A generation needs what all manifests of its chain need.
    """
    yield from (ref.key for ref in manifest.header.chain)
    yield from (keys.pack_key(pack.digest) for pack in manifest.packs)
    for entry in manifest.entries.values():
        if isinstance(entry, File) and isinstance(entry.place, Alone):
            yield from map(keys.blob_key, entry.blobs)


def roots(listing: Iterable[Listed], kept: Iterable[Generation], ages: Ages) -> frozenset[str]:
    """Return the keys of the manifests that count, with all that they need.

    Args:
        listing: At least all manifests.
        kept: The current generation and all others to keep.
        ages: Manifests that may be young count, whoever wrote them: one may be about to commit.
    """
    young = (
        each.key
        for each in listing
        if each.key.startswith(keys.MANIFESTS) and ages.is_young(each.modified)
    )
    return frozenset(young).union(*map(named, kept))


def unneeded(listing: Iterable[Listed], live: Set[str]) -> tuple[Listed, ...]:
    """Return what nothing needs, of the objects that format 1 knows; others are never touched.

    Args:
        listing: All objects.
        live: The keys of the manifests that count and of all that they need.
    """
    return tuple(each for each in listing if keys.is_ours(each.key) and each.key not in live)


def sweep(mark: Mark, listing: Iterable[Listed], live: Set[str], ages: Ages) -> tuple[str, ...]:
    """Return the keys that may be deleted now; none while the mark may be young.

    Args:
        mark: What was unneeded then.
        listing: All objects, listed after that.
        live: As for `unneeded`, found anew.
        ages: What was written again since the mark is not deleted, whatever its age.
    """
    if ages.is_young(mark.written):
        return ()
    dead = {each.key: each.modified for each in mark.dead}
    return tuple(
        each.key
        for each in listing
        if dead.get(each.key) == each.modified
        and each.key not in live
        and not ages.is_young(each.modified)
    )


_RECORD_FIELDS: Final = frozenset({"format", "time", "history", "dead"})
_DEAD: Final = frozenset({"key", "size", "modified"})


class Record(Struct, frozen=True):
    """What one garbage collection found.

    Attributes:
        time: When it looked, by its own clock, in nanoseconds since 1970.
        history: The manifests of all committed generations that it knew and keeps; they are still
            known when those between them and HEAD are gone.
        dead: What nothing needed.
    """

    time: int
    history: tuple[ManifestRef, ...]
    dead: tuple[Listed, ...]


def encode_record(record: Record) -> bytes:
    """Write a record."""
    value: dict[str, Any] = {
        "format": FORMAT,
        "time": encoding.stamp_text(record.time),
        "history": [head.ref_json(ref) for ref in record.history],
        "dead": [
            {"key": each.key, "size": each.size, "modified": each.modified} for each in record.dead
        ],
    }
    return orjson.dumps(value) + b"\n"


def decode_record(data: bytes) -> Record:
    """Read a record.

    Raises:
        UnknownFormatError: Another version wrote it.
        DamagedError: It is not what `encode_record` writes.
    """
    try:
        value = strict_json.parse_object(data)
        head.check_format(value)
        strict_json.require(value, _RECORD_FIELDS)
        return Record(
            strict_json.converted(value, "time", encoding.parse_stamp),
            tuple(map(head.parse_ref, strict_json.sequence(value, "history"))),
            tuple(map(_dead, strict_json.sequence(value, "dead"))),
        )
    except UnknownFormatError:
        raise
    except (ValueError, DamagedError) as error:
        raise DamagedError(f"a record of garbage collection is damaged: {error}") from None


def _dead(value: Any) -> Listed:
    dead: Json = strict_json.nested(value, "dead")
    strict_json.require(dead, _DEAD)
    key = strict_json.text(dead, "key")
    if not is_ours(key):
        raise ValueError(f"`key` {key[:100]!r} is none that may be deleted")
    modified = dead["modified"]
    if type(modified) not in {int, float}:
        raise ValueError("`modified` is no number")
    return Listed(key, strict_json.integer(dead, "size"), float(modified))


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
        "time": encoding.stamp_text(notice.time),
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
        time = strict_json.converted(value, "time", encoding.parse_stamp)
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
