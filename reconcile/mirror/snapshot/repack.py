"""When packs are too many or hold too little: what to pack anew, and the tree that follows.

Each commit adds a pack, however small, and each pack is a request of every restore. What is packed
anew keeps its digest, so nothing but places changes; the old packs stay for garbage collection.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from reconcile.mirror.model import Entry, File, Pack, Packed, Tree
from reconcile.mirror.snapshot.pack import BLOCK


class Thrift(Struct, frozen=True):
    """When packing anew is worth its requests, and how much of it is done at once.

    Attributes:
        small: Bytes below which a pack costs more by its request than by its bytes.
        most_small: How many of those may lie about: they are packed anew when there are more, and
            each time for fewer would be to send the same bytes again and again.
        least_live: The part of a pack that must be needed; one with less is sparse.
        least_freed: Bytes that sparse packs must waste before they are packed anew.
        most_read: Bytes of packs that are read at a time, the smallest first.
        most_packs: How many packs are read at a time.
    """

    small: int = 1 << 20
    most_small: int = 32
    least_live: float = 0.5
    least_freed: int = 64 << 20
    most_read: int = 64 << 20
    most_packs: int = 256


THRIFT: Final = Thrift()
NEVER: Final = Thrift(most_small=sys.maxsize, least_freed=sys.maxsize)
"""Nothing is packed anew."""


class Move(Struct, frozen=True):
    """One blob that is to be packed anew: where it lies now, and its size in bytes."""

    digest: str
    pack: Pack
    offset: int
    size: int


def live_bytes(tree: Tree) -> dict[int, int]:
    """Return how many bytes of each pack are members that the tree needs, by pack number."""
    live = dict.fromkeys(tree.packs, 0)
    for place, file in _members(tree):
        live[place.pack] += BLOCK + file.size + -file.size % BLOCK
    return live


def moves(tree: Tree, thrift: Thrift = THRIFT) -> tuple[Move, ...]:
    """Return what is to be packed anew, in the order of packs; nothing if it is not worth it.

    Packs in which nothing is needed cost nothing: the next base lets go of them.
    """
    live = live_bytes(tree)
    needed = [pack for number, pack in tree.packs.items() if live[number]]
    many, sparse = _small(needed, thrift), _sparse(needed, live, thrift)
    chosen = {pack.number: pack for pack in _affordable({*many, *sparse}, thrift)}
    if not chosen:
        return ()
    found = (
        Move(file.blobs[0], chosen[place.pack], place.offset, file.size)
        for place, file in _members(tree)
        if place.pack in chosen
    )
    return tuple(sorted(found, key=lambda move: (move.pack.number, move.offset)))


def moved(tree: Tree, places: Mapping[str, Packed], packs: Iterable[Pack]) -> Tree:
    """Return the tree with blobs in their new places and the packs that these are in.

    Args:
        tree: The tree that `moves` was asked about.
        places: The new place of each moved blob, by digest.
        packs: The new packs.
    """
    entries = {path: _moved(entry, places) for path, entry in tree.entries.items()}
    return Tree(entries, {**tree.packs, **{pack.number: pack for pack in packs}})


def _small(needed: Iterable[Pack], thrift: Thrift) -> list[Pack]:
    small = [pack for pack in needed if pack.size < thrift.small]
    return small if len(small) > thrift.most_small else []


def _sparse(needed: Iterable[Pack], live: Mapping[int, int], thrift: Thrift) -> list[Pack]:
    sparse = [pack for pack in needed if live[pack.number] < thrift.least_live * pack.size]
    freed = sum(pack.size - live[pack.number] for pack in sparse)
    return sparse if freed >= thrift.least_freed else []


def _affordable(packs: Iterable[Pack], thrift: Thrift) -> list[Pack]:
    chosen: list[Pack] = []
    left = thrift.most_read
    for pack in sorted(packs, key=lambda pack: (pack.size, pack.number)):
        left -= pack.size
        if left < 0 or len(chosen) == thrift.most_packs:
            break
        chosen.append(pack)
    return chosen


def _moved(entry: Entry, places: Mapping[str, Packed]) -> Entry:
    if not isinstance(entry, File) or not isinstance(entry.place, Packed):
        return entry
    place = places.get(entry.blobs[0])
    return entry if place is None else replace(entry, place=place)


def _members(tree: Tree) -> Iterator[tuple[Packed, File]]:
    """Yield what the tree needs of its packs, each member once."""
    known: set[int] = set()
    for entry in tree.entries.values():
        if isinstance(entry, File) and isinstance(entry.place, Packed):
            # One number needs less memory than a pair, and there may be 100,000 of them.
            member = entry.place.pack << 64 | entry.place.offset
            if member not in known:
                known.add(member)
                yield entry.place, entry
