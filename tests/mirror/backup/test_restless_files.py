"""Files that never rest, and files whose times do not show a change."""

import mmap
import os
import time

import pytest

from reconcile.mirror.backup import file_archiver, recheck
from reconcile.mirror.backup.recheck import WINDOW, Rechecker
from reconcile.mirror.backup.syncer import NoChanges
from reconcile.mirror.model import File, Partial
from reconcile.mirror.snapshot.encoding import SECOND
from reconcile.mirror.workspace import sqlite
from reconcile.mirror.workspace.walk import FileStat
from tests.clocks import FakeClock
from tests.mirror.mirror_pod import listing


def restored(pod, name):
    return pod.sync().archive.tree_result.tree.entries.get(name)


@pytest.fixture
def log(pod, monkeypatch):
    """A log that grows whenever it is about to be read, and once more while it is."""
    path = pod.write("agent.log", b"line\n")

    def append(*_arguments):
        with path.open("ab") as out:
            out.write(b"line\n")

    for module, name in ((file_archiver, "read_small_file"), (sqlite, "read_growing")):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *words, real=real: (append(), real(*words))[1])
    return path


@pytest.mark.usefixtures("log")
def test_a_log_that_never_rests_is_stored_up_to_a_point(pod, successor):
    assert restored(pod, "agent.log") is None
    done = pod.sync()
    entry = done.archive.tree_result.tree.entries["agent.log"]
    assert isinstance(entry, File)
    assert entry.size >= 10
    assert done.archive.read_files.changing == 1
    assert restored(pod, "agent.log").size > entry.size
    successor.hydrate()
    assert set((successor.root / "agent.log").read_text().splitlines()) == {"line"}


@pytest.mark.usefixtures("log")
def test_a_final_pass_says_that_such_a_log_is_not_whole(pod):
    pod.sync()
    done = pod.sync(final=True)
    assert isinstance(done.generation.completeness, Partial)
    assert done.generation.completeness.files == 1
    assert "agent.log" in done.archive.tree_result.tree.entries


def test_a_file_that_is_overwritten_all_the_time_is_never_torn(pod, monkeypatch):
    path = pod.write("state", b"a" * 100)
    real, turn = sqlite.read_growing, [0]

    def overwrite(*words):
        turn[0] += 1
        path.write_bytes(b"%d" % (turn[0] % 10) * 100)
        return real(*words)

    monkeypatch.setattr(sqlite, "read_growing", overwrite)
    monkeypatch.setattr(
        file_archiver, "read_small_file", lambda _root, seen: file_archiver.FileChanged(seen.path)
    )
    for _ in range(3):
        assert restored(pod, "state") is None


def test_a_restless_file_that_vanishes_fails_no_pass(pod, monkeypatch):
    path = pod.write("state")

    def vanish(_root, seen):
        path.unlink(missing_ok=True)
        return file_archiver.FileChanged(seen.path)

    monkeypatch.setattr(
        file_archiver, "read_small_file", lambda _root, seen: file_archiver.FileChanged(seen.path)
    )
    pod.sync()
    monkeypatch.setattr(file_archiver, "read_small_file", vanish)
    assert pod.sync().archive.read_files.changing == 1


def test_a_write_through_a_mapping_that_was_dirty_before_is_found(pod, successor):
    path = pod.write("store.bin", bytes(8192))
    with path.open("r+b") as opened, mmap.mmap(opened.fileno(), 0) as mapped:
        mapped[0:5] = b"first"
        before = path.stat()
        pod.clock.seconds = time.time()
        pod.sync()
        mapped[0:5] = b"later"
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        syncer = pod.syncer()
        syncer.run(pod.pass_options())
        mapped[0:5] = b"final"
        assert path.stat().st_mtime_ns == before.st_mtime_ns
        assert isinstance(syncer.run(pod.pass_options()), NoChanges)
        pod.clock.seconds += 61
        assert syncer.run(pod.pass_options()).is_committed
        assert isinstance(syncer.run(pod.pass_options()), NoChanges)
    successor.hydrate()
    assert listing(successor.root) == listing(pod.root)


def stat_at(name, mtime, size=1):
    return FileStat(name, 0o100644, size, mtime, mtime, 1, 1, 1)


def test_each_file_is_read_again_once_after_its_window(monkeypatch):
    clock = FakeClock()
    start = clock.time_ns()
    rechecker = Rechecker(clock)
    files = [stat_at(f"f{number}", start + number * SECOND) for number in range(5)]
    assert rechecker.select(files, everything=False) == []
    clock.seconds += 62.5
    assert rechecker.select(files, everything=False) == files[:3]
    assert rechecker.select(files, everything=False) == []
    clock.seconds += 60
    monkeypatch.setattr(recheck, "MAX_BYTES_PER_SCAN", 1)
    assert rechecker.select(files, everything=False) == files[3:4]
    assert rechecker.select(files, everything=False) == files[4:]
    assert rechecker.select(files, everything=False) == []


def test_at_the_end_the_newest_files_are_read_again_once(monkeypatch):
    clock = FakeClock()
    start = clock.time_ns()
    rechecker = Rechecker(clock)
    old = stat_at("old", start - 10 * WINDOW)
    files = [old, stat_at("a", start + 1), stat_at("b", start + 2), stat_at("empty", start, 0)]
    files.append(stat_at("huge", start + 3, 300 << 20))
    monkeypatch.setattr(recheck, "MAX_BYTES_AT_END", 2)
    assert rechecker.select(files, everything=True) == [files[2], files[1]]
    assert rechecker.select(files, everything=True) == []


def test_one_pass_reads_few_files_again():
    small, page = stat_at("small", 1), stat_at("page", 1, 4096)
    huge = stat_at("huge", 1, 17 << 20)
    assert recheck.select_for_one_pass([small, huge, page]) == [page]
    assert recheck.select_for_one_pass([page] * recheck.MAX_FILES_IN_ONE_PASS)
    assert recheck.select_for_one_pass([page] * (recheck.MAX_FILES_IN_ONE_PASS + 1)) == []
    largest = stat_at("largest", 1, recheck.MAX_BYTES_IN_ONE_PASS)
    assert recheck.select_for_one_pass([largest, small]) == [largest]
    assert recheck.select_for_one_pass([largest, page]) == []
