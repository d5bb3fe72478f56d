"""A restore into a volume that holds files: those of an earlier attempt, and foreign ones."""

import errno
import os
from pathlib import Path

import pytest

from reconcile.mirror.errors import WorkspaceError
from reconcile.mirror.workspace import restorer
from reconcile.mirror.workspace.restorer import Restorer, VolumeOwner
from reconcile.mirror.workspace.writer import STAGING_DIR
from tests.mirror.compare_trees import differences
from tests.mirror.workspace.snapshots import put, take, write


@pytest.mark.parametrize("stage", range(4))
def test_an_interrupted_attempt_is_completed(before: Path, after: Path, stage: int, monkeypatch):
    memory = take(before)
    first = Restorer(after, memory.entries)
    first.begin()
    if stage > 0:
        write(memory, first, first.files[: len(first.files) // 2])
    if stage > 1:
        write(memory, first, first.files[len(first.files) // 2 :])
        monkeypatch.setattr(
            restorer, "create_link" if stage == 2 else "apply_final_metadata", _fail
        )
        with pytest.raises(WorkspaceError):
            first.finish()
    first.close()
    monkeypatch.undo()
    second = put(memory, after)
    assert differences(before, after) == []
    assert (after / STAGING_DIR).exists() is False
    if stage > 1:
        assert second.files == []


def _fail(*_arguments: object) -> None:
    raise OSError(errno.EIO, "the plug was pulled")


def test_only_missing_files_are_requested_again(before: Path, after: Path):
    memory = take(before)
    put(memory, after)
    (after / "folder-001/file-00.txt").unlink()
    (after / "odd/linked/dangling").unlink()
    (after / "odd/linked/three").unlink()
    assert [entry.path for entry in put(memory, after).files] == ["folder-001/file-00.txt"]
    assert differences(before, after) == []


def test_wrong_modes_and_times_of_a_leftover_are_corrected(before: Path, after: Path):
    memory = take(before)
    put(memory, after)
    (after / "folder-001/file-00.txt").chmod(0o777)
    os.utime(after / "folder-001/file-00.txt", ns=(1, 1))
    (after / "folder-001").chmod(0o700)
    put(memory, after)
    assert differences(before, after) == []


SPOILT = {
    "folder-001/file-00.txt": lambda path: path.write_bytes(b"x" * 4096),
    "folder-002/file-00.txt": lambda path: path.write_bytes(b"short"),
    "folder-003": lambda path: (path / "file-00.txt").unlink() or path.rmdir() or path.touch(),
    "folder-004/file-00.txt": lambda path: path.unlink() or path.mkdir() or (path / "x").touch(),
    "folder-005/file-00.txt": lambda path: path.unlink() or path.symlink_to("/etc/passwd"),
    "odd/linked/dangling": lambda path: path.unlink() or path.symlink_to("elsewhere"),
    "odd/linked/up": lambda path: path.unlink() or path.write_text("no link"),
    "odd/linked/three": lambda path: path.unlink() or path.write_bytes(b"one of three names\n"),
    "foreign": lambda path: path.touch(),
    "folder-006/foreign/deeper": lambda path: path.mkdir(parents=True) or os.mkfifo(path / "fifo"),
    "fifo": os.mkfifo,
    "folder-007": lambda path: (path.rename(path.with_name("m")), path.symlink_to("m")),
}


@pytest.mark.parametrize("path", SPOILT)
def test_own_leftovers_are_replaced_and_foreign_files_are_kept(
    before: Path, after: Path, path: str
):
    memory = take(before)
    put(memory, after)
    SPOILT[path](after / path)
    spoilt = differences(before, after)
    with pytest.raises(WorkspaceError, match="they may be newer work") as caught:
        put(memory, after)
    assert "reconcile-mirror import" in str(caught.value)
    assert path.partition("/")[0] in str(caught.value)
    assert differences(before, after) == spoilt
    put(memory, after, VolumeOwner.OURS)
    assert differences(before, after) == []


def test_two_files_that_share_an_inode_are_separated(before: Path, after: Path):
    (before / "a").write_bytes(b"same")
    (before / "b").write_bytes(b"same")
    memory = take(before)
    put(memory, after)
    (after / "b").unlink()
    (after / "b").hardlink_to(after / "a")
    put(memory, after, VolumeOwner.OURS)
    assert (after / "a").stat().st_ino != (after / "b").stat().st_ino
    assert differences(before, after) == []


def test_foreign_links_in_the_volume_are_never_followed(before: Path, after: Path, tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("precious")
    (after / STAGING_DIR).symlink_to(outside)
    (after / "odd").symlink_to(outside)
    (after / "folder-001").mkdir()
    (after / "folder-001/file-00.txt").symlink_to(outside / "precious")
    put(take(before), after, VolumeOwner.OURS)
    assert differences(before, after) == []
    assert [path.name for path in outside.iterdir()] == ["precious"]
    assert (outside / "precious").read_text() == "precious"
