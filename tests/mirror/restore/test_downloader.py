"""A blob of a large file is hashed and written piece by piece, whatever happens on the way."""

import errno
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from reconcile.mirror.errors import DamagedError, StoreAwayError, WorkspaceError
from reconcile.mirror.model import File, LooseBlobs
from reconcile.mirror.restore.downloader import WRITE_SIZE, Downloader
from reconcile.mirror.restore.tasks import ChunkTask, TaskResult
from reconcile.mirror.snapshot.keys import CHUNK, blob_key
from reconcile.mirror.store.port import Sink
from reconcile.mirror.store.retry import RetryingStore, RetryPolicy
from reconcile.mirror.workspace.restorer import Restorer
from reconcile.runtime.backoff import Backoff
from tests.clocks import FakeClock
from tests.mirror.memory_store import MemoryStore

END = b"the end of the file"
BLOB = b"a" * WRITE_SIZE + bytes(WRITE_SIZE) + b"b" * (CHUNK - 2 * WRITE_SIZE)
"""With a hole in the middle."""


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Cut(MemoryStore):
    """Sends something else first, as long as `first` is there, and breaks off then."""

    first = b""

    def get_into(self, key: str, sink: Sink) -> int:
        if not self.first:
            return super().get_into(key, sink)
        sink.begin()
        for start in range(0, len(self.first), WRITE_SIZE):
            piece = self.first[start : start + WRITE_SIZE]
            sink.space()[: len(piece)] = piece
            sink.take(len(piece))
        self.first = b""
        raise StoreAwayError("cut off")


@pytest.fixture
def restored(tmp_path: Path) -> Callable[[Cut, bytes], bytes]:
    def restored(store: Cut, blob: bytes) -> bytes:
        """Restore a file of one whole blob and a short one, and return its bytes."""
        file = File("large", 0o644, 0, CHUNK + len(END), (digest(blob), digest(END)), LooseBlobs())
        restorer = Restorer(tmp_path, [file])
        restorer.begin()
        retrying = RetryingStore(store, FakeClock(), RetryPolicy(60, Backoff(1, 8)))
        downloader = Downloader(retrying, restorer)
        first = ChunkTask("large", 0, CHUNK, digest(blob), False)  # noqa: FBT003
        last = ChunkTask("large", CHUNK, len(END), digest(END), True)  # noqa: FBT003
        assert downloader.run_task(first) == TaskResult(0, CHUNK)
        assert downloader.run_task(last) == TaskResult(1, len(END))
        restorer.finish()
        return (tmp_path / "large").read_bytes()

    return restored


def stored(*blobs: bytes) -> Cut:
    store = Cut()
    for blob in (*blobs, END):
        store.put(blob_key(digest(blob)), [blob], digest(blob))
    return store


def test_zeros_in_a_blob_become_a_hole(restored, tmp_path):
    assert restored(stored(BLOB), BLOB) == BLOB + END
    assert (tmp_path / "large").stat().st_blocks * 512 < CHUNK


def test_a_blob_of_zeros_is_not_downloaded(restored, tmp_path):
    assert restored(stored(), bytes(CHUNK)) == bytes(CHUNK) + END
    assert (tmp_path / "large").stat().st_blocks * 512 < CHUNK


@pytest.mark.parametrize("size", [1, WRITE_SIZE, 2 * WRITE_SIZE, 3 * WRITE_SIZE - 1, CHUNK])
def test_a_truncated_blob_is_read_again_and_no_byte_of_the_first_attempt_remains(restored, size):
    store = stored(BLOB)
    store.first = b"x" * size
    assert restored(store, BLOB) == BLOB + END


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(BLOB[:-1] + b"c", id="another byte"),
        pytest.param(BLOB[:-1], id="too short"),
        pytest.param(BLOB + b"c", id="too long"),
        pytest.param(b"", id="empty"),
    ],
)
def test_a_blob_that_was_altered_is_named_and_nothing_becomes_visible(restored, tmp_path, wrong):
    store = stored(BLOB)
    key = blob_key(digest(BLOB))
    store.bucket.objects[key] = (wrong, 0.0)
    with pytest.raises(DamagedError, match=rf"^{key} was altered: its data of 'large'"):
        restored(store, BLOB)
    assert not (tmp_path / "large").exists()


def test_a_full_volume_is_reported(restored, monkeypatch):
    def full(*_arguments: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.pwrite", full)
    with pytest.raises(WorkspaceError, match="'large' cannot be restored: the volume is full"):
        restored(stored(BLOB), BLOB)
