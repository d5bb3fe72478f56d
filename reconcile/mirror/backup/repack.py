"""Repacks the blobs of small or sparse packs, before a new base names where they are stored.

This work can wait. Whatever prevents it, the resulting tree has the same bytes as the original one,
and every new place in it is stored.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

from msgspec import Struct

from reconcile.mirror.backup.archiver import PassOptions
from reconcile.mirror.concurrency import Deadline, DeadlineExceededError
from reconcile.mirror.errors import DamagedError, MissingObjectError, StoreError
from reconcile.mirror.model import Pack, PackedBlob, SnapshotTree
from reconcile.mirror.snapshot.chain import next_pack_number
from reconcile.mirror.snapshot.keys import pack_key
from reconcile.mirror.snapshot.pack import FinishedPack, PackMember, PackWriter, extract_member
from reconcile.mirror.snapshot.repack import BlobMove, apply_blob_moves, plan_blob_moves
from reconcile.mirror.store.port import Store

MIN_TIME_LEFT: Final = 60.0
"""Seconds that a pass must have left: a pod that is about to end commits first."""

REPACK_TIME_LIMIT: Final = 30.0
"""Seconds after which the commit no longer waits; the next base continues."""


class RepackResult(Struct, frozen=True):
    """The tree with its blobs in their new places.

    Attributes:
        tree: The same entries; only places differ.
        removed_packs: How many packs the tree no longer needs.
        sent_bytes: Bytes of new packs that were stored.
        problem: Why blobs stay in their old places, empty where no read or write failed.
    """

    tree: SnapshotTree
    removed_packs: int = 0
    sent_bytes: int = 0
    problem: str = ""


def repack(store: Store, tree: SnapshotTree, options: PassOptions) -> RepackResult:
    """Repack what is worth it, as far as the options allow; never raises a MirrorError."""
    if options.is_final or options.deadline.earlier_by(MIN_TIME_LEFT).expired():
        return RepackResult(tree)
    todo = plan_blob_moves(tree, options.repack_policy)
    if not todo:
        return RepackResult(tree)
    repacker = _Repacker(store, next_pack_number(tree))
    problem = repacker.run(todo, options.deadline)
    repacked = apply_blob_moves(tree, repacker.places, repacker.packs)
    kept = {move.pack for move in todo if move.digest not in repacker.places}
    sent = sum(pack.size for pack in repacker.packs)
    return RepackResult(repacked, len({move.pack for move in todo} - kept), sent, problem)


class _Repacker:
    """Reads packs one by one, with at most two of them in memory: an old one and a new one.

    `places` and `packs` are what is stored already.
    """

    def __init__(self, store: Store, first: int) -> None:
        self._store = store
        self._writer = PackWriter(first)
        self.places: dict[str, PackedBlob] = {}
        self.packs: list[Pack] = []

    def run(self, todo: Sequence[BlobMove], deadline: Deadline) -> str:
        """Move as much as there is time for; returns what failed, empty if nothing."""
        try:
            return self._repack_all(todo, deadline)
        except DeadlineExceededError:
            return ""
        except StoreError as error:
            return str(error)

    def _repack_all(self, todo: Sequence[BlobMove], deadline: Deadline) -> str:
        problem = ""
        limit = deadline.within(REPACK_TIME_LIMIT)
        for pack, members in groupby(todo, key=lambda move: move.pack):
            deadline.check()
            if limit.expired():
                break
            try:
                self._move_members(pack, members)
            except (DamagedError, MissingObjectError) as error:
                problem = str(error)
        deadline.check()
        self._store_packs(self._writer.finish())
        return problem

    def _move_members(self, pack: Pack, members: Iterable[BlobMove]) -> None:
        """Copy members of one pack, each checked by its digest."""
        moves = [move for move in members if move.digest not in self.places]
        for digest, blob in self._store.retry(lambda: self._read_members(pack, moves)).items():
            self._store_packs(self._writer.add(digest, blob))

    def _read_members(self, pack: Pack, moves: Iterable[BlobMove]) -> dict[str, bytes]:
        data = self._store.get(pack_key(pack.digest), pack.size).body
        return {
            move.digest: extract_member(data, PackMember(move.digest, move.offset, move.size))
            for move in moves
        }

    def _store_packs(self, packs: Iterable[FinishedPack]) -> None:
        for pack in packs:
            stored = pack.build_pack()
            self._store.put(pack_key(stored.digest), [pack.body], stored.digest)
            self.packs.append(stored)
            for digest, offset in pack.offsets.items():
                self.places[digest] = PackedBlob(pack.number, offset)
