"""Each request of hydrate and of a sync once gets a bad response: the operation still succeeds.

The objects in the store are right all the time, so nothing may be called damaged.
"""

from itertools import count

import pytest
from msgspec.structs import replace

from reconcile.mirror.errors import (
    DamagedError,
    MissingObjectError,
    StoreAwayError,
    UnexpectedResponseError,
)
from reconcile.mirror.head import read_head
from reconcile.mirror.restore.downloader import MemorySink
from reconcile.mirror.snapshot.keys import CHUNK, MAX_PACKED_FILE
from reconcile.mirror.store.conditional import ConditionalWriteSupport, probe_conditional_writes
from reconcile.mirror.store.port import DEFAULT_LIMIT
from reconcile.mirror.store.retry import MAX_REREADS, RetryingStore, RetryPolicy
from tests.clocks import FakeClock
from tests.mirror.memory_store import MemoryStore
from tests.mirror.mirror_pod import MirrorPod, listing


def flip(body):
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]


ALTERATIONS = {
    "half of it": lambda body: body[: len(body) // 2],
    "nothing": lambda _body: b"",
    "more than it": lambda body: body + b"more",
    "one bit flipped": flip,
    "first bit flipped": lambda body: bytes([body[0] ^ 1]) + body[1:],
    "a page": lambda _body: b"<html>Please log in</html>",
    "another object": lambda _body: b'{"format":"reconcile-mirror/9"}\n',
}
ERRORS = {
    "unavailable": StoreAwayError,
    "not S3": UnexpectedResponseError,
    "missing": MissingObjectError,
}


class OneBadResponse:
    """Passes all requests on; the response to one of them is altered or lost."""

    def __init__(self, inner, number, kind):
        self._inner = inner
        self._number = number
        self._kind = kind
        self._requests = count()
        self.seen = []

    def retry(self, operation):
        return operation()

    def get(self, key, limit=DEFAULT_LIMIT):
        is_hit, stored = self._read("get", key, lambda: self._inner.get(key, limit))
        if is_hit and self._kind == "another ETag":
            return replace(stored, etag="0" * 32)
        return replace(stored, body=self._alter(stored.body) if is_hit else stored.body)

    def get_into(self, key, sink):
        is_hit, stored = self._read("get", key, lambda: self._inner.get(key))
        answer = MemoryStore()
        answer.bucket.objects[key] = self._alter(stored.body) if is_hit else stored.body, 0.0
        return answer.get_into(key, sink)

    def get_range(self, key, offset, size):
        is_hit, part = self._read("get", key, lambda: self._inner.get_range(key, offset, size))
        return self._alter(part) if is_hit else part

    def list(self, prefix, after=""):
        yield from self._read("list", prefix, lambda: [*self._inner.list(prefix, after)])[1]

    def put(self, key, parts, digest):
        self._write("put", key, lambda: self._inner.put(key, parts, digest))

    def put_if(self, key, body, etag):
        is_hit, new = self._write("put_if", key, lambda: self._inner.put_if(key, body, etag))
        return "0" * 32 if is_hit and self._kind == "another ETag" else new

    def delete(self, keys):
        self._write("delete", "", lambda: self._inner.delete(keys))

    def _note(self, method, key):
        number = next(self._requests)
        self.seen.append((method, key))
        return number == self._number

    def _read(self, method, key, request):
        is_hit = self._note(method, key)
        if is_hit and self._kind in ERRORS and (method, self._kind) != ("list", "missing"):
            raise ERRORS[self._kind](self._kind)
        return is_hit, request()

    def _alter(self, body):
        return ALTERATIONS.get(self._kind, bytes)(body)

    def _write(self, method, key, request):
        is_hit = self._note(method, key)
        if is_hit and self._kind == "unavailable":
            raise StoreAwayError("503")
        result = request()
        if is_hit and self._kind == "response lost":
            raise StoreAwayError("the connection broke")
        return is_hit, result


def retrying(inner, number, kind):
    bad = OneBadResponse(inner, number, kind)
    policy = RetryPolicy(60.0, retry_denied=True)
    return bad, RetryingStore(bad, FakeClock(), policy)


KINDS = [*ALTERATIONS, *ERRORS, "another ETag", "response lost"]


@pytest.fixture
def session(tmp_path):
    """A session with two generations of small files."""
    first = MirrorPod(tmp_path, "first", MemoryStore())
    first.hydrate()
    for number in range(12):
        first.write(f"src/{number}.txt", f"text {number}".encode() * 40)
    first.sync()
    first.write("src/new.txt", b"new")
    first.sync()
    return first


@pytest.fixture
def large_session(session):
    """A session with a generation more: a file that is one blob, and one of two chunks."""
    session.write("blob.bin", bytes(MAX_PACKED_FILE + 1))
    session.write("chunks.bin", bytes(range(256)) * ((CHUNK >> 8) + 1))
    session.sync()
    return session


def numbers_of(run):
    """Return the numbers of the requests that `run` makes without a fault."""
    return range(len(run(-1, "none").seen))


@pytest.mark.parametrize("kind", KINDS)
def test_hydrate_restores_everything_after_one_bad_response(tmp_path, session, kind):
    check_hydrate(tmp_path, session, kind)


@pytest.mark.parametrize("kind", ["half of it", "one bit flipped", "missing"])
def test_hydrate_restores_large_files_after_one_bad_response(tmp_path, large_session, kind):
    check_hydrate(tmp_path, large_session, kind)


def check_hydrate(tmp_path, session, kind):
    names = count()

    def run(number, kind):
        bad, store = retrying(session.store, number, kind)
        pod = MirrorPod(tmp_path, f"pod-{next(names)}", store)
        pod.hydrate()
        assert probe_conditional_writes(store, "probe/x") is ConditionalWriteSupport.HONOURED
        assert listing(pod.root) == listing(session.root)
        assert read_head(session.store).head.writer.uid == pod.claimant.uid
        return bad

    for number in numbers_of(run):
        run(number, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sync_commits_after_one_bad_response(tmp_path, session, kind):
    generations = count(3)

    def run(number, kind):
        generation = next(generations)
        session.write("small.txt", b"%d" % generation)
        session.write("large.bin", b"%8d" % generation * (MAX_PACKED_FILE // 8 + 1))
        bad, session.store = retrying(store, number, kind)
        session.sync()
        assert read_head(store).head.generation.number >= generation
        return bad

    store = session.store
    for number in numbers_of(run):
        run(number, kind)
        (session.state.path / "manifests").rename(tmp_path / f"cached-{number}")
    successor = MirrorPod(tmp_path, "successor", store)
    successor.hydrate()
    assert listing(successor.root) == listing(session.root)


@pytest.mark.parametrize("folder", ["packs/", "blobs/"])
def test_what_is_damaged_in_the_store_is_read_a_few_times_and_reported(
    tmp_path, large_session, folder
):
    objects = large_session.store.bucket.objects
    key = next(key for key in objects if key.startswith(folder))
    objects[key] = flip(objects[key][0]), 0.0
    bad, store = retrying(large_session.store, -1, "none")
    with pytest.raises(DamagedError, match=f"{key} (was altered|is damaged)"):
        MirrorPod(tmp_path, "second", store).hydrate()
    assert bad.seen.count(("get", key)) in {MAX_REREADS + 1, MAX_REREADS + 2}


def test_a_sink_is_filled_again_from_its_beginning(session):
    key = next(key for key in session.store.bucket.objects if key.startswith("packs/"))
    body = session.store.bucket.objects[key][0]
    _, store = retrying(session.store, 0, "half of it")
    buffer = bytearray(len(body))
    assert store.get_into(key, MemorySink(memoryview(buffer))) == len(body) // 2
    assert store.get_into(key, MemorySink(memoryview(buffer))) == len(body)
    assert buffer == body
