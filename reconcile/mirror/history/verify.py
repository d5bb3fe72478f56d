"""Verification: reads every object that generations need, and checks its digest."""

import hashlib
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial

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
from reconcile.mirror.snapshot.entries import iter_loose_blobs
from reconcile.mirror.snapshot.keys import CHUNK, blob_key, pack_key
from reconcile.mirror.snapshot.pack import PackMember, read_member, verify_pack
from reconcile.mirror.store.port import Store
from reconcile.mirror.wiring import OpenStore


class DamagedObject(Struct, frozen=True):
    """An object that is missing, altered or malformed, and what that affects.

    `paths` are the paths that cannot be restored, in order. They are empty for a damaged manifest:
    then nothing of its generations can be restored.
    """

    key: str
    reason: str
    generations: tuple[int, ...]
    paths: tuple[str, ...]


class VerifyResult(Struct, frozen=True):
    """The numbers of the verified generations, the objects and bytes read, and the damage."""

    generations: tuple[int, ...]
    objects: int
    size: int
    damaged: tuple[DamagedObject, ...]


class Verifier:
    """Verifies several generations; reads each object once."""

    def __init__(self, store: Store, pool: WorkerPool, deadline: Deadline) -> None:
        self._store = store
        self._pool = pool
        self._deadline = deadline
        self._lock = threading.Lock()
        self._packs: dict[str, Pack] = {}
        self._members: dict[str, dict[PackMember, set[str]]] = defaultdict(lambda: defaultdict(set))
        self._blobs: dict[tuple[str, int], set[str]] = defaultdict(set)
        self._needed: dict[str, set[int]] = defaultdict(set)
        self._damaged: dict[str, tuple[str, set[str]]] = {}
        self._objects = 0
        self._size = 0

    def verify(self, generations: Iterable[Generation]) -> VerifyResult:
        """Read and check everything; StoreError if the store could not be read."""
        numbers = [self._add_generation(generation) for generation in generations]
        for pack in self._packs.values():
            self._pool.submit(self._build_pack_job(pack), self._deadline)
        for digest, size in self._blobs:
            self._pool.submit(self._build_blob_job(digest, size), self._deadline)
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
        for blob, part in iter_loose_blobs(file):
            self._blobs[blob, len(part)].add(file.path)
            self._needed[blob_key(blob)].add(number)

    def _build_pack_job(self, pack: Pack) -> PoolJob:
        def check() -> None:
            key = pack_key(pack.digest)
            members = self._members[pack.digest]
            all_paths = set[str]().union(*members.values())
            try:
                data = self._read_checked(key, pack.size, partial(verify_pack, pack))
            except DamagedError as error:
                self._report_damage(key, str(error), all_paths)
                return
            self._check_members(key, data, members)

        return check

    def _check_members(self, key: str, data: bytes, members: dict[PackMember, set[str]]) -> None:
        for member, paths in members.items():
            try:
                _check_digest(key, read_member(data, member), member.digest)
            except DamagedError as error:
                self._report_damage(key, str(error), paths)

    def _build_blob_job(self, digest: str, size: int) -> PoolJob:
        def check() -> None:
            key = blob_key(digest)
            try:
                self._read_checked(key, CHUNK, partial(check_blob, digest, size))
            except DamagedError as error:
                self._report_damage(key, str(error), self._blobs[digest, size])

        return check

    def _read_checked(self, key: str, limit: int, check: Callable[[bytes], None]) -> bytes:
        """Read an object and check it; DamagedError if it is missing, or fails the check."""
        received: list[bytes] = []

        def read() -> bytes:
            received[:] = [read_object(self._store, key, limit)]
            check(received[0])
            return received[0]

        try:
            return self._store.retry(read)
        finally:
            with self._lock:
                self._objects += len(received)
                self._size += sum(map(len, received))

    def _report_damage(self, key: str, reason: str, paths: set[str]) -> None:
        with self._lock:
            first_reason, earlier_paths = self._damaged.get(key, (reason, set()))
            self._damaged[key] = (first_reason, earlier_paths | paths)


def check_blob(digest: str, size: int, data: bytes) -> None:
    """Raise DamagedError unless an object is the blob with this digest and size in bytes."""
    key = blob_key(digest)
    _check_digest(key, data, digest)
    if len(data) != size:
        raise DamagedError(f"{key} has {len(data)} bytes, but the manifest says {size}")


def _check_digest(key: str, data: bytes | memoryview, digest: str) -> None:
    actual = hashlib.sha256(data).hexdigest()
    if actual != digest:
        raise DamagedError(f"{key} was altered: its blob {digest} has the SHA-256 {actual}")


def _find_manifest_key(reason: str, generation: Generation) -> str:
    """Return the key of the manifest that an error names."""
    for ref in generation.chain:
        if ref.key in reason:
            return ref.key
    return generation.chain[-1].key


def verify_generations(open_store: OpenStore, at: str, *, everything: bool) -> VerifyResult:
    """Verify the generation that `at` selects, or all.

    With `everything`, unreadable manifests and records also count as damaged. Raises as
    `select_generation`.
    """
    verifier = Verifier(open_store.store, open_store.pool, Deadline(open_store.clock))
    if not everything:
        chosen = select_generation(open_store.store, at)
        return verifier.verify([chosen] if chosen.number else [])
    index = read_generation_index(open_store.store)
    result = verifier.verify(index.generations().values())
    reported = {damage.key for damage in result.damaged}
    unreadable = (
        DamagedObject(key, reason, (), ())
        for key, reason in sorted(index.unreadable.items())
        if key not in reported
    )
    return replace(result, damaged=(*result.damaged, *unreadable))
