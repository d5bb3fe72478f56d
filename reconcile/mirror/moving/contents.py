"""The bytes of a generation's files, each checked by its digest, one file after the other."""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final, assert_never

from reconcile.mirror.errors import DamagedError
from reconcile.mirror.history.generations import read_object
from reconcile.mirror.model import Alone, File, Pack, Packed, Tree
from reconcile.mirror.snapshot.keys import blob_key, pack_key
from reconcile.mirror.snapshot.pack import Member, extract, verify_pack
from reconcile.mirror.store.port import Store

_PACKS: Final = 4
"""How many packs are kept in memory: files that follow each other mostly lie together."""


class Contents:
    """Reads files one after the other; not for several threads at once."""

    def __init__(self, store: Store, tree: Tree) -> None:
        self._store = store
        self._tree = tree
        self._packs: OrderedDict[int, bytes] = OrderedDict()

    def read(self, file: File) -> Iterator[bytes]:
        """Yield a file's bytes, at most 8 MiB at a time.

        Raises:
            DamagedError: An object is missing or altered; names it.
            StoreError: One could not be read.
        """
        match file.place:
            case Packed(number, offset):
                yield extract(self._pack(number), Member(file.blobs[0], offset, file.size))
            case Alone():
                yield from map(self._blob, file.blobs)
            case _:
                assert_never(file.place)

    def _blob(self, digest: str) -> bytes:
        data = read_object(self._store, blob_key(digest))
        found = hashlib.sha256(data).hexdigest()
        if found != digest:
            raise DamagedError(f"{blob_key(digest)} was altered: it has the SHA-256 {found}")
        return data

    def _pack(self, number: int) -> bytes:
        if number in self._packs:
            self._packs.move_to_end(number)
            return self._packs[number]
        data = self._read_pack(self._tree.packs[number])
        self._packs[number] = data
        if len(self._packs) > _PACKS:
            self._packs.popitem(last=False)
        return data

    def _read_pack(self, pack: Pack) -> bytes:
        data = read_object(self._store, pack_key(pack.digest))
        verify_pack(pack, data)
        return data
