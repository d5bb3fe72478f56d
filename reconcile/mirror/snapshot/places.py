"""Where the bytes of a tree lie already, so that only new bytes are uploaded."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from reconcile.mirror.model import Alone, File, Packed, Place, Tree
from reconcile.mirror.snapshot.keys import blob_key, pack_key

_ALONE: Final = Alone()


class Places(Struct, frozen=True):
    """Where blobs lie, by digest: as members of packs, as objects of their own, or both."""

    packed: Mapping[str, Packed]
    alone: frozenset[str]

    def find(self, blobs: tuple[str, ...]) -> Place | None:
        """Return where a file with these blobs can be read from; None if any must be uploaded."""
        if len(blobs) == 1 and blobs[0] in self.packed:
            return self.packed[blobs[0]]
        return _ALONE if all(blob in self.alone for blob in blobs) else None


def places(tree: Tree) -> Places:
    """Return where the blobs of a tree lie."""
    packed: dict[str, Packed] = {}
    alone: set[str] = set()
    for entry in tree.entries.values():
        if type(entry) is not File:
            continue
        match entry.place:
            case Packed():
                packed[entry.blobs[0]] = entry.place
            case Alone():
                alone.update(entry.blobs)
    return Places(packed, frozenset(alone))


def object_keys(tree: Tree) -> frozenset[str]:
    """Return the keys of all packs and blobs that restoring a tree takes."""
    keys: set[str] = set()
    for entry in tree.entries.values():
        if type(entry) is not File:
            continue
        match entry.place:
            case Packed(number, _):
                keys.add(pack_key(tree.packs[number].digest))
            case Alone():
                keys.update(map(blob_key, entry.blobs))
    return frozenset(keys)
