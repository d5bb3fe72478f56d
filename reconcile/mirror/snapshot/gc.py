"""Which objects are needed, and which may be deleted: two decisions with a grace time between them.

`mark` names what nothing needs; `sweep`, a grace time later and on a fresh listing, says what of it
may go. Ages are told by the store's own times. A clock may be wrong by the skew, at most what S3
itself lets pass, so everything is taken to be that much younger.
"""

from collections.abc import Iterable, Iterator, Set
from typing import Final

from msgspec import Struct

from reconcile.mirror.model import Alone, File, Generation
from reconcile.mirror.snapshot import keys
from reconcile.mirror.snapshot.manifest import Manifest
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
