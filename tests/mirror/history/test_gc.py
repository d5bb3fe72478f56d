"""Garbage collection on a store in memory; tests move its clock."""

import hashlib

import pytest

from reconcile.mirror.errors import SettingsError
from reconcile.mirror.history.gc import GcPolicy, preview_gc
from reconcile.mirror.history.generations import read_generation_index
from reconcile.mirror.snapshot.retention import RetentionPolicy
from reconcile.mirror.units import parse_duration
from tests.mirror.history.gc_world import BIG, DAY, HOUR


def test_unneeded_objects_are_deleted_a_grace_period_after_the_mark(world):
    world.commit("a", BIG)
    world.commit("a", BIG[1:])
    old = f"blobs/{hashlib.sha256(BIG).hexdigest()}"
    assert old in world.keys("")
    world.clock.seconds += DAY
    assert world.collect().deleted == ()
    world.clock.seconds += HOUR
    assert world.collect().deleted == ()
    world.clock.seconds += DAY
    assert old in {each.key for each in world.collect().deleted}
    assert old not in world.keys("")
    assert world.verify().damaged == ()
    assert len(world.keys("manifests/")) == 1


def test_a_kept_generation_stays_complete_when_later_ones_are_deleted(world):
    for number in range(1, 9):
        world.commit(f"{number}", str(number).encode() * 50)
        world.clock.seconds += DAY
    for _ in range(4):
        world.collect(last=1, daily=8)
        world.clock.seconds += DAY
    assert list(read_generation_index(world.store).generations()) == list(range(8, 0, -1))
    for _ in range(4):
        world.collect(last=2)
        world.clock.seconds += DAY
    left = list(read_generation_index(world.store).generations())
    assert left[:2] == [8, 7]
    assert len(left) < 8, "only the manifests of kept chains stay"
    assert world.verify().damaged == ()


def test_generations_before_a_gap_are_remembered(world):
    for number in range(6):
        world.commit("a", str(number).encode())
        world.clock.seconds += 10 if number else DAY
    for _ in range(4):
        assert world.collect(last=1, daily=5).kept == (6, 1)
        world.clock.seconds += DAY
    assert len(world.keys("manifests/")) == 2
    assert list(read_generation_index(world.store).generations()) == [6, 1]
    assert len(world.keys("gc/")) == 1


def test_a_preview_writes_nothing(world):
    world.commit("a", BIG)
    world.commit("a", BIG[1:])
    world.clock.seconds += DAY
    before = dict(world.bucket.objects)
    found = preview_gc(world.store, GcPolicy(RetentionPolicy(1, 0, 0), 2 * HOUR), world.clock)
    assert found.kept == (2,)
    assert found.expired == (1,)
    assert found.deleted == ()
    assert len(found.unneeded) == 2
    assert world.bucket.objects == before


def test_old_records_intents_and_probes_are_deleted(world):
    world.commit("a", BIG)
    world.commit("a", BIG[1:])
    for _ in range(20):
        world.clock.seconds += DAY
        world.collect()
    assert len(world.keys("gc/")) <= 1
    assert world.keys("sweep/") == []
    assert world.keys("probe/") == []


def test_an_old_scratch_object_of_a_pod_is_deleted(world):
    world.put("probe/left-behind", b"x")
    world.clock.seconds += DAY
    world.collect()
    assert world.keys("probe/") == []


def test_foreign_objects_are_never_touched(world):
    world.commit("a")
    for key in ("blobs/readme.txt", "packs/x.tar", "notes/today", "README"):
        world.put(key, b"theirs")
    for _ in range(4):
        world.clock.seconds += 10 * DAY
        world.collect()
    assert {"blobs/readme.txt", "packs/x.tar", "notes/today", "README"} <= set(world.keys(""))


def test_a_manifest_after_head_is_kept_however_old_it_is(world):
    world.commit("a")
    world.pod.write("b", BIG)
    head = world.bucket.objects["ns/s/HEAD"]
    world.pod.sync()
    world.bucket.objects["ns/s/HEAD"] = head
    for _ in range(4):
        world.clock.seconds += 10 * DAY
        world.collect()
    assert len(world.keys("manifests/")) == 2
    assert f"blobs/{hashlib.sha256(BIG).hexdigest()}" in world.keys("")


def test_an_object_stored_again_after_the_mark_is_kept(world):
    world.commit("a", BIG)
    world.commit("a", BIG[1:])
    world.clock.seconds += DAY
    world.collect()
    world.clock.seconds += DAY
    old = f"blobs/{hashlib.sha256(BIG).hexdigest()}"
    world.put(old, BIG)
    assert old not in {each.key for each in world.collect().deleted}


def test_a_session_without_a_commit_loses_only_what_is_old(world):
    world.put(f"blobs/{hashlib.sha256(b'1').hexdigest()}", b"1")
    for _ in range(3):
        world.clock.seconds += DAY
        world.collect()
    assert world.keys("blobs/") == []
    assert world.keys("HEAD") == ["HEAD"]


def test_a_collection_too_slow_after_its_intent_deletes_nothing(world):
    world.commit("a", BIG)
    world.commit("a", BIG[1:])
    world.clock.seconds += DAY
    world.collect()
    world.clock.seconds += DAY

    def slow(request):
        if request.method == "get" and any("/sweep/" in key for key in world.bucket.objects):
            world.clock.seconds += 100

    world.bucket.fault = slow
    assert world.collect().deleted == ()
    world.bucket.fault = lambda _request: None
    world.clock.seconds += DAY
    assert len(world.collect().deleted) == 2


@pytest.mark.parametrize("text", ["", "1", "h", "-1h", "1.5h", "1w", "²h"])
def test_a_duration_is_a_number_and_a_unit(text):
    with pytest.raises(SettingsError, match="24h"):
        parse_duration(text)


def test_durations_are_parsed():
    assert [parse_duration(text) for text in ("90s", "15m", "24h", "7d")] == [90, 900, DAY, 7 * DAY]
