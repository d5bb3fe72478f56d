"""Garbage collection on a store in memory whose clock the test moves."""

import hashlib

import pytest

from reconcile.mirror.errors import SettingsError
from reconcile.mirror.history.gc import GcPolicy, preview_gc
from reconcile.mirror.history.generations import read_generation_index
from reconcile.mirror.snapshot.retention import RetentionPolicy
from reconcile.mirror.units import parse_duration
from tests.mirror.history.gc_world import BIG, DAY, HOUR


def test_what_no_kept_generation_needs_goes_a_grace_time_after_it_was_marked(yard):
    yard.commit("a", BIG)
    yard.commit("a", BIG[1:])
    old = f"blobs/{hashlib.sha256(BIG).hexdigest()}"
    assert old in yard.keys("")
    yard.clock.seconds += DAY
    assert yard.collect().deleted == ()
    yard.clock.seconds += HOUR
    assert yard.collect().deleted == ()
    yard.clock.seconds += DAY
    assert old in {each.key for each in yard.collect().deleted}
    assert old not in yard.keys("")
    assert yard.verify().damaged == ()
    assert len(yard.keys("manifests/")) == 1


def test_a_kept_generation_stays_whole_when_those_after_it_are_gone(yard):
    for number in range(1, 9):
        yard.commit(f"{number}", str(number).encode() * 50)
        yard.clock.seconds += DAY
    for _ in range(4):
        yard.collect(last=1, daily=8)
        yard.clock.seconds += DAY
    assert list(read_generation_index(yard.store).generations()) == list(range(8, 0, -1))
    for _ in range(4):
        yard.collect(last=2)
        yard.clock.seconds += DAY
    left = list(read_generation_index(yard.store).generations())
    assert left[:2] == [8, 7]
    assert len(left) < 8, "only what a kept chain stands upon stays"
    assert yard.verify().damaged == ()


def test_generations_before_a_gap_are_remembered(yard):
    for number in range(6):
        yard.commit("a", str(number).encode())
        yard.clock.seconds += 10 if number else DAY
    for _ in range(4):
        assert yard.collect(last=1, daily=5).kept == (6, 1)
        yard.clock.seconds += DAY
    assert len(yard.keys("manifests/")) == 2
    assert list(read_generation_index(yard.store).generations()) == [6, 1]
    assert len(yard.keys("gc/")) == 1


def test_a_preview_writes_nothing(yard):
    yard.commit("a", BIG)
    yard.commit("a", BIG[1:])
    yard.clock.seconds += DAY
    before = dict(yard.bucket.objects)
    found = preview_gc(yard.store, GcPolicy(RetentionPolicy(1, 0, 0), 2 * HOUR), yard.clock)
    assert found.kept == (2,)
    assert found.expired == (1,)
    assert found.deleted == ()
    assert len(found.unneeded) == 2
    assert yard.bucket.objects == before


def test_nothing_is_left_of_what_collections_wrote_for_themselves(yard):
    yard.commit("a", BIG)
    yard.commit("a", BIG[1:])
    for _ in range(20):
        yard.clock.seconds += DAY
        yard.collect()
    assert len(yard.keys("gc/")) <= 1
    assert yard.keys("sweep/") == []
    assert yard.keys("probe/") == []


def test_an_old_scratch_object_of_a_pod_that_may_not_delete_goes(yard):
    yard.put("probe/left-behind", b"x")
    yard.clock.seconds += DAY
    yard.collect()
    assert yard.keys("probe/") == []


def test_what_is_none_of_ours_is_never_touched(yard):
    yard.commit("a")
    for key in ("blobs/readme.txt", "packs/x.tar", "notes/today", "README"):
        yard.put(key, b"theirs")
    for _ in range(4):
        yard.clock.seconds += 10 * DAY
        yard.collect()
    assert {"blobs/readme.txt", "packs/x.tar", "notes/today", "README"} <= set(yard.keys(""))


def test_a_manifest_beyond_head_counts_however_old_it_is(yard):
    yard.commit("a")
    yard.pod.write("b", BIG)
    head = yard.bucket.objects["ns/s/HEAD"]
    yard.pod.sync()
    yard.bucket.objects["ns/s/HEAD"] = head
    for _ in range(4):
        yard.clock.seconds += 10 * DAY
        yard.collect()
    assert len(yard.keys("manifests/")) == 2
    assert f"blobs/{hashlib.sha256(BIG).hexdigest()}" in yard.keys("")


def test_an_object_that_is_stored_anew_after_the_mark_stays(yard):
    yard.commit("a", BIG)
    yard.commit("a", BIG[1:])
    yard.clock.seconds += DAY
    yard.collect()
    yard.clock.seconds += DAY
    old = f"blobs/{hashlib.sha256(BIG).hexdigest()}"
    yard.put(old, BIG)
    assert old not in {each.key for each in yard.collect().deleted}


def test_a_session_without_a_commit_loses_only_what_is_old(yard):
    yard.put(f"blobs/{hashlib.sha256(b'1').hexdigest()}", b"1")
    for _ in range(3):
        yard.clock.seconds += DAY
        yard.collect()
    assert yard.keys("blobs/") == []
    assert yard.keys("HEAD") == ["HEAD"]


def test_a_collection_that_is_too_slow_after_its_notice_deletes_nothing(yard):
    yard.commit("a", BIG)
    yard.commit("a", BIG[1:])
    yard.clock.seconds += DAY
    yard.collect()
    yard.clock.seconds += DAY

    def slow(request):
        if request.method == "get" and any("/sweep/" in key for key in yard.bucket.objects):
            yard.clock.seconds += 100

    yard.bucket.fault = slow
    assert yard.collect().deleted == ()
    yard.bucket.fault = lambda _request: None
    yard.clock.seconds += DAY
    assert len(yard.collect().deleted) == 2


@pytest.mark.parametrize("text", ["", "1", "h", "-1h", "1.5h", "1w", "²h"])
def test_a_length_of_time_is_a_number_and_a_unit(text):
    with pytest.raises(SettingsError, match="24h"):
        parse_duration(text)


def test_lengths_of_time():
    assert [parse_duration(text) for text in ("90s", "15m", "24h", "7d")] == [90, 900, DAY, 7 * DAY]
