"""The clock is set forward or back: no change is missed, nothing deleted early or called fresh."""

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
def test_no_change_is_missed_when_the_clock_jumps_between_two_passes(world, tmp_path, jump):
    for turn, size in enumerate((10, 10, 10, 3)):
        world.clock.wall_offset += jump if turn % 2 else -jump
        target = world.pod.write("file", bytes([turn]) * size)
        time = NOW + int(world.clock.wall_offset * 1e9)
        os.utime(target, ns=(time, time))
        os.utime(world.pod.write(f"{turn}/new"), ns=(time, time))
        assert world.pod.sync().is_committed
        assert isinstance(world.pod.sync(), NoChanges)
    later = type(world.pod)(tmp_path, "later", world.store, world.clock)
    later.hydrate()
    assert listing(later.root) == listing(world.pod.root)


def test_files_with_future_times_are_stored_once_per_change(world):
    target = world.pod.write("file", b"1")
    os.utime(target, ns=(NOW * 2, NOW * 2))
    assert world.pod.sync().is_committed
    assert isinstance(world.pod.sync(), NoChanges)
    target.write_bytes(b"2")
    os.utime(target, ns=(NOW * 2, NOW * 2))
    assert world.pod.sync().is_committed


@JUMPS
def test_generations_keep_their_order_whatever_their_times_are(world, jump):
    for turn in range(6):
        world.clock.wall_offset = jump if turn == 2 else 0.0
        world.commit("a", b"%d" % turn)
    assert list(read_generation_index(world.store).generations()) == [6, 5, 4, 3, 2, 1]
    assert select_generation(world.store, format_timestamp(world.clock.time_ns())).number == 6
    assert set(world.collect(last=2, hourly=4).kept) >= {6, 5}


@JUMPS
def test_a_jump_of_its_own_clock_makes_garbage_collection_delete_nothing_early(world, jump):
    world.commit("a", BIG)
    world.commit("a", BIG[1:])
    old = f"blobs/{hashlib.sha256(BIG).hexdigest()}"
    world.clock.seconds += DAY
    assert world.collect().deleted == ()
    world.clock.wall_offset = jump
    assert world.collect().deleted == ()
    world.clock.seconds += HOUR
    assert world.collect().deleted == ()
    world.clock.seconds += DAY
    assert old in {each.key for each in world.collect().deleted}
    assert world.verify().damaged == ()


def test_a_collection_suspended_while_the_clock_is_set_back_deletes_nothing(world):
    world.commit("a", BIG)
    world.commit("a", BIG[1:])
    world.clock.seconds += DAY
    world.collect()
    world.clock.seconds += DAY

    def suspend(request):
        if request.method == "put" and "/sweep/" in request.key and request.done:
            world.clock.seconds += 1200
            world.clock.wall_offset -= HOUR

    world.bucket.fault = suspend
    assert world.collect().deleted == ()


@pytest.mark.parametrize("ahead", [HOUR, -HOUR, 0.0])
def test_a_writer_obeys_delete_intents_although_its_clock_was_wrong(world, ahead):
    """Otherwise it would rely on an object that it stored before the delete."""
    world.commit("a", b"first")
    world.clock.wall_offset = ahead
    syncer = world.pod.syncer()
    syncer.run(world.pod.pass_options())
    world.pod.write("b", BIG)
    blob = f"blobs/{hashlib.sha256(BIG).hexdigest()}"

    def correct_clock(request):
        if request.method == "put" and "/blobs/" in request.key:
            world.clock.wall_offset = 0.0

    world.bucket.fault = correct_clock
    world.clock.seconds += 60
    world.put("sweep/1.json", encode_delete_intent(DeleteIntent(0, (blob,))))
    with pytest.raises(BlobBeingDeletedError, match=blob):
        syncer.run(world.pod.pass_options())


def test_old_uploads_are_stored_again_although_the_clock_was_set_back(world):
    syncer = world.pod.syncer()
    world.pod.write("b", BIG)

    def fail(request):
        if request.method == "put" and "/manifests/" in request.key:
            return BlobBeingDeletedError("not now")
        return None

    world.bucket.fault = fail
    with pytest.raises(BlobBeingDeletedError):
        syncer.run(world.pod.pass_options())
    blob = f"blobs/{hashlib.sha256(BIG).hexdigest()}"
    world.store.delete([blob])
    world.bucket.fault = lambda _request: None
    world.clock.seconds += 2 * HOUR
    world.clock.wall_offset -= 3 * HOUR
    assert syncer.run(world.pod.pass_options()).is_committed
    assert blob in world.keys("")


@JUMPS
def test_elapsed_time_never_decreases(jump):
    clock = FakeClock()
    since = Stopwatch(clock)
    clock.seconds += 5
    clock.wall_offset = jump
    assert since.elapsed() == max(5, 5 + jump)


@JUMPS
def test_readiness_does_not_depend_on_clock_changes(pod, jump):
    context = LoopContext(pod.clock, StatusRegistry(), RecordingLogger())
    passes = PassRunner(pod.syncer(), context)
    pod.write("a")
    passes.attempt(pod.pass_options())
    pod.clock.seconds += 5
    pod.write("b")
    passes.scan(pod.pass_options())
    pod.clock.wall_offset = jump
    answers = StatusEndpoints(context.status_registry, pod.clock, 90)
    assert answers.respond("/readyz").status == 200
    assert answers.build_status()["commitAgeSeconds"] == 5
    pod.clock.seconds += 91
    assert answers.respond("/readyz").status == 503
    assert not assess_freshness(context.status_registry.current, pod.clock.steady_ns(), 90).is_fresh
