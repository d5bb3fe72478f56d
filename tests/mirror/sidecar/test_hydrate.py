"""Restores: what a new pod gets, and which error each damage causes."""

import os
import re

import pytest

from reconcile.mirror.backup import file_archiver
from reconcile.mirror.concurrency import WorkerPool
from reconcile.mirror.errors import (
    DamagedError,
    DeniedError,
    FencedError,
    PartialError,
    StoreAwayError,
    StoreError,
    UnknownFormatError,
    WorkspaceError,
)
from reconcile.mirror.history.gc import MIN_GRACE, GcPolicy, preview_gc
from reconcile.mirror.history.generations import read_generation_index, select_generation
from reconcile.mirror.history.verify import verify_generations
from reconcile.mirror.import_export.exporter import export_tar
from reconcile.mirror.import_export.importer import check_replaceable
from reconcile.mirror.local_state import find_hydrate_marker
from reconcile.mirror.model import Partial
from reconcile.mirror.restore.restore import RestoredVolume
from reconcile.mirror.sidecar.hydrate import PartialPolicy, ReusedVolume
from reconcile.mirror.snapshot.retention import RetentionPolicy
from reconcile.mirror.wiring import OpenStore
from reconcile.mirror.workspace.reader import FileChanged
from tests.clocks import FakeClock
from tests.mirror.memory_store import InterruptedStore, requests
from tests.mirror.mirror_pod import listing


@pytest.fixture
def stored(pod):
    """A pod whose workspace is committed."""
    pod.write("a", b"a" * 1000)
    pod.write("dir/large", os.urandom(9 << 20))
    pod.sync()
    return pod


def _key(memory, kind):
    return next(key for key in memory.bucket.objects if key.startswith(kind))


def _replace(memory, kind, old, new):
    key = _key(memory, kind)
    body, written = memory.bucket.objects[key]
    memory.bucket.objects[key] = (body.replace(old, new, 1), written)
    return key


def _damage(memory, kind):
    key = _key(memory, kind)
    body, written = memory.bucket.objects[key]
    middle = len(body) // 2
    flipped = bytes([body[middle] ^ 1])
    memory.bucket.objects[key] = (body[:middle] + flipped + body[middle + 1 :], written)
    return key


def _stored_two_and_deleted_one(pod):
    pod.write("gone", b"once needed" * 100)
    pod.write("kept", b"still needed" * 100)
    pod.sync()
    (pod.root / "gone").unlink()
    pod.sync()


def test_damage_in_an_unused_part_of_a_pack_stops_no_restore(pod, memory, successor):
    _stored_two_and_deleted_one(pod)
    _replace(memory, "packs/", b"once needed", b"once heeded")
    assert isinstance(successor.hydrate(), RestoredVolume)
    assert (successor.root / "kept").read_bytes() == b"still needed" * 100


def test_damage_in_a_pack_names_the_file_that_needs_it(pod, memory, successor):
    _stored_two_and_deleted_one(pod)
    key = _replace(memory, "packs/", b"still needed", b"still heeded")
    with pytest.raises(DamagedError, match=f"{key} was altered.*'kept'"):
        successor.hydrate()


def test_a_new_session_is_empty_and_marked(pod):
    mark = find_hydrate_marker(pod.state)
    assert mark.generation == 0
    assert mark.writer.uid == "uid-one"


def test_a_damaged_mark_is_written_again_where_the_volume_equals_the_snapshot(pod):
    pod.write("a")
    pod.sync()
    pod.state.write(pod.state.marker_path, b"{}")
    assert isinstance(pod.hydrate(), RestoredVolume)
    pod.write("b")
    assert pod.sync().is_committed


def test_a_damaged_mark_costs_no_work_that_is_not_stored(pod):
    pod.write("a")
    pod.sync()
    newer = pod.write("newer", b"not stored yet")
    pod.state.write(pod.state.marker_path, b"{}")
    with pytest.raises(WorkspaceError, match=r"newer.*remove them or mount an empty volume"):
        pod.hydrate()
    assert newer.read_bytes() == b"not stored yet"


