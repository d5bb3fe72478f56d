"""The S3 server in memory of the benchmarks supports what the mirror and its rivals use."""

from hashlib import sha256

import pytest

from bench.mirror.server import running
from reconcile.mirror.errors import (
    DeniedError,
    MissingObjectError,
    PreconditionError,
    StoreError,
)
from reconcile.mirror.store.config import AccessKeys
from reconcile.mirror.store.port import ABSENT
from reconcile.mirror.store.s3 import S3Store
from tests.s3.access import StaticCredentials

HARD = ("a/ü\n\t", "a/%41 +&<>", "b/\U0001f600", "c", "c/d")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running("memory", tmp_path_factory.mktemp("memory")) as server:
        yield server


@pytest.fixture
def store(server):
    found = S3Store(server.access.location(server.bucket(), "ns/s/"), server.access.credentials)
    server.counts()
    yield found
    found.close()


def test_an_object_is_read_completely_and_in_ranges(store):
    data = bytes(range(256)) * 20_000
    store.put("key", [data[:1000], data[1000:]], _digest(data))
    assert store.get("key").body == data
    assert store.get_range("key", 4_000_000, 1000) == data[4_000_000:4_001_000]


def test_of_two_conditional_writes_the_second_is_refused(store):
    etag = store.put_if("HEAD", b"1", ABSENT)
    with pytest.raises(PreconditionError):
        store.put_if("HEAD", b"2", ABSENT)
    store.put_if("HEAD", b"2", etag)
    with pytest.raises(PreconditionError):
        store.put_if("HEAD", b"3", etag)
    assert store.get("HEAD").body == b"2"


def test_hard_names_are_listed_in_order_and_deleted(store):
    for key in HARD:
        store.put(key, [b"1"], _digest(b"1"))
    assert [found.key for found in store.list("")] == sorted(HARD)
    store.delete(HARD[:-1])
    assert [found.key for found in store.list("")] == [HARD[-1]]
    with pytest.raises(MissingObjectError):
        store.get(HARD[0])


def test_a_list_goes_over_several_pages(store):
    keys = [f"k{number:05}" for number in range(2500)]
    for key in keys:
        store.put(key, [b"1"], _digest(b"1"))
    assert [found.key for found in store.list("k")] == keys
    assert [found.key for found in store.list("k", after=keys[1999])] == keys[2000:]


def test_requests_and_bytes_are_counted(server, store):
    store.put("key", [b"12345"], _digest(b"12345"))
    store.get("key")
    store.get("key")
    found = server.counts()
    assert (found.requests, found.sent, found.got) == (3, 5, 10)
    assert server.counts().requests == 0


def test_a_wrong_key_and_a_wrong_digest_are_refused(server, store):
    where = server.access.location(server.bucket(), "ns/s/")
    with pytest.raises(DeniedError, match="the secret key does not match"):
        S3Store(where, StaticCredentials(AccessKeys("bench", "wrong"))).get("key")
    with pytest.raises(DeniedError, match="access key"):
        S3Store(where, StaticCredentials(AccessKeys("nobody", "wrong"))).get("key")
    with pytest.raises(StoreError, match="other bytes than were sent"):
        store.put("key", [b"body"], "0" * 64)
    assert list(store.list("")) == []


def _digest(data):
    return sha256(data).hexdigest()
