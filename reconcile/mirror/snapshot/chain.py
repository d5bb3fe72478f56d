"""A chain of manifests into a tree, and the next manifest of a chain."""

import hashlib
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from reconcile.mirror.errors import DamagedError, UnknownFormatError
from reconcile.mirror.model import (
    Complete,
    Completeness,
    Entry,
    Generation,
    ManifestRef,
    Pack,
    SnapshotTree,
    Writer,
)
from reconcile.mirror.snapshot.entries import check_references
from reconcile.mirror.snapshot.head import ManifestHeader
from reconcile.mirror.snapshot.keys import manifest_key
from reconcile.mirror.snapshot.manifest import (
    SnapshotManifest,
    decode_manifest,
    encode_base,
    encode_delta,
    find_needed_packs,
)

MAX_DELTAS: Final = 24
"""Deltas of one chain: what bounds the requests that reading a tree takes."""

_COMPLETE: Final = Complete()


class CommitInfo(Struct, frozen=True):
    """What the next generation says of itself: when, by whom, and whether it is whole."""

    time: int
    writer: Writer
    completeness: Completeness = _COMPLETE


class EncodedManifest(Struct, frozen=True):
    """A manifest to be stored at `ref.key`, and the generation that it makes.

    `tree` is what a reader of the chain gets: the same entries, and the packs that it lists.
    """

    ref: ManifestRef
    body: bytes
    generation: Generation
    tree: SnapshotTree


def read_manifest(ref: ManifestRef, data: bytes) -> SnapshotManifest:
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
        manifest = decode_manifest(data)
    except UnknownFormatError as error:
        raise UnknownFormatError(f"{ref.key} cannot be read: {error}") from None
    except DamagedError as error:
        raise DamagedError(f"{ref.key} is damaged: {error}") from None
    if manifest.header.generation != ref.generation:
        raise DamagedError(f"{ref.key} is damaged: it says generation {manifest.header.generation}")
    return manifest


def replay_chain(manifests: Iterable[tuple[ManifestRef, bytes]]) -> SnapshotTree:
    """Return the tree that a chain makes; what it accepts can be restored without a second look.

    Args:
        manifests: Each with its bytes, in the order of the chain, the base first; taken one by one.

    Raises:
        UnknownFormatError: Another version wrote one of them.
        DamagedError: One is damaged or does not stand upon those before it; names the object.
    """
    chain = _ChainReplay()
    for ref, data in manifests:
        chain.add(ref, read_manifest(ref, data))
    return chain.tree()


def new_delta_if_small(
    last: Generation, info: CommitInfo, before: SnapshotTree, after: SnapshotTree
) -> EncodedManifest | None:
    """Write the generation after `last` as a delta; None where deltas have become many.

    Then a base is due, by `new_base`.

    Args:
        last: The generation that `before` is.
        info: What the new one says of itself.
        before: The tree as its chain gives it.
        after: The new tree; its packs are those of `before` and the new ones, with higher numbers.

    Raises:
        ValueError: No reader would accept the new tree; nothing must be committed.
    """
    if 0 < len(last.chain) <= MAX_DELTAS:
        delta = new_delta(last, info, before, after)
        base, *deltas = delta.generation.chain
        if 2 * sum(ref.size for ref in deltas) <= base.size:
            return delta
    return None


def new_delta(
    last: Generation, info: CommitInfo, before: SnapshotTree, after: SnapshotTree
) -> EncodedManifest:
    """Write the generation after `last` as a delta; arguments and errors as for `new_delta_if_small`."""
    header = _build_header(last, info, last.chain)
    return _build_encoded_manifest(header, encode_delta(header, before, after), after)


def new_base(last: Generation, info: CommitInfo, after: SnapshotTree) -> EncodedManifest:
    """Write the generation after `last` as a base, which lets go of packs that nothing lies in.

    Raises:
        ValueError: No reader would accept the new tree; nothing must be committed.
    """
    header = _build_header(last, info, ())
    return _build_encoded_manifest(
        header, encode_base(header, after), SnapshotTree(after.entries, find_needed_packs(after))
    )


def next_pack_number(tree: SnapshotTree) -> int:
    """Return the number of the first new pack of a tree that grows out of this one."""
    return max(tree.packs, default=0) + 1


def _build_header(
    last: Generation, info: CommitInfo, chain: tuple[ManifestRef, ...]
) -> ManifestHeader:
    parent = last.chain[-1] if last.chain else None
    return ManifestHeader(last.number + 1, info.time, info.writer, parent, chain, info.completeness)


def _build_encoded_manifest(
    header: ManifestHeader, body: bytes, tree: SnapshotTree
) -> EncodedManifest:
    digest = hashlib.sha256(body).hexdigest()
    number = header.generation
    ref = ManifestRef(number, manifest_key(number, digest), digest, len(body))
    chain = (*header.chain, ref)
    generation = Generation(number, header.time, chain, header.completeness)
    return EncodedManifest(ref, body, generation, tree)


class _ChainReplay:
    """A tree that grows by manifests; one mapping for all of them."""

    def __init__(self) -> None:
        self._refs: tuple[ManifestRef, ...] = ()
        self._entries: dict[str, Entry] = {}
        self._packs: dict[int, Pack] = {}

    def add(self, ref: ManifestRef, manifest: SnapshotManifest) -> None:
        """Apply the next manifest; DamagedError if it does not stand upon those before it."""
        if manifest.header.chain != self._refs:
            raise DamagedError(f"{ref.key} is damaged: it does not belong to this chain")
        self._refs = (*self._refs, ref)
        self._add_packs(ref, manifest.packs)
        for path in manifest.removed:
            if self._entries.pop(path, None) is None:
                raise DamagedError(f"{ref.key} is damaged: {path!r} is gone but was never there")
        self._entries.update(manifest.entries)

    def tree(self) -> SnapshotTree:
        """Return the tree; DamagedError if its entries do not fit together."""
        if len(self._refs) <= 1:
            return SnapshotTree(self._entries, self._packs)
        tree = SnapshotTree(dict(sorted(self._entries.items())), self._packs)
        for entry in tree.entries.values():
            try:
                check_references(entry, tree.entries, tree.packs)
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
