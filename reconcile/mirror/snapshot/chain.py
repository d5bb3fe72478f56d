"""Builds a tree from a chain of manifests, and the next manifest of a chain."""

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
from reconcile.mirror.snapshot.keys import MAX_MANIFEST, manifest_key
from reconcile.mirror.snapshot.manifest import (
    SnapshotManifest,
    decode_manifest,
    encode_base,
    encode_delta,
    find_needed_packs,
)

MAX_DELTAS: Final = 24
"""Maximum deltas of one chain: limits the requests that reading a tree needs."""

_COMPLETE: Final = Complete()


class CommitInfo(Struct, frozen=True):
    """The metadata of the next generation: when, by whom, and whether it is complete."""

    time: int
    writer: Writer
    completeness: Completeness = _COMPLETE


class EncodedManifest(Struct, frozen=True):
    """A manifest to be stored at `ref.key`, and the generation that it completes.

    `tree` is the tree that a reader of the chain gets: the same entries, and the listed packs.
    """

    ref: ManifestRef
    body: bytes
    generation: Generation
    tree: SnapshotTree


def read_manifest(ref: ManifestRef, data: bytes) -> SnapshotManifest:
    """Decode a manifest and check it against its reference.

    Raises:
        UnknownFormatError: It has another version of the format.
        DamagedError: The bytes do not match `ref`, or are malformed; names the object.
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
    """Return the tree of a chain; it can be restored without a further check.

    Args:
        manifests: References and bytes in the order of the chain, base first; consumed lazily.

    Raises:
        UnknownFormatError: One of them has another version of the format.
        DamagedError: One is damaged or does not continue those before it; names the object.
    """
    chain = _ChainReplay()
    for ref, data in manifests:
        chain.add(ref, read_manifest(ref, data))
    return chain.tree()


def new_delta_if_small(
    last: Generation, info: CommitInfo, before: SnapshotTree, after: SnapshotTree
) -> EncodedManifest | None:
    """Encode the generation after `last` as a delta; None if the chain has too many deltas.

    Then `new_base` is due.

    Args:
        last: The generation whose tree is `before`.
        info: The metadata of the new generation.
        before: The tree of the chain of `last`.
        after: The new tree; its packs are those of `before` and new ones with higher numbers.

    Raises:
        ValueError: The new tree is not valid; it must not be committed.
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
    """Encode the generation after `last` as a delta, as `new_delta_if_small` does, but always."""
    header = _build_header(last, info, last.chain)
    return _build_encoded_manifest(header, encode_delta(header, before, after), after)


def new_base(last: Generation, info: CommitInfo, after: SnapshotTree) -> EncodedManifest:
    """Encode the generation after `last` as a base, which lists only the packs that are needed.

    Raises:
        ValueError: The new tree is not valid; it must not be committed.
    """
    header = _build_header(last, info, ())
    return _build_encoded_manifest(
        header, encode_base(header, after), SnapshotTree(after.entries, find_needed_packs(after))
    )


def next_pack_number(tree: SnapshotTree) -> int:
    """Return the number of the first new pack of the tree after this one."""
    return max(tree.packs, default=0) + 1


def _build_header(
    last: Generation, info: CommitInfo, chain: tuple[ManifestRef, ...]
) -> ManifestHeader:
    parent = last.chain[-1] if last.chain else None
    return ManifestHeader(last.number + 1, info.time, info.writer, parent, chain, info.completeness)


def _build_encoded_manifest(
    header: ManifestHeader, body: bytes, tree: SnapshotTree
) -> EncodedManifest:
    if len(body) > MAX_MANIFEST:
        raise ValueError(f"its manifest would have more than {MAX_MANIFEST} bytes")
    digest = hashlib.sha256(body).hexdigest()
    number = header.generation
    ref = ManifestRef(number, manifest_key(number, digest), digest, len(body))
    chain = (*header.chain, ref)
    generation = Generation(number, header.time, chain, header.completeness)
    return EncodedManifest(ref, body, generation, tree)


class _ChainReplay:
    """Applies manifests one after the other to one mapping of entries."""

    def __init__(self) -> None:
        self._refs: tuple[ManifestRef, ...] = ()
        self._entries: dict[str, Entry] = {}
        self._packs: dict[int, Pack] = {}

    def add(self, ref: ManifestRef, manifest: SnapshotManifest) -> None:
        """Apply the next manifest; DamagedError if it does not continue those before it."""
        if manifest.header.chain != self._refs:
            raise DamagedError(f"{ref.key} is damaged: it does not belong to this chain")
        self._refs = (*self._refs, ref)
        self._add_packs(ref, manifest.packs)
        for path in manifest.removed:
            if self._entries.pop(path, None) is None:
                raise DamagedError(
                    f"{ref.key} is damaged: it removes {path!r}, which does not exist"
                )
        self._entries.update(manifest.entries)

    def tree(self) -> SnapshotTree:
        """Return the tree; DamagedError if its entries are inconsistent."""
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