def test_only_a_clean_404_means_new(successor, memory, script):
    script.fail("get", DeniedError("403"))
    with pytest.raises(DeniedError):
        successor.hydrate()
    assert find_hydrate_marker(successor.state) is None
    assert "put_if HEAD" not in requests(memory)


@pytest.mark.usefixtures("stored")
def test_the_claim_comes_before_the_restore(successor, memory):
    memory.bucket.requests.clear()
    successor.hydrate()
    asked = requests(memory)
    assert asked[:2] == ["get HEAD", "put_if HEAD"]
    assert set(asked[2:]) == {"get manifests", "get packs", "get blobs"}


def test_what_a_predecessor_commits_before_the_claim_is_restored(stored, successor, memory):
    stored.write("late", b"late")
    successor.store = InterruptedStore(memory, stored.sync)
    successor.hydrate()
    assert (successor.root / "late").read_bytes() == b"late"
    stored.write("later", b"x")
    with pytest.raises(FencedError):
        stored.sync()


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("kind", ["packs/", "blobs/", "manifests/"])
def test_an_altered_object_is_named_and_leaves_no_mark(successor, memory, kind):
    key = _damage(memory, kind)
    with pytest.raises(DamagedError, match=key.rpartition("/")[2]):
        successor.hydrate()
    assert find_hydrate_marker(successor.state) is None


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("kind", ["packs/", "blobs/", "manifests/"])
def test_a_missing_object_is_named(successor, memory, kind):
    key = _key(memory, kind)
    del memory.bucket.objects[key]
    with pytest.raises(DamagedError, match=f"{key}.* is missing"):
        successor.hydrate()


@pytest.mark.usefixtures("stored")
def test_a_newer_format_is_refused_by_name(successor, memory):
    body, written = memory.bucket.objects["HEAD"]
    memory.bucket.objects["HEAD"] = (body.replace(b"mirror/1", b"mirror/9"), written)
    with pytest.raises(UnknownFormatError, match="mirror/9"):
        successor.hydrate()
    assert memory.bucket.objects["HEAD"][0] == body.replace(b"mirror/1", b"mirror/9")


def test_an_attempt_that_failed_is_completed_by_the_next(stored, successor, memory):
    key = _key(memory, "packs/")
    pack = memory.bucket.objects.pop(key)
    with pytest.raises(DamagedError):
        successor.hydrate()
    memory.bucket.objects[key] = pack
    assert isinstance(successor.hydrate(), RestoredVolume)
    assert listing(successor.root) == listing(stored.root)


@pytest.mark.usefixtures("stored")
def test_a_container_that_restarts_keeps_the_workspace(successor):
    successor.hydrate()
    successor.write("a", b"newer than the snapshot")
    old = find_hydrate_marker(successor.state).writer
    assert isinstance(successor.hydrate(), ReusedVolume)
    assert (successor.root / "a").read_bytes() == b"newer than the snapshot"
    assert find_hydrate_marker(successor.state).writer.epoch == old.epoch + 1
    assert successor.sync().generation.number == 2


def test_a_pod_that_was_replaced_does_not_take_the_workspace_back(stored, successor):
    successor.hydrate()
    with pytest.raises(FencedError, match="two"):
        stored.hydrate()


def test_a_start_after_a_claim_without_an_answer_succeeds(stored, script):
    stored.write("newer", b"not stored yet")
    script.lose_after("put_if")
    script.fail("get", StoreAwayError("no answer"))
    script.left.insert(0, ("get", False, lambda: None))
    with pytest.raises(StoreAwayError):
        stored.hydrate()
    assert isinstance(stored.hydrate(), ReusedVolume)
    assert stored.sync().is_committed


