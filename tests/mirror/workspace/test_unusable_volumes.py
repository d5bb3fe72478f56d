"""Errors of a restore name the file and say what to do."""

import errno
import os
import resource
from pathlib import Path

import pytest

from reconcile.mirror.errors import DamagedError, WorkspaceError
from reconcile.mirror.model import Directory, HardLink, Symlink
from reconcile.mirror.workspace import writer
from reconcile.mirror.workspace.excludes import CLONING_DIR, STAGING_DIR
from reconcile.mirror.workspace.restorer import Restorer
from tests.mirror.workspace.snapshot_files import T, file
from tests.mirror.workspace.unprivileged import as_nobody, open_folder

FORGED = [
    [file("../escaped")],
    [file("..")],
    [file(".")],
    [file("")],
    [file("/etc/escaped")],
    [Directory("a", 0o755, T), file("a/../../escaped")],
    [Directory("a", 0o755, T), file("a//b")],
    [file("a\0b")],
    [file("a/b")],
    [Symlink("a", "/etc", T), file("a/b")],
    [file("a"), file("a/b")],
    [HardLink("a", "/etc/passwd")],
    [HardLink("a", "../escaped")],
    [Symlink("a", "/etc/passwd", T), HardLink("b", "a")],
    [Directory(STAGING_DIR, 0o755, T)],
    [file(CLONING_DIR)],
]


@pytest.mark.parametrize("entries", FORGED)
def test_a_forged_snapshot_is_rejected_before_anything_is_written(after: Path, entries):
    with pytest.raises(DamagedError):
        Restorer(after, entries).begin()
    assert list(after.iterdir()) == []
    assert [path.name for path in after.parent.iterdir()] == ["after"]


def test_a_file_of_another_length_is_rejected(after: Path):
    restorer = Restorer(after, [file("a"), file("b")])
    restorer.begin()
    with pytest.raises(DamagedError, match="longer"):
        restorer.write(file("a"), b"too much data")
    restorer.write(file("b"), b"data")
    with pytest.raises(DamagedError, match="1 files were not restored, such as 'a'"):
        restorer.finish()
    restorer.close()


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "the volume is full: make it larger"),
        (errno.EDQUOT, "the volume's quota is used up: raise it"),
        (errno.EACCES, "must run as the runner's user"),
        (errno.EROFS, "the volume is read-only: mount it writable"),
        (errno.ENOTTY, os.strerror(errno.ENOTTY)),
    ],
)
def test_an_error_of_the_volume_names_the_file_and_what_to_do(
    after: Path, monkeypatch, number: int, advice: str
):
    restorer = Restorer(after, [file("a")])
    restorer.begin()

    def refuse(*_arguments: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(writer.os, "pwrite", refuse)
    with pytest.raises(WorkspaceError, match="'a' cannot be restored") as caught:
        restorer.write(file("a"), b"data")
    assert advice in str(caught.value)
    restorer.close()


def test_a_file_size_limit_is_reported(after: Path):
    data = bytes(range(256)) * 4096
    restorer = Restorer(after, [file("a", data)])
    restorer.begin()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
    try:
        with pytest.raises(WorkspaceError, match="larger than the volume or a limit allows"):
            restorer.write(file("a", data), data)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    restorer.close()


def test_a_volume_without_write_permission_is_reported():
    with open_folder() as folder:

        def check() -> None:
            (folder / "volume").mkdir()
            (folder / "volume").chmod(0o555)
            with pytest.raises(WorkspaceError, match="must run as the runner's user"):
                Restorer(folder / "volume", [file("a")]).begin()

        as_nobody(check)


def test_a_missing_or_linked_volume_is_reported(tmp_path: Path):
    with pytest.raises(WorkspaceError, match="does not exist: mount the volume there"):
        Restorer(tmp_path / "missing", []).begin()
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(WorkspaceError):
        Restorer(tmp_path / "link", []).begin()


def test_a_name_that_the_file_system_rejects_is_reported(after: Path):
    restorer = Restorer(after, [file("x" * 256)])
    restorer.begin()
    with pytest.raises(WorkspaceError, match="does not allow names of this length"):
        restorer.write(file("x" * 256), b"data")
    restorer.close()
