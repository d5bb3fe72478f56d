"""An agent that makes more than any store or disk holds: bounded, reported; the rest goes on."""

import os

import pytest

from reconcile.mirror.backup.syncer import NoChanges
from reconcile.mirror.exit_codes import MirrorExitCode
from reconcile.mirror.workspace import survey
from tests.mirror.compare_trees import differences
from tests.mirror.faults.damage import goes_on, names_in, restored
from tests.mirror.faults.small_disks import disk, fill, grow, with_disks
from tests.mirror.mirror_pod import MirrorPod


@pytest.mark.parametrize(
    ("size", "taken"), [(1 << 38, True), ((1 << 63) - 1, False)], ids=["256 GiB", "all there is"]
)
def test_a_huge_sparse_file_costs_no_bytes_and_displaces_nothing(tmp_path, memory, size, taken):
    def check():
        for name in ("one", "later"):
            disk(tmp_path / name, "12m")
        pod = MirrorPod(tmp_path, "one", memory)
        pod.hydrate()
        os.truncate(pod.write("huge"), size)
        pod.write("small", b"s")
        done = pod.sync()
        assert done.sent_bytes <= (16 << 20) + 10_000
        assert done.scan.skipped.total == (not taken)
        later = restored(pod).root
        assert (later / "small").read_bytes() == b"s"
        assert (later / "huge").exists() == taken
        if taken:
            assert (later / "huge").stat().st_size == size

    with_disks(check)


def test_a_file_that_becomes_too_large_keeps_its_last_version(tmp_path, memory):
    def check():
        disk(tmp_path / "one", "1m")
        pod = MirrorPod(tmp_path, "one", memory)
        pod.hydrate()
        path = pod.write("grows", b"as it was")
        pod.sync()
        os.truncate(path, 1 << 50)
        goes_on(pod)
        assert (tmp_path / "later/workspace/grows").read_bytes() == b"as it was"

    with_disks(check)


def test_many_huge_files_end_at_a_limit(monkeypatch, pod):
    monkeypatch.setattr(survey, "MAX_CHUNKS", 10)
    for number in range(8):
        os.truncate(pod.write(f"f{number}"), (number + 1) * 16 << 20)
    done = pod.sync()
    assert done.scan.skipped.too_large == 6
    assert names_in(restored(pod).root) == {"f0", "f1"}


def test_the_ends_of_holes_are_where_they_were(pod, successor):
    path = pod.write("sparse")
    with path.open("r+b") as file:
        for at in (0, (8 << 20) - 1, 24 << 20, (40 << 20) + 5000):
            file.seek(at)
            file.write(b"data")
        file.truncate(56 << 20)
    pod.sync()
    successor.hydrate()
    assert (successor.root / "sparse").read_bytes() == path.read_bytes()
    assert (successor.root / "sparse").stat().st_blocks <= 33 << 11


def test_impossible_times_stop_nothing_else(tmp_path, memory):
    def check():
        disk(tmp_path / "one", "1m")
        pod = MirrorPod(tmp_path, "one", memory)
        pod.hydrate()
        for number, seconds in enumerate((-(1 << 62), -1, 0, 1 << 40, 1 << 62)):
            os.utime(pod.write(f"f{number}", b"x"), (seconds, seconds))
        goes_on(pod)

    with_disks(check)


def test_a_path_that_is_too_long_stops_nothing_else(pod):
    here = os.open(pod.root, os.O_RDONLY)
    for _ in range(30):
        os.mkdir("d" * 250, dir_fd=here)
        deeper = os.open("d" * 250, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    goes_on(pod)


def test_a_deep_tree_and_many_names_of_one_file_are_restored(pod, successor):
    deep = pod.root
    for _ in range(800):
        deep = deep / "d"
        deep.mkdir()
    pod.write("one", b"1")
    for number in range(2000):
        os.link(pod.root / "one", pod.root / f"name{number}")
    pod.sync()
    successor.hydrate()
    assert successor.root.joinpath(*["d"] * 800).is_dir()
    assert (successor.root / "one").stat().st_nlink == 2001


def test_a_full_state_directory_stops_no_commit(tmp_path, memory):
    def check():
        disk(tmp_path / "one/state", "64k")
        pod = MirrorPod(tmp_path, "one", memory)
        pod.hydrate()
        filler = fill(pod.state.path)
        for number in range(300):
            pod.write(f"f{number:0200}", b"%d" % number)
        syncer = pod.syncer()
        assert syncer.run(pod.pass_options()).is_committed
        assert isinstance(syncer.run(pod.pass_options()), NoChanges)
        filler.unlink()
        pod.write("more", b"m")
        assert pod.sync().is_committed
        assert differences(pod.root, restored(pod).root) == []

    with_disks(check)


def test_a_full_volume_ends_hydrate_with_its_reason_and_a_larger_one_succeeds(session):
    pod = session.pod("one")
    pod.hydrate()
    pod.write("large", os.urandom(3 << 20))
    for number in range(40):
        pod.write(f"f{number}", os.urandom(10_000))
    pod.sync()
    small = session.pod("small")

    def check():
        disk(small.root, "1m")
        full = session.run("hydrate", small)
        assert full.code == MirrorExitCode.WORKSPACE
        assert "the volume is full" in full.said
        assert session.run("sync", small, "--once").code == MirrorExitCode.WORKSPACE
        grow(small.root, "64m")
        assert session.run("hydrate", small).code == MirrorExitCode.OK
        assert differences(pod.root, small.root) == []

    with_disks(check)


def test_many_small_files_in_one_directory_are_one_pass(pod):
    folder = pod.root / "many"
    folder.mkdir()
    descriptor = os.open(folder, os.O_RDONLY)
    for number in range(30_000):
        os.close(os.open(f"{number}", os.O_CREAT, dir_fd=descriptor))
    os.close(descriptor)
    done = pod.sync()
    assert len(done.scan.file_stats) == 30_001
    goes_on(pod)