def test_a_start_never_claims_over_another_pod_that_comes_in_between(stored, successor, memory):
    stored.store = InterruptedStore(memory, successor.hydrate)
    with pytest.raises(FencedError, match="two"):
        stored.hydrate()
    with pytest.raises(FencedError, match="two"):
        stored.hydrate()
    successor.write("goes on")
    assert successor.sync().is_committed


def test_a_head_that_vanished_is_not_taken_for_a_new_session(stored, successor, memory):
    del memory.bucket.objects["HEAD"]
    before = dict(memory.bucket.objects)
    for pod in (stored, successor):
        with pytest.raises(DamagedError, match=r"HEAD is missing although.*Put HEAD back"):
            pod.hydrate()
    assert memory.bucket.objects == before
    assert find_hydrate_marker(successor.state) is None


@pytest.mark.parametrize("everything", [False, True])
def test_a_head_that_vanished_is_damage_for_every_command(stored, memory, everything):
    del memory.bucket.objects["HEAD"]
    opened = OpenStore(memory, WorkerPool(2, "t"), FakeClock())
    policy = GcPolicy(RetentionPolicy(1, 0, 0), MIN_GRACE)
    stored.write("new")
    for command in (
        lambda: read_generation_index(memory),
        lambda: select_generation(memory, "1" if everything else ""),
        lambda: verify_generations(opened, "", everything=everything),
        lambda: export_tar(memory, "", "-"),
        lambda: preview_gc(memory, policy, opened.clock),
        lambda: check_replaceable(opened, replace=everything),
        stored.sync,
    ):
        with pytest.raises(DamagedError, match="HEAD is missing although"):
            command()
    assert len(memory.bucket.objects) > 2


def test_a_store_that_cannot_be_trusted_leaves_no_mark(successor):
    def refuse():
        raise StoreError("ignores conditions")

    with pytest.raises(StoreError, match="ignores"):
        successor.hydrate(trusted=refuse)
    assert find_hydrate_marker(successor.state) is None


def test_a_partial_generation_is_used_or_refused_by_policy(pod, successor, monkeypatch):
    pod.write("a", b"four")
    with monkeypatch.context() as patched:
        patched.setattr(
            file_archiver, "read_small_file", lambda _root, seen: FileChanged(seen.path)
        )
        pod.sync(final=True)
    with pytest.raises(PartialError, match="1 files with 4 bytes"):
        successor.hydrate(PartialPolicy.REFUSE)
    assert find_hydrate_marker(successor.state) is None
    found = successor.hydrate(PartialPolicy.USE)
    assert found.generation.completeness == Partial(1, 4)


@pytest.mark.parametrize("key", ["HEAD", "manifests/", "packs/", "blobs/"])
@pytest.mark.usefixtures("stored")
def test_an_object_that_is_larger_than_it_may_be_is_damage(successor, memory, key):
    for name, (body, time) in dict(memory.bucket.objects).items():
        if name.startswith(key):
            memory.bucket.objects[name] = (body + bytes(9 << 20), time)
    with pytest.raises(DamagedError, match=key):
        successor.hydrate()
    for command in (lambda: export_tar(memory, "", os.devnull), lambda: verified(memory)):
        with pytest.raises(DamagedError, match=key):
            command()


def verified(store):
    result = verify_generations(
        OpenStore(store, WorkerPool(2, "t"), FakeClock()), "", everything=False
    )
    raise DamagedError(", ".join(each.key for each in result.damaged))


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("size", [b"99999999999", b"1", b"600000000"])
def test_sizes_that_head_claims_are_bounded(successor, memory, size):
    body, time = memory.bucket.objects["HEAD"]
    forged = re.sub(rb'"size":\d+', b'"size":' + size, body)
    memory.bucket.objects["HEAD"] = (forged, time)
    with pytest.raises(DamagedError):
        successor.hydrate()


@pytest.mark.usefixtures("stored")
def test_a_workspace_that_is_a_file_is_named(successor):
    successor.root.rmdir()
    successor.root.write_bytes(b"")
    with pytest.raises(WorkspaceError, match=f"{successor.root} cannot be restored"):
        successor.hydrate()
