"""When packs hold little that is still needed: what to pack anew, and the tree that follows."""

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from reconcile.mirror.model import Entry, File, Pack, Packed, Tree
from reconcile.mirror.snapshot.packing import BLOCK

LEAST_LIVE: Final = 0.5
"""A pack of which less is needed is worth packing anew."""

LEAST_FREED: Final = 64 << 20
"""Bytes that repacking must free before it is worth its requests."""


class Move(Struct, frozen=True):
    """One blob that is to be packed anew: where it lies now, and its size in bytes."""

    digest: str
    pack: Pack
    offset: int
    size: int


def live_bytes(tree: Tree) -> dict[int, int]:
    """Return how many bytes of each pack are members that the tree needs, by pack number."""
    live = dict.fromkeys(tree.packs, 0)
    for member in _members(tree).values():
        live[member.pack.number] += BLOCK + member.size + -member.size % BLOCK
    return live


def moves(tree: Tree, least_freed: int = LEAST_FREED) -> tuple[Move, ...]:
    """Return what is to be packed anew, in the order of packs; nothing if too little is freed.

    Packs in which nothing is needed cost nothing: the next base lets go of them.
    """
    live = live_bytes(tree)
    sparse = {
        number: pack for number, pack in tree.packs.items() if live[number] < LEAST_LIVE * pack.size
    }
    if sum(pack.size - live[number] for number, pack in sparse.items()) < least_freed:
        return ()
    members = sorted(_members(tree).items())
    return tuple(move for _, move in members if move.pack.number in sparse)


def moved(tree: Tree, places: Mapping[str, Packed], packs: Iterable[Pack]) -> Tree:
    """Return the tree with blobs in their new places and the packs that these are in.

    Args:
        tree: The tree that `moves` was asked about.
        places: The new place of each moved blob, by digest.
        packs: The new packs.
    """
    entries = {path: _moved(entry, places) for path, entry in tree.entries.items()}
    return Tree(entries, {**tree.packs, **{pack.number: pack for pack in packs}})


def _moved(entry: Entry, places: Mapping[str, Packed]) -> Entry:
    if not isinstance(entry, File) or not isinstance(entry.place, Packed):
        return entry
    place = places.get(entry.blobs[0])
    return entry if place is None else replace(entry, place=place)


def _members(tree: Tree) -> dict[tuple[int, int], Move]:
    """Return what the tree needs of its packs, once each, by pack number and offset."""
    return {
        (entry.place.pack, entry.place.offset): Move(
            entry.blobs[0], tree.packs[entry.place.pack], entry.place.offset, entry.size
        )
        for entry in tree.entries.values()
        if isinstance(entry, File) and isinstance(entry.place, Packed)
    }
