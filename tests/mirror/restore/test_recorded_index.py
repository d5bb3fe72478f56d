"""The index of a restore equals the index of a walk of the volume."""

import os
from array import array
from types import SimpleNamespace
from typing import Any

import pytest

from bench.trees import w1, write_hard_names
from reconcile.mirror.errors import WorkspaceError
from reconcile.mirror.index import COLUMN_COUNT, append_row, load_index
from reconcile.mirror.model import Directory, Entry, File, Pack, PackedBlob
from reconcile.mirror.restore.restore import IndexBuilder, RestoredVolume
from reconcile.mirror.restore.tasks import PackTask, TaskResult
from reconcile.mirror.workspace.excludes import Excludes
from reconcile.mirror.workspace.walk import walk
from tests.mirror.memory_store import requests
from tests.mirror.workspace.snapshot_files import T

FIELDS = ("st_size", "st_mtime_ns", "st_ctime_ns", "st_ino", "st_dev", "st_mode", "st_nlink")


@pytest.fixture
def stored(pod):
    """A pod with every kind of entry: links of both kinds, holes, nothing, odd names, its own."""
    w1(pod.root, 60)
    write_hard_names(pod.root / "odd", lambda: T)
    pod.write("at-the-top", b"x")
    pod.write("dir/large", os.urandom(9 << 20))
    pod.write("dir/middle", os.urandom(2 << 20))
    pod.write("dir/empty", b"")
    (pod.root / "dir/sparse").touch()
    os.truncate(pod.root / "dir/sparse", 20 << 20)
    os.link(pod.root / "dir/middle", pod.root / "second-name")
    os.link(pod.root / "at-the-top", pod.root / "dir/third-name")
    (pod.root / "link").symlink_to("dir")
    pod.sync()
    return pod


def _index(pod):
    found = load_index(pod.state)
    assert found is not None
    return found


@pytest.mark.usefixtures("stored")
def test_the_index_of_a_restore_is_what_a_walk_sees(successor):
    assert isinstance(successor.hydrate(), RestoredVolume)
    seen, _ = walk(successor.root, Excludes(()))
    assert len(_index(successor)) == len(seen) > 60
    assert _index(successor).matches(seen)


@pytest.mark.usefixtures("stored")
def test_the_index_of_a_completed_restore_is_what_a_walk_sees(successor):
    (successor.root / "at-the-top").write_bytes(b"x")
    (successor.root / "dir").mkdir()
    successor.hydrate()
    assert _index(successor).matches(walk(successor.root, Excludes(()))[0])


@pytest.mark.usefixtures("stored")
def test_the_first_sync_after_a_restore_makes_no_request(successor, memory):
    successor.hydrate()
    memory.bucket.requests.clear()
    successor.sync()
    assert requests(memory) == []


@pytest.mark.usefixtures("stored")
def test_a_file_that_is_changed_after_the_restore_is_no_longer_what_was_recorded(successor):
    successor.hydrate()
    path = successor.root / "dir/middle"
    status = path.stat()
    path.write_bytes(os.urandom(2 << 20))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert not _index(successor).matches(walk(successor.root, Excludes(()))[0])


def test_inode_numbers_may_have_64_bits():
    row = array("q")
    status: Any = SimpleNamespace(**dict.fromkeys(FIELDS, 5))
    status.st_ino = 2**64 - 1
    append_row(row, status)
    assert len(row) == COLUMN_COUNT
    assert row.tolist() == [5, 5, 5, -1, 5, 5, 5]


def test_an_entry_that_vanishes_before_it_is_read_is_an_error(tmp_path):
    record = IndexBuilder()
    file = File("dir/a", 0o644, 0, 1, ("d" * 64,), PackedBlob(1, 512))
    record.add(
        PackTask(Pack(1, "d" * 64, 1536), (file,)), TaskResult(1, 1, bytes(8 * COLUMN_COUNT))
    )
    entries: dict[str, Entry] = {"dir": Directory("dir", 0o755, 0), "dir/a": file}
    with pytest.raises(WorkspaceError, match="cannot be restored"):
        record.build("", tmp_path, entries)
