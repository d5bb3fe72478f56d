"""Which blobs to repack when packs are too many or too sparse, and the tree after that.

Each commit adds a pack, however small, and each pack costs every restore a request. A blob keeps
its digest, so a repack changes only locations; garbage collection deletes the old packs.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from reconcile.mirror.model import Entry, File, Pack, PackedBlob, SnapshotTree
from reconcile.mirror.snapshot.pack import TAR_BLOCK


class RepackPolicy(Struct, frozen=True):
    """When a repack is worth its requests, and how much one repack does.

    Attributes:
        small_pack_size: Bytes below which a pack's request costs more than its bytes.
        max_small_packs: Small packs are repacked when there are more than this. A lower number
            would send the same bytes again and again.
        min_live_ratio: A pack is sparse if less than this part of it is needed.
        min_freed_bytes: Bytes that sparse packs must waste together before they are repacked.
        max_read_bytes: Bytes of packs that one repack reads, smallest packs first.
        max_packs: How many packs one repack reads.
    """

    small_pack_size: int = 1 << 20
    max_small_packs: int = 32
    min_live_ratio: float = 0.5
    min_freed_bytes: int = 64 << 20
    max_read_bytes: int = 64 << 20
    max_packs: int = 256


DEFAULT_REPACK_POLICY: Final = RepackPolicy()
NEVER_REPACK: Final = RepackPolicy(max_small_packs=sys.maxsize, min_freed_bytes=sys.maxsize)
"""A policy under which nothing is repacked."""


class BlobMove(Struct, frozen=True):
    """One blob to repack: its current location, and its size in bytes."""

    digest: str
    pack: Pack
    offset: int
    size: int


def count_live_bytes(tree: SnapshotTree) -> dict[int, int]:
    """Return how many bytes of each pack the tree needs, by pack number."""
    live = dict.fromkeys(tree.packs, 0)
    for location, file in _iter_live_members(tree):
        live[location.pack] += TAR_BLOCK + file.size + -file.size % TAR_BLOCK
    return live


def plan_blob_moves(
    tree: SnapshotTree, policy: RepackPolicy = DEFAULT_REPACK_POLICY
) -> tuple[BlobMove, ...]:
    """Return the blobs to repack, in the order of packs; none if a repack is not worth it.

    Packs that are not needed at all are ignored: the next base no longer lists them.
    """
    live = count_live_bytes(tree)
    needed = [pack for number, pack in tree.packs.items() if live[number]]
    small, sparse = _small_packs(needed, policy), _sparse_packs(needed, live, policy)
    chosen = {pack.number: pack for pack in _within_limits({*small, *sparse}, policy)}
    if not chosen:
        return ()
    moves = (
        BlobMove(file.blobs[0], chosen[location.pack], location.offset, file.size)
        for location, file in _iter_live_members(tree)
        if location.pack in chosen
    )
    return tuple(sorted(moves, key=lambda move: (move.pack.number, move.offset)))


def apply_blob_moves(
    tree: SnapshotTree, locations: Mapping[str, PackedBlob], packs: Iterable[Pack]
) -> SnapshotTree:
    """Return the tree with the new locations of blobs, and the new packs.

    Args:
        tree: The tree that `plan_blob_moves` planned.
        locations: The new location of each moved blob, by digest.
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
    location = locations.get(entry.blobs[0])
    return entry if location is None else replace(entry, location=location)


def _iter_live_members(tree: SnapshotTree) -> Iterator[tuple[PackedBlob, File]]:
    """Yield the members that the tree needs of its packs, each once."""
    seen: set[int] = set()
    for entry in tree.entries.values():
        if isinstance(entry, File) and isinstance(entry.location, PackedBlob):
            # An integer needs less memory than a tuple, and there may be 100,000 of them.
            member = entry.location.pack << 64 | entry.location.offset
            if member not in seen:
                seen.add(member)
                yield entry.location, entry
