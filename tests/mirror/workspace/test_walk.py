"""The walk lists what exists, enters no link, and continues after errors."""

import os
import socket
import stat
from pathlib import Path

import pytest

from reconcile.mirror.errors import WorkspaceError
from reconcile.mirror.workspace import walk as walking
from reconcile.mirror.workspace.excludes import DEFAULT_EXCLUDES, Excludes
from reconcile.mirror.workspace.walk import TooManyEntriesError, WalkCancelledError, walk
from tests.mirror.workspace.unprivileged import as_nobody, open_folder

NOTHING = Excludes(())


class Swapping(Excludes):
    """Excludes nothing; changes the tree once, at the given path."""

    def __init__(self, at: str, change) -> None:
        super().__init__(())
        self._at = at
        self._change = change

    def is_excluded(self, path: str, name: str, *, directory: bool) -> bool:
        if path == self._at:
            self._change()
            self._at = ""
        return super().is_excluded(path, name, directory=directory)


def paths(root: Path, excludes: Excludes = NOTHING, **options) -> list[str]:
    return [entry.path for entry in walk(root, excludes, **options)[0]]


def test_entries_are_in_the_order_of_paths_with_lstat_data(tmp_path: Path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b/x").write_bytes(b"12345")
    (tmp_path / "b-a").symlink_to("b")
    (tmp_path / "a").touch()
    seen, skipped = walk(tmp_path, NOTHING)
    assert [entry.path for entry in seen] == ["a", "b", "b-a", "b/x"]
    status = (tmp_path / "b/x").lstat()
    found = seen[-1]
    assert (found.size, found.mtime, found.ctime) == (5, status.st_mtime_ns, status.st_ctime_ns)
    assert (found.inode, found.device, found.links) == (status.st_ino, status.st_dev, 1)
    assert stat.S_ISLNK(seen[2].mode)
    assert skipped == walking.SkippedEntries()


def test_a_descriptor_of_the_root_works_and_stays_open(tmp_path: Path):
    (tmp_path / "a").touch()
    root = os.open(tmp_path, os.O_RDONLY)
    try:
        assert [entry.path for entry in walk(root, NOTHING)[0]] == ["a"]
        assert os.fstat(root).st_ino == tmp_path.stat().st_ino
    finally:
        os.close(root)


def test_no_link_is_entered_wherever_it_leads(tmp_path: Path):
    outside, inside = tmp_path / "mirror-state", tmp_path / "workspace"
    outside.mkdir()
    inside.mkdir()
    (outside / "credentials").write_text("secret")
    (inside / "state").symlink_to(outside)
    (inside / "key").symlink_to(outside / "credentials")
    (inside / "self").symlink_to(".")
    (inside / "process").symlink_to("/proc/self")
    assert paths(inside) == ["key", "process", "self", "state"]


def test_a_directory_swapped_for_a_link_before_it_is_entered_is_not_entered(tmp_path: Path):
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    (outside / "secret").touch()
    (inside / "a/b").mkdir(parents=True)
    (inside / "a/b/mine").touch()
    (inside / "z").touch()

    def swap() -> None:
        (inside / "a/b").rename(tmp_path / "gone")
        (inside / "a/b").symlink_to(outside)

    seen, skipped = walk(inside, NOTHING, is_cancelled=_once_at(3, swap))
    assert [entry.path for entry in seen] == ["a", "a/b", "z"]
    assert (skipped.vanished, skipped.unknown) == (1, ["a/b"])


def _once_at(call: int, change):
    """Return an `is_cancelled` that never cancels, but changes the tree at the nth call."""
    calls = iter(range(1, 1000))

    def stop() -> bool:
        if next(calls) == call:
            change()
        return False

    return stop


def test_a_parent_swapped_for_a_link_is_not_entered(tmp_path: Path):
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    (outside / "b").mkdir(parents=True)
    (outside / "b/secret").touch()
    (inside / "a/b").mkdir(parents=True)
    swap = Swapping(
        "a", lambda: ((inside / "a").rename(tmp_path / "gone"), (inside / "a").symlink_to(outside))
    )
    seen, _ = walk(inside, swap)
    assert [entry.path for entry in seen] == ["a"]


def test_an_entry_removed_during_listing_is_not_an_error(tmp_path: Path):
    (tmp_path / "a").touch()
    (tmp_path / "b").touch()
    seen, skipped = walk(tmp_path, Swapping("b", (tmp_path / "b").unlink))
    assert [entry.path for entry in seen] == ["a"]
    assert skipped.vanished == 1


def test_sockets_fifos_and_devices_are_counted_and_skipped(tmp_path: Path):
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        folder = os.open(tmp_path, os.O_RDONLY)
        server.bind(f"/proc/self/fd/{folder}/socket")
        os.close(folder)
        (tmp_path / "file").touch()
        seen, skipped = walk(tmp_path, NOTHING)
    assert [entry.path for entry in seen] == ["file"]
    assert skipped.sockets == 2
    assert sorted(skipped.examples["sockets"]) == ["fifo", "socket"]


def test_devices_are_counted_separately():
    seen, skipped = walk(Path("/dev"), NOTHING)
    assert skipped.devices > 0
    assert "null" not in [entry.path for entry in seen]


def test_a_mount_is_not_entered():
    if not os.path.ismount("/dev/shm"):
        pytest.fail("this machine has no /dev/shm on another device than /dev")
    seen, skipped = walk(Path("/dev"), NOTHING)
    assert skipped.mounts > 0
    assert not [entry.path for entry in seen if entry.path.startswith("shm")]


def test_an_unreadable_directory_is_counted_and_the_walk_continues():
    with open_folder() as folder:

        def check() -> None:
            (folder / "closed").mkdir()
            (folder / "closed/inside").touch()
            (folder / "listed").mkdir()
            (folder / "listed/inside").touch()
            (folder / "z").touch()
            (folder / "closed").chmod(0)
            (folder / "listed").chmod(0o400)
            seen, skipped = walk(folder, NOTHING)
            assert [entry.path for entry in seen] == ["closed", "listed", "z"]
            assert skipped.unreadable == 2
            assert sorted(skipped.unknown) == ["closed", "listed/inside"]

        as_nobody(check)


def test_an_unreadable_root_is_an_error(tmp_path: Path):
    (tmp_path / "link").symlink_to("/")
    for name in ("missing", "link"):
        with pytest.raises(WorkspaceError, match="the workspace cannot be read"):
            walk(tmp_path / name, NOTHING)


def test_names_of_any_bytes_are_listed(tmp_path: Path):
    names = [b"\xff\xfe", b"new\nline", b"x" * 255, b"-rf", b"%0A", "é".encode()]
    for name in names:
        (tmp_path / os.fsdecode(name)).touch()
    assert sorted(map(os.fsencode, paths(tmp_path))) == sorted(names)


def test_hard_links_share_device_inode_and_link_count(tmp_path: Path):
    (tmp_path / "b").touch()
    (tmp_path / "c").hardlink_to(tmp_path / "b")
    (tmp_path / "a").hardlink_to(tmp_path / "b")
    (tmp_path / "d").touch()
    a, b, c, d = walk(tmp_path, NOTHING)[0]
    assert len({(one.device, one.inode) for one in (a, b, c)}) == 1
    assert (a.links, b.links, c.links, d.links) == (3, 3, 3, 1)
    assert d.inode != a.inode


def test_the_walk_is_cancelled(tmp_path: Path):
    (tmp_path / "a/b").mkdir(parents=True)
    with pytest.raises(WalkCancelledError):
        walk(tmp_path, NOTHING, is_cancelled=lambda: True)


def test_a_walk_over_its_limit_has_no_result(tmp_path: Path):
    for number in range(5):
        (tmp_path / f"{number}").touch()
    assert len(walk(tmp_path, NOTHING, max_weight=5)[0]) == 5
    with pytest.raises(TooManyEntriesError):
        walk(tmp_path, NOTHING, max_weight=4)


def test_a_large_directory_is_listed_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(walking, "LARGE_DIRECTORY", 10)
    (tmp_path / "crowd").mkdir()
    for number in range(35):
        (tmp_path / f"crowd/{number:02}").touch()
    assert paths(tmp_path) == ["crowd", *(f"crowd/{number:02}" for number in range(35))]


def test_a_directory_with_too_long_a_path_is_counted_not_entered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(walking, "MAX_PATH", 10)
    (tmp_path / "four/four/four/four").mkdir(parents=True)
    seen, skipped = walk(tmp_path, NOTHING)
    assert [entry.path for entry in seen] == ["four", "four/four", "four/four/four"]
    assert (skipped.too_deep, skipped.unknown) == (1, ["four/four/four"])


def test_packed_refs_and_objects_are_listed_after_the_refs(tmp_path: Path):
    git = tmp_path / "repo/.git"
    for folder in ("objects/aa", "refs/heads", "worktrees/w"):
        (git / folder).mkdir(parents=True)
    (git / "HEAD").touch()
    (git / "packed-refs").touch()
    (git / "refs/heads/main").touch()

    def commit_and_pack() -> None:
        (git / "objects/aa/new").touch()
        (git / "refs/heads/main").unlink()
        (git / "packed-refs").write_text("main")

    seen, _ = walk(tmp_path, Swapping("repo/.git/refs/heads/main", commit_and_pack))
    found = {entry.path: entry for entry in seen}
    assert "repo/.git/objects/aa/new" in found
    assert "repo/.git/refs/heads/main" not in found
    assert found["repo/.git/packed-refs"].size == 4


def test_excluded_directories_are_not_entered(tmp_path: Path):
    (tmp_path / "a/__pycache__/deep").mkdir(parents=True)
    (tmp_path / "a/keep").touch()
    seen, skipped = walk(tmp_path, Excludes(DEFAULT_EXCLUDES))
    assert [entry.path for entry in seen] == ["a", "a/keep"]
    assert (skipped.excluded, skipped.examples["excluded"]) == (1, ["a/__pycache__"])
