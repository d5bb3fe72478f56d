"""What is mounted below the workspace is found by the kernel's table, whatever its device is."""

import pytest

from reconcile.mirror.workspace import walk
from reconcile.mirror.workspace.walk import find_mount_points, parse_mount_points

TABLE = """\
22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw
80 22 8:1 /volumes/a /work\\040space rw - ext4 /dev/sda1 rw
81 80 8:1 /volumes/b /work\\040space/cache\\134x/deep rw - ext4 /dev/sda1 rw
82 80 0:44 / /work\\040space/token ro - tmpfs tmpfs rw
83 22 0:45 / /work\\040spaces rw - tmpfs tmpfs rw
"""


def test_the_paths_below_the_root_are_found():
    assert parse_mount_points(TABLE, "/work space/") == {"cache\\x/deep", "token"}
    assert parse_mount_points(TABLE, "/") >= {"work space/token", "work spaces"}
    assert parse_mount_points("", "/") == frozenset()


def test_no_table_and_a_closed_directory_mean_no_mounts():
    assert find_mount_points(-1) == frozenset()


@pytest.mark.parametrize("kind", ["directory", "file"])
def test_what_a_mount_hides_was_not_deleted(pod, monkeypatch, kind):
    name = "data/file" if kind == "directory" else "data"
    pod.write(name, b"work")
    pod.sync()
    pod.write(name, b"of another volume")
    pod.write("other")
    monkeypatch.setattr(walk, "find_mount_points", lambda _root: frozenset({"data"}))
    done = pod.sync()
    assert done.scan.skipped.examples["mounts"] == ["data"]
    assert done.archive.tree_result.tree.entries[name].size == 4
    monkeypatch.undo()
    assert pod.sync().archive.tree_result.tree.entries[name].size == 17
