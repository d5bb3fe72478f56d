"""When packs are too many or hold too little: what to pack anew, and the tree that follows.

Each commit adds a pack, however small, and each pack is a request of every restore. What is packed
anew keeps its digest, so nothing but places changes; the old packs stay for garbage collection.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from reconcile.mirror.model import Entry, File, Pack, PackedBlob, SnapshotTree
from reconcile.mirror.snapshot.pack import TAR_BLOCK


class RepackPolicy(Struct, frozen=True):
    """When packing anew is worth its requests, and how much of it is done at once.

    Attributes:
        small_pack_size: Bytes below which a pack costs more by its request than by its bytes.
        max_small_packs: How many of those may lie about: they are packed anew when there are more, and
            each time for fewer would be to send the same bytes again and again.
        min_live_ratio: The part of a pack that must be needed; one with less is sparse.
        min_freed_bytes: Bytes that sparse packs must waste before they are packed anew.
        max_read_bytes: Bytes of packs that are read at a time, the smallest first.
        max_packs: How many packs are read at a time.
    """

    small_pack_size: int = 1 << 20
    max_small_packs: int = 32
    min_live_ratio: float = 0.5
    min_freed_bytes: int = 64 << 20
    max_read_bytes: int = 64 << 20
    max_packs: int = 256


DEFAULT_REPACK_POLICY: Final = RepackPolicy()
NEVER_REPACK: Final = RepackPolicy(max_small_packs=sys.maxsize, min_freed_bytes=sys.maxsize)
"""Nothing is packed anew."""


class BlobMove(Struct, frozen=True):
    """One blob that is to be packed anew: where it lies now, and its size in bytes."""

    digest: str
    pack: Pack
    offset: int
    size: int


def count_live_bytes(tree: SnapshotTree) -> dict[int, int]:
    """Return how many bytes of each pack are members that the tree needs, by pack number."""
    live = dict.fromkeys(tree.packs, 0)
    for place, file in _iter_live_members(tree):
        live[place.pack] += TAR_BLOCK + file.size + -file.size % TAR_BLOCK
    return live


def plan_blob_moves(
    tree: SnapshotTree, policy: RepackPolicy = DEFAULT_REPACK_POLICY
) -> tuple[BlobMove, ...]:
    """Return what is to be packed anew, in the order of packs; nothing if it is not worth it.

    Packs in which nothing is needed cost nothing: the next base lets go of them.
    """
    live = count_live_bytes(tree)
    needed = [pack for number, pack in tree.packs.items() if live[number]]
    many, sparse = _small_packs(needed, policy), _sparse_packs(needed, live, policy)
    chosen = {pack.number: pack for pack in _within_limits({*many, *sparse}, policy)}
    if not chosen:
        return ()
    found = (
        BlobMove(file.blobs[0], chosen[place.pack], place.offset, file.size)
        for place, file in _iter_live_members(tree)
        if place.pack in chosen
    )
    return tuple(sorted(found, key=lambda move: (move.pack.number, move.offset)))


def apply_blob_moves(
    tree: SnapshotTree, locations: Mapping[str, PackedBlob], packs: Iterable[Pack]
) -> SnapshotTree:
    """Return the tree with blobs in their new places and the packs that these are in.

    Args:
        tree: The tree that `moves` was asked about.
        locations: The new place of each moved blob, by digest.
        packs: The new packs.
    """
    entries = {path: _move_entry(entry, locations) for path, entry in tree.entries.items()}
    return SnapshotTree(entries, {**tree.packs, **{pack.number: pack for pack in packs}})


def _small_packs(needed: Iterable[Pack], policy: RepackPolicy) -> list[Pack]:
    small = [pack for pack in needed if pack.size < policy.small_pack_size]
    return small if len(small) > policy.max_small_packs else []


def _sparse_packs(
    needed: Iterable[Pack], live: Mapping[int, int], policy: RepackPolicy
) -> list[Pack]:
    sparse = [pack for pack in needed if live[pack.number] < policy.min_live_ratio * pack.size]
    freed = sum(pack.size - live[pack.number] for pack in sparse)
    return sparse if freed >= policy.min_freed_bytes else []


def _within_limits(packs: Iterable[Pack], policy: RepackPolicy) -> list[Pack]:
    chosen: list[Pack] = []
    left = policy.max_read_bytes
    for pack in sorted(packs, key=lambda pack: (pack.size, pack.number)):
        left -= pack.size
        if left < 0 or len(chosen) == policy.max_packs:
            break
        chosen.append(pack)
    return chosen


def _move_entry(entry: Entry, locations: Mapping[str, PackedBlob]) -> Entry:
    if not isinstance(entry, File) or not isinstance(entry.location, PackedBlob):
        return entry
    place = locations.get(entry.blobs[0])
    return entry if place is None else replace(entry, location=place)


def _iter_live_members(tree: SnapshotTree) -> Iterator[tuple[PackedBlob, File]]:
    """Yield what the tree needs of its packs, each member once."""
    known: set[int] = set()
    for entry in tree.entries.values():
        if isinstance(entry, File) and isinstance(entry.location, PackedBlob):
            # One number needs less memory than a pair, and there may be 100,000 of them.
            member = entry.location.pack << 64 | entry.location.offset
            if member not in known:
                known.add(member)
                yield entry.location, entry
