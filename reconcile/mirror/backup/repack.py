"""Packs the blobs of many small or sparse packs anew, before a new base names where they lie.

It is work that can wait: whatever hinders it, the tree that comes out holds the same bytes as the
one that went in, and each new place in it is stored.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Final

from msgspec import Struct

from reconcile.mirror.backup.archiver import Effort
from reconcile.mirror.concurrency import Limit, OverError
from reconcile.mirror.errors import DamagedError, MissingObjectError, StoreError
from reconcile.mirror.model import Pack, Packed, Tree
from reconcile.mirror.snapshot.chain import next_pack
from reconcile.mirror.snapshot.keys import pack_key
from reconcile.mirror.snapshot.pack import FinishedPack, Member, PackWriter, extract
from reconcile.mirror.snapshot.repack import Move, moved, moves
from reconcile.mirror.store.port import Store

RESERVE: Final = 60.0
"""Seconds that a pass must have left: who is about to end commits first."""

SPELL: Final = 30.0
"""Seconds after which the commit does not wait for more: the next base goes on."""


class Tidied(Struct, frozen=True):
    """The tree with its blobs in their new places.

    Attributes:
        tree: The same entries but for their places.
        packs: How many packs it needs no more.
        sent: Bytes of new packs that were stored.
        problem: What could not be read or stored, empty if nothing; it is as it was.
    """

    tree: Tree
    packs: int = 0
    sent: int = 0
    problem: str = ""


def tidy(store: Callable[[], Store], tree: Tree, effort: Effort) -> Tidied:
    """Pack anew what is worth it, as far as the effort goes; never raises a MirrorError."""
    if effort.final or effort.limit.less(RESERVE).over():
        return Tidied(tree)
    todo = moves(tree, effort.thrift)
    if not todo:
        return Tidied(tree)
    repacker = _Repacker(store(), next_pack(tree))
    problem = repacker.run(todo, effort.limit)
    after = moved(tree, repacker.places, repacker.packs)
    left = {move.pack for move in todo if move.digest not in repacker.places}
    sent = sum(pack.size for pack in repacker.packs)
    return Tidied(after, len({move.pack for move in todo} - left), sent, problem)


class _Repacker:
    """Reads packs one by one, and keeps two of them in memory at most: one that is read, one new.

    `places` and `packs` are what is stored already.
    """

    def __init__(self, store: Store, first: int) -> None:
        self._store = store
        self._writer = PackWriter(first)
        self.places: dict[str, Packed] = {}
        self.packs: list[Pack] = []

    def run(self, todo: Sequence[Move], limit: Limit) -> str:
        """Move as much as there is time for; returns what went wrong."""
        try:
            return self._run(todo, limit)
        except OverError:
            return ""
        except StoreError as error:
            return str(error)

    def _run(self, todo: Sequence[Move], limit: Limit) -> str:
        problem = ""
        spell = limit.within(SPELL)
        for pack, members in groupby(todo, key=lambda move: move.pack):
            limit.check()
            if spell.over():
                break
            try:
                self._move(pack, members)
            except (DamagedError, MissingObjectError) as error:
                problem = str(error)
        limit.check()
        self._send(self._writer.finish())
        return problem

    def _move(self, pack: Pack, members: Iterable[Move]) -> None:
        """Take over members of one pack, each checked by its digest."""
        data = self._store.get(pack_key(pack.digest)).body
        for move in members:
            if move.digest not in self.places:
                blob = extract(data, Member(move.digest, move.offset, move.size))
                self._send(self._writer.add(move.digest, blob))

    def _send(self, packs: Iterable[FinishedPack]) -> None:
        for pack in packs:
            stored = pack.described()
            self._store.put(pack_key(stored.digest), [pack.body], stored.digest)
            self.packs.append(stored)
            for digest, offset in pack.offsets.items():
                self.places[digest] = Packed(pack.number, offset)
