"""The clock is set, ahead or back: nothing is missed, deleted too early or called fresh."""

import hashlib
import os

import pytest

from reconcile.mirror.backup.syncer import BlobBeingDeletedError, NoChanges
from reconcile.mirror.clock import Stopwatch
from reconcile.mirror.history.generations import read_generation_index, select_generation
from reconcile.mirror.sidecar.http import StatusEndpoints
from reconcile.mirror.sidecar.loop import LoopContext, PassRunner
from reconcile.mirror.sidecar.status import StatusRegistry, assess_freshness
from reconcile.mirror.snapshot.encoding import format_timestamp
from reconcile.mirror.snapshot.gc import DeleteIntent, encode_delete_intent
from tests.clocks import FakeClock
from tests.mirror.history.gc_world import BIG, DAY, HOUR
from tests.mirror.mirror_pod import RecordingLogger, listing

JUMPS = pytest.mark.parametrize("jump", [HOUR, -HOUR, 400 * DAY, -400 * DAY], ids=str)
NOW = 1_800_000_000_000_000_000


@JUMPS
def test_no_change_is_missed_when_the_clock_jumps_between_two_passes(yard, tmp_path, jump):
    for turn, size in enumerate((10, 10, 10, 3)):
        yard.clock.wall_offset += jump if turn % 2 else -jump
        target = yard.pod.write("file", bytes([turn]) * size)
        time = NOW + int(yard.clock.wall_offset * 1e9)
        os.utime(target, ns=(time, time))
        os.utime(yard.pod.write(f"{turn}/new"), ns=(time, time))
        assert yard.pod.sync().is_committed
        assert isinstance(yard.pod.sync(), NoChanges)
    later = type(yard.pod)(tmp_path, "later", yard.store, yard.clock)
    later.hydrate()
    assert listing(later.root) == listing(yard.pod.root)


def test_files_of_the_future_are_stored_once_and_their_changes_too(yard):
    target = yard.pod.write("file", b"1")
    os.utime(target, ns=(NOW * 2, NOW * 2))
    assert yard.pod.sync().is_committed
    assert isinstance(yard.pod.sync(), NoChanges)
    target.write_bytes(b"2")
    os.utime(target, ns=(NOW * 2, NOW * 2))
    assert yard.pod.sync().is_committed


@JUMPS
def test_generations_keep_their_order_whatever_their_times_are(yard, jump):
    for turn in range(6):
        yard.clock.wall_offset = jump if turn == 2 else 0.0
        yard.commit("a", b"%d" % turn)
    assert list(read_generation_index(yard.store).generations()) == [6, 5, 4, 3, 2, 1]
    assert select_generation(yard.store, format_timestamp(yard.clock.time_ns())).number == 6
    assert set(yard.collect(last=2, hourly=4).kept) >= {6, 5}


@JUMPS
def test_a_jump_of_its_own_clock_makes_garbage_collection_delete_nothing_early(yard, jump):
    yard.commit("a", BIG)
    yard.commit("a", BIG[1:])
    old = f"blobs/{hashlib.sha256(BIG).hexdigest()}"
    yard.clock.seconds += DAY
    assert yard.collect().deleted == ()
    yard.clock.wall_offset = jump
    assert yard.collect().deleted == ()
    yard.clock.seconds += HOUR
    assert yard.collect().deleted == ()
    yard.clock.seconds += DAY
    assert old in {each.key for each in yard.collect().deleted}
    assert yard.verify().damaged == ()


def test_a_collection_that_stands_still_while_the_clock_is_set_back_deletes_nothing(yard):
    yard.commit("a", BIG)
    yard.commit("a", BIG[1:])
    yard.clock.seconds += DAY
    yard.collect()
    yard.clock.seconds += DAY

    def stand_still(request):
        if request.method == "put" and "/sweep/" in request.key and request.done:
            yard.clock.seconds += 1200
            yard.clock.wall_offset -= HOUR

    yard.bucket.fault = stand_still
    assert yard.collect().deleted == ()


@pytest.mark.parametrize("ahead", [HOUR, -HOUR, 0.0])
def test_a_writer_heeds_notices_although_its_clock_was_wrong_when_it_began(yard, ahead):
    """Else it would take what is being deleted for stored after that."""
    yard.commit("a", b"first")
    yard.clock.wall_offset = ahead
    syncer = yard.pod.syncer()
    syncer.run(yard.pod.pass_options())
    yard.pod.write("b", BIG)
    blob = f"blobs/{hashlib.sha256(BIG).hexdigest()}"

    def mend(request):
        if request.method == "put" and "/blobs/" in request.key:
            yard.clock.wall_offset = 0.0

    yard.bucket.fault = mend
    yard.clock.seconds += 60
    yard.put("sweep/1.json", encode_delete_intent(DeleteIntent(0, (blob,))))
    with pytest.raises(BlobBeingDeletedError, match=blob):
        syncer.run(yard.pod.pass_options())


def test_what_was_stored_long_ago_is_stored_anew_although_the_clock_was_set_back(yard):
    syncer = yard.pod.syncer()
    yard.pod.write("b", BIG)

    def away(request):
        if request.method == "put" and "/manifests/" in request.key:
            return BlobBeingDeletedError("not now")
        return None

    yard.bucket.fault = away
    with pytest.raises(BlobBeingDeletedError):
        syncer.run(yard.pod.pass_options())
    blob = f"blobs/{hashlib.sha256(BIG).hexdigest()}"
    yard.store.delete([blob])
    yard.bucket.fault = lambda _request: None
    yard.clock.seconds += 2 * HOUR
    yard.clock.wall_offset -= 3 * HOUR
    assert syncer.run(yard.pod.pass_options()).is_committed
    assert blob in yard.keys("")


@JUMPS
def test_time_since_a_moment_never_shrinks(jump):
    clock = FakeClock()
    since = Stopwatch(clock)
    clock.seconds += 5
    clock.wall_offset = jump
    assert since.elapsed() == max(5, 5 + jump)


@JUMPS
def test_nothing_looks_fresh_or_stale_because_the_clock_was_set(pod, jump):
    room = LoopContext(pod.clock, StatusRegistry(), RecordingLogger())
    passes = PassRunner(pod.syncer(), room)
    pod.write("a")
    passes.attempt(pod.pass_options())
    pod.clock.seconds += 5
    pod.write("b")
    passes.scan(pod.pass_options())
    pod.clock.wall_offset = jump
    answers = StatusEndpoints(room.status_registry, pod.clock, 90)
    assert answers.respond("/readyz").status == 200
    assert answers.build_status()["commitAgeSeconds"] == 5
    pod.clock.seconds += 91
    assert answers.respond("/readyz").status == 503
    assert not assess_freshness(room.status_registry.current, pod.clock.steady_ns(), 90).is_fresh
