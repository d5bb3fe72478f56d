"""Bytes on their way to the store: packs and blobs, in parallel, a bounded number at a time.

What was stored stays known when a pass is given up, so that the next one need not send it again.
"""

import threading
from collections.abc import Callable, Sequence

from reconcile.mirror.concurrency import Lanes, Limit
from reconcile.mirror.model import Alone, File, Pack, Packed, Place, Tree
from reconcile.mirror.snapshot.keys import blob_key, pack_key
from reconcile.mirror.snapshot.pack import FinishedPack, PackWriter
from reconcile.mirror.store.port import Store


class Uploads:
    """Knows where each blob is, and sends those that are nowhere yet."""

    def __init__(self, store: Callable[[], Store], lanes: Lanes, tree: Tree) -> None:
        """Begin with what a committed tree holds; `store` is opened when it is first needed."""
        self._store = store
        self._lanes = lanes
        self._writer = PackWriter(first=max(tree.packs, default=0) + 1)
        self._lock = threading.Lock()
        self._alone: set[str] = set()
        self._going: set[str] = set()
        self._packed: dict[str, Packed] = {}
        self._pending: set[str] = set()
        self.packs: dict[int, Pack] = dict(tree.packs)
        self.sent = 0
        """Bytes that the store has acknowledged."""
        for entry in tree.entries.values():
            if isinstance(entry, File):
                self._learn(entry)

    def _learn(self, entry: File) -> None:
        match entry.place:
            case Alone():
                self._alone.update(entry.blobs)
            case Packed() as place:
                self._packed[entry.blobs[0]] = place

    def place(self, blobs: Sequence[str]) -> Place | None:
        """Say where these blobs of one file are stored; None where one is not, or not yet."""
        if len(blobs) == 1:  # Nearly always; one look is one step, which needs no lock.
            packed = self._packed.get(blobs[0])
            if packed is not None and blobs[0] not in self._alone:
                return packed
        with self._lock:
            return Alone() if all(digest in self._alone for digest in blobs) else None

    def add(self, digest: str, data: bytes, limit: Limit) -> None:
        """Put a small file's bytes into a pack, unless they are known; raises as `Lanes.run`."""
        with self._lock:
            if digest in self._alone or digest in self._packed or digest in self._pending:
                return
            self._pending.add(digest)
        self._send_packs(self._writer.add(digest, data), limit)

    def add_alone(self, digest: str, data: bytes, limit: Limit) -> None:
        """Store a chunk as an object, unless it is known as one; raises as `Lanes.run`."""
        with self._lock:
            if digest in self._alone or digest in self._going:
                return
            self._going.add(digest)

        def send() -> None:
            try:
                self._store().put(blob_key(digest), [data], digest)
                with self._lock:
                    self._alone.add(digest)
                    self.sent += len(data)
            finally:
                with self._lock:
                    self._going.discard(digest)

        try:
            self._lanes.run(send, limit)
        except BaseException:
            with self._lock:
                self._going.discard(digest)
            raise

    def close_pack(self, limit: Limit) -> None:
        """Send what is in the open pack; raises as `Lanes.run`."""
        self._send_packs(self._writer.finish(), limit)

    def drain(self, limit: Limit) -> None:
        """Wait until all is stored; raises as `Lanes.run`."""
        self._lanes.drain(limit)

    def _send_packs(self, packs: list[FinishedPack], limit: Limit) -> None:
        for pack in packs:
            self._send_pack(pack, limit)

    def _send_pack(self, pack: FinishedPack, limit: Limit) -> None:
        def send() -> None:
            try:
                # Here, since hashing millions of bytes lets other threads go on.
                stored = pack.described()
                self._store().put(pack_key(stored.digest), [pack.body], stored.digest)
            except BaseException:
                with self._lock:
                    self._pending.difference_update(pack.offsets)
                raise
            with self._lock:
                for digest, offset in pack.offsets.items():
                    self._packed[digest] = Packed(pack.number, offset)
                self._pending.difference_update(pack.offsets)
                self.packs[pack.number] = stored
                self.sent += stored.size

        try:
            self._lanes.run(send, limit)
        except BaseException:
            with self._lock:
                self._pending.difference_update(pack.offsets)
            raise
