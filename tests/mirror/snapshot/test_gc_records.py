import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.mirror.errors import DamagedError, UnknownFormatError
from reconcile.mirror.snapshot.gc import GcRecord, decode_gc_record, encode_gc_record
from reconcile.mirror.snapshot.keys import blob_key, manifest_key, pack_key
from reconcile.mirror.store.port import ListedObject
from tests.mirror.snapshot.random_trees import sha
from tests.mirror.snapshot.test_head import chains

DIGEST = st.integers().map(str).map(sha)
keys = st.one_of(
    DIGEST.map(blob_key), DIGEST.map(pack_key), DIGEST.map(lambda digest: manifest_key(7, digest))
)
listed = st.builds(ListedObject, keys, st.integers(0, 2**40), st.floats(0, 2e9))
records = st.builds(GcRecord, st.integers(0, 2**62), chains, st.lists(listed).map(tuple))
VALUE = orjson.loads(encode_gc_record(GcRecord(0, (), (ListedObject(blob_key(sha("x")), 1, 0.5),))))


@given(records)
def test_every_record_round_trips(record):
    assert decode_gc_record(encode_gc_record(record)) == record


@pytest.mark.parametrize(
    "key", ["HEAD", "gc/2026.json", "other", "blobs/x", "packs/../HEAD", f"blobs/{sha('x')}/y"]
)
def test_a_record_that_names_other_objects_is_damaged(key):
    dead = [{**VALUE["dead"][0], "key": key}]
    with pytest.raises(DamagedError, match="is not a key that may be deleted"):
        decode_gc_record(orjson.dumps({**VALUE, "dead": dead}))


@pytest.mark.parametrize(
    "change",
    [
        {"format": "x"},
        {"time": None},
        {"history": {}},
        {"dead": [1]},
        {"dead": [{**VALUE["dead"][0], "modified": "now"}]},
        {"dead": [{**VALUE["dead"][0], "modified": True}]},
        {"dead": [{"key": "HEAD"}]},
        {"more": 1},
    ],
)
def test_a_malformed_record_is_damaged(change):
    with pytest.raises(DamagedError, match="a record of garbage collection is damaged"):
        decode_gc_record(orjson.dumps({**VALUE, **change}))


def test_a_record_of_a_newer_format_is_named():
    with pytest.raises(UnknownFormatError, match="'reconcile-mirror/2'"):
        decode_gc_record(orjson.dumps({**VALUE, "format": "reconcile-mirror/2"}))


@given(st.binary())
def test_arbitrary_bytes_are_damaged(data):
    with pytest.raises(DamagedError):
        decode_gc_record(data)
