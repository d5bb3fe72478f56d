"""Reads every object that generations need and checks it by its digest.

Which generations a `verify` is about, and what it finds.
"""

import hashlib
import threading
from collections import defaultdict
from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from reconcile.mirror.concurrency import Deadline, PoolJob, WorkerPool
from reconcile.mirror.errors import DamagedError, UnknownFormatError
from reconcile.mirror.history.generations import (
    read_generation_index,
    read_generation_tree,
    read_object,
    select_generation,
)
from reconcile.mirror.model import File, Generation, Pack, PackedBlob, SnapshotTree
from reconcile.mirror.snapshot.keys import blob_key, pack_key
from reconcile.mirror.snapshot.pack import PackMember, read_member, verify_pack
from reconcile.mirror.store.port import Store
from reconcile.mirror.wiring import OpenStore


class DamagedObject(Struct, frozen=True):
    """An object that is missing, altered or malformed, and what that takes away.

    `paths` are those that cannot be restored, in order; none where a manifest is damaged, which
    takes all of its generations.
    """

    key: str
    reason: str
    generations: tuple[int, ...]
    paths: tuple[str, ...]


class VerifyResult(Struct, frozen=True):
    """What was read, and what of it is damaged."""

    generations: tuple[int, ...]
    objects: int
    size: int
    damaged: tuple[DamagedObject, ...]


class Verifier:
    """Looks at generations one by one, and at each object once."""

    def __init__(self, store: Store, pool: WorkerPool, deadline: Deadline) -> None:
        self._store = store
        self._pool = pool
        self._deadline = deadline
        self._lock = threading.Lock()
        self._packs: dict[str, Pack] = {}
        self._members: dict[str, dict[PackMember, set[str]]] = defaultdict(lambda: defaultdict(set))
        self._blobs: dict[str, set[str]] = defaultdict(set)
        self._needed: dict[str, set[int]] = defaultdict(set)
        self._damaged: dict[str, tuple[str, set[str]]] = {}
        self._objects = 0
        self._size = 0

    def verify(self, generations: Iterable[Generation]) -> VerifyResult:
        """Read all; StoreError if the store could not be asked."""
        numbers = [self._add_generation(each) for each in generations]
        for pack in self._packs.values():
            self._pool.submit(self._build_pack_job(pack), self._deadline)
        for digest in self._blobs:
            self._pool.submit(self._build_blob_job(digest), self._deadline)
        self._pool.drain(self._deadline)
        damages = (
            DamagedObject(key, reason, tuple(sorted(self._needed[key])), tuple(sorted(paths)))
            for key, (reason, paths) in sorted(self._damaged.items())
        )
        return VerifyResult(tuple(numbers), self._objects, self._size, tuple(damages))

    def _add_generation(self, generation: Generation) -> int:
        for ref in generation.chain:
            if not self._needed[ref.key]:
                self._objects += 1
                self._size += ref.size
            self._needed[ref.key].add(generation.number)
        try:
            self._add_tree(generation.number, read_generation_tree(self._store, generation))
        except (DamagedError, UnknownFormatError) as error:
            self._damaged[_find_manifest_key(str(error), generation)] = (str(error), set())
        return generation.number

    def _add_tree(self, number: int, tree: SnapshotTree) -> None:
        for pack in tree.packs.values():
            self._packs[pack.digest] = pack
            self._needed[pack_key(pack.digest)].add(number)
        for entry in tree.entries.values():
            if isinstance(entry, File):
                self._add_file(number, entry, tree)

    def _add_file(self, number: int, file: File, tree: SnapshotTree) -> None:
        if isinstance(file.location, PackedBlob):
            digest = tree.packs[file.location.pack].digest
            member = PackMember(file.blobs[0], file.location.offset, file.size)
            self._members[digest][member].add(file.path)
            return
        for blob in file.blobs:
            self._blobs[blob].add(file.path)
            self._needed[blob_key(blob)].add(number)

    def _build_pack_job(self, pack: Pack) -> PoolJob:
        def look() -> None:
            key = pack_key(pack.digest)
            members = self._members[pack.digest]
            everything = set[str]().union(*members.values())
            try:
                data = read_object(self._store, key)
                self._count_object(data)
                verify_pack(pack, data)
            except DamagedError as error:
                self._report_damage(key, str(error), everything)
                return
            self._check_members(key, data, members)

        return look

    def _check_members(self, key: str, data: bytes, members: dict[PackMember, set[str]]) -> None:
        for member, paths in members.items():
            try:
                found = read_member(data, member)
                _check_digest(key, found, member.digest)
            except DamagedError as error:
                self._report_damage(key, str(error), paths)

    def _build_blob_job(self, digest: str) -> PoolJob:
        def look() -> None:
            key = blob_key(digest)
            try:
                data = read_object(self._store, key)
                self._count_object(data)
                _check_digest(key, data, digest)
            except DamagedError as error:
                self._report_damage(key, str(error), self._blobs[digest])

        return look

    def _count_object(self, data: bytes) -> None:
        with self._lock:
            self._objects += 1
            self._size += len(data)

    def _report_damage(self, key: str, reason: str, paths: set[str]) -> None:
        with self._lock:
            first, known = self._damaged.get(key, (reason, set()))
            self._damaged[key] = (first, known | paths)


def _check_digest(key: str, data: bytes | memoryview, digest: str) -> None:
    found = hashlib.sha256(data).hexdigest()
    if found != digest:
        raise DamagedError(f"{key} was altered: what is blob {digest} has the SHA-256 {found}")


def _find_manifest_key(reason: str, generation: Generation) -> str:
    """Return the manifest that an error speaks of."""
    for ref in generation.chain:
        if ref.key in reason:
            return ref.key
    return generation.chain[-1].key


def verify_generations(open_store: OpenStore, at: str, *, everything: bool) -> VerifyResult:
    """Verify the generation that `at` means, or all.

    With all also what cannot be read as a manifest or record counts as damaged. Raises as `choose`.
    """
    verifier = Verifier(open_store.store, open_store.pool, Deadline(open_store.clock))
    if not everything:
        chosen = select_generation(open_store.store, at)
        return verifier.verify([chosen] if chosen.number else [])
    past = read_generation_index(open_store.store)
    found = verifier.verify(past.generations().values())
    known = {damage.key for damage in found.damaged}
    more = (
        DamagedObject(key, reason, (), ())
        for key, reason in sorted(past.unreadable.items())
        if key not in known
    )
    return replace(found, damaged=(*found.damaged, *more))
