"""Uploads packs and blobs, in parallel, a bounded number at a time.

What was stored is remembered when a pass is given up, so that the next pass need not send it again.
"""

import threading
from collections.abc import Sequence

from reconcile.mirror.concurrency import Deadline, WorkerPool
from reconcile.mirror.model import BlobLocation, File, LooseBlobs, Pack, PackedBlob, SnapshotTree
from reconcile.mirror.snapshot.keys import blob_key, pack_key
from reconcile.mirror.snapshot.pack import FinishedPack, PackWriter
from reconcile.mirror.store.port import Store


class Uploader:
    """Knows where each blob is stored, and uploads those that are not."""

    def __init__(self, store: Store, pool: WorkerPool, tree: SnapshotTree) -> None:
        """Begin with the blobs of a committed tree."""
        self._store = store
        self._pool = pool
        self._writer = PackWriter(first_number=max(tree.packs, default=0) + 1)
        self._lock = threading.Lock()
        self._stored_objects: set[str] = set()
        self._objects_in_flight: set[str] = set()
        self._packed_places: dict[str, PackedBlob] = {}
        self._packs_in_flight: set[str] = set()
        self.packs: dict[int, Pack] = dict(tree.packs)
        self.sent_bytes = 0
        """Bytes that the store has acknowledged."""
        self.begun_bytes = 0
        """Bytes whose upload has begun."""
        for entry in tree.entries.values():
            if isinstance(entry, File):
                self._register(entry)

    def _register(self, entry: File) -> None:
        match entry.location:
            case LooseBlobs():
                self._stored_objects.update(entry.blobs)
            case PackedBlob() as place:
                self._packed_places[entry.blobs[0]] = place

    def find_place(self, blobs: Sequence[str]) -> BlobLocation | None:
        """Return where these blobs of one file are stored; None where one is not, or not yet."""
        if len(blobs) == 1:  # Nearly always; one look-up is atomic and needs no lock.
            packed = self._packed_places.get(blobs[0])
            if packed is not None and blobs[0] not in self._stored_objects:
                return packed
        with self._lock:
            return LooseBlobs() if all(digest in self._stored_objects for digest in blobs) else None

    def add_to_pack(self, digest: str, data: bytes, deadline: Deadline) -> None:
        """Add a small file to a pack, unless it is stored; raises as `WorkerPool.submit`."""
        with self._lock:
            if (
                digest in self._stored_objects
                or digest in self._packed_places
                or digest in self._packs_in_flight
            ):
                return
            self._packs_in_flight.add(digest)
        self._send_packs(self._writer.add(digest, data), deadline)

    def add_object(self, digest: str, data: bytes, deadline: Deadline) -> None:
        """Upload a chunk as an object, unless it is stored; raises as `WorkerPool.submit`."""
        with self._lock:
            if digest in self._stored_objects or digest in self._objects_in_flight:
                return
            self._objects_in_flight.add(digest)
            self.begun_bytes += len(data)

        def send() -> None:
            try:
                self._store.put(blob_key(digest), [data], digest)
                with self._lock:
                    self._stored_objects.add(digest)
                    self.sent_bytes += len(data)
            finally:
                with self._lock:
                    self._objects_in_flight.discard(digest)

        try:
            self._pool.submit(send, deadline)
        except BaseException:
            with self._lock:
                self._objects_in_flight.discard(digest)
            raise

    def close_pack(self, deadline: Deadline) -> None:
        """Upload the pack that is open; raises as `WorkerPool.submit`."""
        self._send_packs(self._writer.finish(), deadline)

    def drain(self, deadline: Deadline) -> None:
        """Wait until all is stored; raises as `WorkerPool.submit`."""
        self._pool.drain(deadline)

    def _send_packs(self, packs: list[FinishedPack], deadline: Deadline) -> None:
        for pack in packs:
            self._send_pack(pack, deadline)

    def _send_pack(self, pack: FinishedPack, deadline: Deadline) -> None:
        def send() -> None:
            try:
                # Hashed in this thread: a hash of millions of bytes releases the interpreter lock.
                stored = pack.build_pack()
                self._store.put(pack_key(stored.digest), [pack.body], stored.digest)
            except BaseException:
                with self._lock:
                    self._packs_in_flight.difference_update(pack.offsets)
                raise
            with self._lock:
                for digest, offset in pack.offsets.items():
                    self._packed_places[digest] = PackedBlob(pack.number, offset)
                self._packs_in_flight.difference_update(pack.offsets)
                self.packs[pack.number] = stored
                self.sent_bytes += stored.size

        self.begun_bytes += len(pack.body)
        try:
            self._pool.submit(send, deadline)
        except BaseException:
            with self._lock:
                self._packs_in_flight.difference_update(pack.offsets)
            raise
