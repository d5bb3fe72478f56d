"""A chain of manifests into a tree, and the next manifest of a chain."""

import hashlib
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from reconcile.mirror.errors import DamagedError, UnknownFormatError
from reconcile.mirror.model import (
    Completeness,
    Entry,
    Generation,
    ManifestRef,
    Pack,
    Tree,
    Whole,
    Writer,
)
from reconcile.mirror.snapshot.entries import check_fit
from reconcile.mirror.snapshot.head import Header
from reconcile.mirror.snapshot.keys import manifest_key
from reconcile.mirror.snapshot.manifest import (
    Manifest,
    decode,
    encode_base,
    encode_delta,
    needed_packs,
)

MAX_DELTAS: Final = 24
"""Deltas of one chain: what bounds the requests that reading a tree takes."""

_WHOLE: Final = Whole()


class Stamp(Struct, frozen=True):
    """What the next generation says of itself: when, by whom, and whether it is whole."""

    time: int
    writer: Writer
    completeness: Completeness = _WHOLE


class Written(Struct, frozen=True):
    """A manifest to be stored at `ref.key`, and the generation that it makes.

    `tree` is what a reader of the chain gets: the same entries, and the packs that it lists.
    """

    ref: ManifestRef
    body: bytes
    generation: Generation
    tree: Tree


def read_manifest(ref: ManifestRef, data: bytes) -> Manifest:
    """Read the manifest that `ref` means.

    Raises:
        UnknownFormatError: Another version wrote it.
        DamagedError: The bytes are not those that `ref` means, or are malformed; names the object.
    """
    digest = hashlib.sha256(data).hexdigest()
    if len(data) != ref.size or digest != ref.digest:
        raise DamagedError(
            f"{ref.key} is damaged: it has {len(data)} bytes with the SHA-256 {digest}, "
            f"not {ref.size} bytes with {ref.digest}"
        )
    try:
        manifest = decode(data)
    except UnknownFormatError as error:
        raise UnknownFormatError(f"{ref.key} cannot be read: {error}") from None
    except DamagedError as error:
        raise DamagedError(f"{ref.key} is damaged: {error}") from None
    if manifest.header.generation != ref.generation:
        raise DamagedError(f"{ref.key} is damaged: it says generation {manifest.header.generation}")
    return manifest


def assemble(manifests: Iterable[tuple[ManifestRef, bytes]]) -> Tree:
    """Return the tree that a chain makes; what it accepts can be restored without a second look.

    Args:
        manifests: Each with its bytes, in the order of the chain, the base first; taken one by one.

    Raises:
        UnknownFormatError: Another version wrote one of them.
        DamagedError: One is damaged or does not stand upon those before it; names the object.
    """
    chain = _Chain()
    for ref, data in manifests:
        chain.add(ref, read_manifest(ref, data))
    return chain.tree()


def next_delta(last: Generation, stamp: Stamp, before: Tree, after: Tree) -> Written | None:
    """Write the generation after `last` as a delta; None where deltas have become many.

    Then a base is due, by `new_base`.

    Args:
        last: The generation that `before` is.
        stamp: What the new one says of itself.
        before: The tree as its chain gives it.
        after: The new tree; its packs are those of `before` and the new ones, with higher numbers.

    Raises:
        ValueError: No reader would accept the new tree; nothing must be committed.
    """
    if 0 < len(last.chain) <= MAX_DELTAS:
        delta = new_delta(last, stamp, before, after)
        base, *deltas = delta.generation.chain
        if 2 * sum(ref.size for ref in deltas) <= base.size:
            return delta
    return None


def new_delta(last: Generation, stamp: Stamp, before: Tree, after: Tree) -> Written:
    """Write the generation after `last` as a delta; arguments and errors as for `next_delta`."""
    header = _header(last, stamp, last.chain)
    return _written(header, encode_delta(header, before, after), after)


def new_base(last: Generation, stamp: Stamp, after: Tree) -> Written:
    """Write the generation after `last` as a base, which lets go of packs that nothing lies in.

    Raises:
        ValueError: No reader would accept the new tree; nothing must be committed.
    """
    header = _header(last, stamp, ())
    return _written(header, encode_base(header, after), Tree(after.entries, needed_packs(after)))


def next_pack(tree: Tree) -> int:
    """Return the number of the first new pack of a tree that grows out of this one."""
    return max(tree.packs, default=0) + 1


def _header(last: Generation, stamp: Stamp, chain: tuple[ManifestRef, ...]) -> Header:
    parent = last.chain[-1] if last.chain else None
    return Header(last.number + 1, stamp.time, stamp.writer, parent, chain, stamp.completeness)


def _written(header: Header, body: bytes, tree: Tree) -> Written:
    digest = hashlib.sha256(body).hexdigest()
    number = header.generation
    ref = ManifestRef(number, manifest_key(number, digest), digest, len(body))
    chain = (*header.chain, ref)
    generation = Generation(number, header.time, chain, header.completeness)
    return Written(ref, body, generation, tree)


class _Chain:
    """A tree that grows by manifests; one mapping for all of them."""

    def __init__(self) -> None:
        self._refs: tuple[ManifestRef, ...] = ()
        self._entries: dict[str, Entry] = {}
        self._packs: dict[int, Pack] = {}

    def add(self, ref: ManifestRef, manifest: Manifest) -> None:
        """Apply the next manifest; DamagedError if it does not stand upon those before it."""
        if manifest.header.chain != self._refs:
            raise DamagedError(f"{ref.key} is damaged: it does not belong to this chain")
        self._refs = (*self._refs, ref)
        self._add_packs(ref, manifest.packs)
        for path in manifest.gone:
            if self._entries.pop(path, None) is None:
                raise DamagedError(f"{ref.key} is damaged: {path!r} is gone but was never there")
        self._entries.update(manifest.entries)

    def tree(self) -> Tree:
        """Return the tree; DamagedError if its entries do not fit together."""
        if len(self._refs) <= 1:
            return Tree(self._entries, self._packs)
        tree = Tree(dict(sorted(self._entries.items())), self._packs)
        for entry in tree.entries.values():
            try:
                check_fit(entry, tree.entries, tree.packs)
            except ValueError as error:
                key = self._refs[-1].key
                raise DamagedError(f"{key} is damaged: {entry.path!r} {error}") from None
        return tree

    def _add_packs(self, ref: ManifestRef, packs: Iterable[Pack]) -> None:
        last = max(self._packs, default=-1)
        for pack in packs:
            if pack.number <= last:
                raise DamagedError(f"{ref.key} is damaged: pack {pack.number} is listed already")
            self._packs[pack.number] = pack
