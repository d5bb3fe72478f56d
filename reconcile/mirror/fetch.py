"""Brings the bytes of a tree from the store into the volume, each of them checked by digest."""

import hashlib
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable

from msgspec import Struct

from reconcile.mirror.errors import DamagedError, MissingObjectError
from reconcile.mirror.lanes import Job, Lanes
from reconcile.mirror.limit import Limit
from reconcile.mirror.model import Alone, File, Pack, Packed, Tree
from reconcile.mirror.snapshot.keys import CHUNK, blob_key, pack_key
from reconcile.mirror.snapshot.unpacking import Member, read_member
from reconcile.mirror.store.port import Store
from reconcile.mirror.tree.holes import hole, hole_digest
from reconcile.mirror.tree.restoring import Restorer


class Piece(Struct, frozen=True):
    """What one request has brought: so many files that are done, and bytes."""

    files: int
    size: int


Heard = Callable[[Piece], None]


class Fetch:
    """Gets files from the store, several requests at a time."""

    def __init__(self, store: Store, restorer: Restorer, heard: Heard) -> None:
        self._store = store
        self._restorer = restorer
        self._heard = heard
        # Threads that all write small files hand the interpreter to and fro at each call of the
        # system, which costs more than the calls: one writes while the others fetch.
        self._writing = threading.Lock()
        self._local = threading.local()

    def run(self, tree: Tree, files: Iterable[File], lanes: Lanes, limit: Limit) -> None:
        """Write all these files of a tree.

        Raises:
            DamagedError: An object is missing, or not what its digest says; names it.
            StoreError: One could not be read.
            WorkspaceError: The volume does not let it be written.
        """
        for job in self._jobs(tree, files):
            lanes.run(job, limit)
        lanes.drain(limit)

    def _jobs(self, tree: Tree, files: Iterable[File]) -> Iterable[Job]:
        """Large files come first: they take longest."""
        packed: dict[int, list[File]] = defaultdict(list)
        for file in files:
            match file.place:
                case Packed(number, _):
                    packed[number].append(file)
                case Alone():
                    yield from self._chunks(file)
        for number, members in packed.items():
            yield self._pack(tree.packs[number], members)

    def _chunks(self, file: File) -> Iterable[Job]:
        for place, digest in enumerate(file.blobs):
            if len(file.blobs) > 1 and digest == hole_digest():
                self._restorer.write_at(file, place * CHUNK, hole())
            else:
                yield self._chunk(file, place, digest)

    def _chunk(self, file: File, place: int, digest: str) -> Job:
        def get() -> None:
            size = min(CHUNK, file.size - place * CHUNK)
            data = self._object(blob_key(digest), file.path, size)
            if hashlib.sha256(data).hexdigest() != digest:
                raise _altered(blob_key(digest), file.path)
            if len(file.blobs) == 1:
                self._restorer.write(file, data)
            else:
                self._restorer.write_at(file, place * CHUNK, data)
            self._heard(Piece(int(place == len(file.blobs) - 1), len(data)))

        return get

    def _pack(self, pack: Pack, files: list[File]) -> Job:
        def get() -> None:
            data = self._object(pack_key(pack.digest), files[0].path, pack.size)
            # Other threads go on while millions of bytes are hashed, and wait for each small blob.
            whole = hashlib.sha256(data).hexdigest() == pack.digest
            with self._writing:
                for file in files:
                    member = _member(pack, data, file, whole=whole)
                    self._restorer.write(file, member)
            self._heard(Piece(len(files), len(data)))

        return get

    def _object(self, key: str, path: str, size: int) -> memoryview:
        """Return an object of this size, in the calling thread's buffer until its next call."""
        buffer = self._buffer(size)
        try:
            found = self._store.get_into(key, buffer)
        except MissingObjectError:
            raise DamagedError(
                f"{key} is missing though {path!r} needs it. Restore that object, or go back to an "
                "earlier generation"
            ) from None
        except DamagedError:
            raise _altered(key, path) from None
        if found != size:
            raise _altered(key, path)
        return buffer

    def _buffer(self, size: int) -> memoryview:
        """Return memory that is used again: new memory costs the system a page at a time."""
        known: bytearray = getattr(self._local, "buffer", bytearray())
        if len(known) < size:
            known = self._local.buffer = bytearray(max(size, CHUNK))
        return memoryview(known)[:size]


def _member(pack: Pack, data: memoryview, file: File, *, whole: bool) -> memoryview:
    """Return one file's bytes, proven by the digest of the whole pack or by their own."""
    assert isinstance(file.place, Packed)
    try:
        member = read_member(data, Member(file.blobs[0], file.place.offset, file.size))
    except DamagedError:
        raise _altered(pack_key(pack.digest), file.path) from None
    # What was damaged may be what nobody needs.
    if not whole and hashlib.sha256(member).hexdigest() != file.blobs[0]:
        raise _altered(pack_key(pack.digest), file.path)
    return member


def _altered(key: str, path: str) -> DamagedError:
    return DamagedError(
        f"{key} was altered: what it has of {path!r} is not what its digest says. Restore that "
        "object, or go back to an earlier generation"
    )
