"""Packs the blobs of many small or sparse packs anew, before a new base names where they lie.

It is work that can wait: whatever hinders it, the tree that comes out holds the same bytes as the
one that went in, and each new place in it is stored.
"""

from collections.abc import Callable, Iterable, Sequence
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
"""Seconds that a pass must have left: who is about to end commits first."""

REPACK_TIME_LIMIT: Final = 30.0
"""Seconds after which the commit does not wait for more: the next base goes on."""


class RepackResult(Struct, frozen=True):
    """The tree with its blobs in their new places.

    Attributes:
        tree: The same entries but for their places.
        removed_packs: How many packs it needs no more.
        sent_bytes: Bytes of new packs that were stored.
        problem: What could not be read or stored, empty if nothing; it is as it was.
    """

    tree: SnapshotTree
    removed_packs: int = 0
    sent_bytes: int = 0
    problem: str = ""


def repack(store: Callable[[], Store], tree: SnapshotTree, options: PassOptions) -> RepackResult:
    """Pack anew what is worth it, as far as the effort goes; never raises a MirrorError."""
    if options.is_final or options.deadline.earlier_by(MIN_TIME_LEFT).expired():
        return RepackResult(tree)
    todo = plan_blob_moves(tree, options.repack_policy)
    if not todo:
        return RepackResult(tree)
    repacker = _Repacker(store(), next_pack_number(tree))
    problem = repacker.run(todo, options.deadline)
    after = apply_blob_moves(tree, repacker.places, repacker.packs)
    left = {move.pack for move in todo if move.digest not in repacker.places}
    sent = sum(pack.size for pack in repacker.packs)
    return RepackResult(after, len({move.pack for move in todo} - left), sent, problem)


class _Repacker:
    """Reads packs one by one, and keeps two of them in memory at most: one that is read, one new.

    `places` and `packs` are what is stored already.
    """

    def __init__(self, store: Store, first: int) -> None:
        self._store = store
        self._writer = PackWriter(first)
        self.places: dict[str, PackedBlob] = {}
        self.packs: list[Pack] = []

    def run(self, todo: Sequence[BlobMove], deadline: Deadline) -> str:
        """Move as much as there is time for; returns what went wrong."""
        try:
            return self._repack_all(todo, deadline)
        except DeadlineExceededError:
            return ""
        except StoreError as error:
            return str(error)

    def _repack_all(self, todo: Sequence[BlobMove], deadline: Deadline) -> str:
        problem = ""
        spell = deadline.within(REPACK_TIME_LIMIT)
        for pack, members in groupby(todo, key=lambda move: move.pack):
            deadline.check()
            if spell.expired():
                break
            try:
                self._move_members(pack, members)
            except (DamagedError, MissingObjectError) as error:
                problem = str(error)
        deadline.check()
        self._store_packs(self._writer.finish())
        return problem

    def _move_members(self, pack: Pack, members: Iterable[BlobMove]) -> None:
        """Take over members of one pack, each checked by its digest."""
        data = self._store.get(pack_key(pack.digest)).body
        for move in members:
            if move.digest not in self.places:
                blob = extract_member(data, PackMember(move.digest, move.offset, move.size))
                self._store_packs(self._writer.add(move.digest, blob))

    def _store_packs(self, packs: Iterable[FinishedPack]) -> None:
        for pack in packs:
            stored = pack.build_pack()
            self._store.put(pack_key(stored.digest), [pack.body], stored.digest)
            self.packs.append(stored)
            for digest, offset in pack.offsets.items():
                self.places[digest] = PackedBlob(pack.number, offset)
