"""A file is read exactly as it was seen, or not at all."""

import os
import tempfile
from pathlib import Path

import pytest

from reconcile.mirror.workspace import reader
from reconcile.mirror.workspace.dirfd import DirectoryHandles
from reconcile.mirror.workspace.excludes import Excludes
from reconcile.mirror.workspace.reader import (
    FileChanged,
    FileChangedError,
    FileUnreadable,
    FileUnreadableError,
    ReadContent,
    read_chunks,
    read_growing,
    read_link,
    read_small_file,
    stat_path,
)
from reconcile.mirror.workspace.walk import FileStat, walk
from tests.mirror.workspace.unprivileged import as_nobody, open_folder


def see(root: Path, path: str) -> FileStat:
    return next(entry for entry in walk(root, Excludes(()))[0] if entry.path == path)


def test_a_file_is_read_whole_with_or_without_directories_held_open(tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b").write_bytes(b"content")
    seen = see(tmp_path, "a/b")
    root = os.open(tmp_path, os.O_RDONLY)
    assert read_small_file(root, seen) == ReadContent(b"content")
    os.close(root)
    with DirectoryHandles(tmp_path) as directories:
        assert read_small_file(directories, seen) == ReadContent(b"content")
        assert list(read_chunks(directories, seen, 3)) == [b"con", b"ten", b"t"]


def test_an_empty_file_has_no_chunks(tmp_path: Path):
    (tmp_path / "a").touch()
    with DirectoryHandles(tmp_path) as directories:
        assert read_small_file(directories, see(tmp_path, "a")) == ReadContent(b"")
        assert list(read_chunks(directories, see(tmp_path, "a"))) == []


def _same_size(path: Path) -> None:
    path.write_bytes(b"changed")


def _grown(path: Path) -> None:
    path.write_bytes(b"content and more")


def _shrunk(path: Path) -> None:
    os.truncate(path, 3)


def _replaced(path: Path) -> None:
    path.with_name("other").write_bytes(b"content")
    path.with_name("other").rename(path)


def _gone(path: Path) -> None:
    path.unlink()


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _linked(path: Path) -> None:
    path.with_name("secret").write_bytes(b"content")
    path.unlink()
    path.symlink_to("secret")


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _parent_linked(path: Path) -> None:
    path.parent.rename(path.parent.with_name("moved"))
    path.parent.symlink_to("moved")


CHANGES = [
    _same_size,
    _grown,
    _shrunk,
    _replaced,
    _gone,
    _fifo,
    _linked,
    _folder,
    _parent_linked,
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changed_after_it_was_seen_is_not_read(tmp_path: Path, change):
    path = tmp_path / "folder/file"
    path.parent.mkdir()
    path.write_bytes(b"content")
    with DirectoryHandles(tmp_path) as directories:
        seen = see(tmp_path, "folder/file")
        assert read_small_file(directories, seen) == ReadContent(b"content")
        directories.close_cached()
        change(path)
        assert read_small_file(directories, seen) == FileChanged("folder/file")
        with pytest.raises(FileChangedError):
            list(read_chunks(directories, seen))


@pytest.mark.parametrize("change", [_same_size, _grown, _shrunk])
def test_a_file_that_changes_while_it_is_read_is_not_torn(tmp_path: Path, change):
    path = tmp_path / "file"
    path.write_bytes(b"content")
    with DirectoryHandles(tmp_path) as directories:
        pieces = read_chunks(directories, see(tmp_path, "file"), 2)
        assert next(pieces) == b"co"
        change(path)
        with pytest.raises(FileChangedError):
            list(pieces)


def test_a_small_file_that_changes_while_it_is_read_is_not_torn(tmp_path: Path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"content")
    seen, read = see(tmp_path, "file"), reader._read

    def read_then_write(descriptor: int, size: int) -> bytes:
        data = read(descriptor, size)
        path.write_bytes(b"changed")
        return data

    monkeypatch.setattr(reader, "_read", read_then_write)
    with DirectoryHandles(tmp_path) as directories:
        assert read_small_file(directories, seen) == FileChanged("file")


def test_a_short_read_is_continued(tmp_path: Path, monkeypatch):
    (tmp_path / "file").write_bytes(b"content")
    seen, read = see(tmp_path, "file"), os.read
    monkeypatch.setattr(reader.os, "read", lambda descriptor, size: read(descriptor, min(size, 2)))
    with DirectoryHandles(tmp_path) as directories:
        assert read_small_file(directories, seen) == ReadContent(b"content")


def test_a_growing_file_is_read_up_to_the_seen_size(tmp_path: Path):
    path = tmp_path / "log"
    path.write_bytes(b"first")
    with DirectoryHandles(tmp_path) as directories:
        seen = stat_path(directories, "log")
        with path.open("ab") as file:
            file.write(b" second")
        assert b"".join(read_growing(directories, seen, 2)) == b"first"
        os.truncate(path, 2)
        with pytest.raises(FileChangedError):
            list(read_growing(directories, seen))


def test_a_sparse_file_is_read_with_its_zeros(tmp_path: Path):
    with (tmp_path / "sparse").open("wb") as file:
        file.seek(100_000)
        file.write(b"end")
    with DirectoryHandles(tmp_path) as directories:
        data = read_small_file(directories, see(tmp_path, "sparse"))
    assert data == ReadContent(bytes(100_000) + b"end")


def test_a_link_is_read_and_a_replaced_one_is_detected(tmp_path: Path):
    (tmp_path / "link").symlink_to(os.fsdecode(b"\xff nowhere\n"))
    with DirectoryHandles(tmp_path) as directories:
        seen = see(tmp_path, "link")
        assert read_link(directories, seen) == os.fsdecode(b"\xff nowhere\n")
        (tmp_path / "link").unlink()
        (tmp_path / "link").touch()
        with pytest.raises(FileChangedError):
            read_link(directories, seen)
        (tmp_path / "link").unlink()
        (tmp_path / "link").symlink_to("elsewhere")
        with pytest.raises(FileChangedError):
            read_link(directories, seen)


def test_a_file_without_permission_is_unreadable_with_the_reason():
    with open_folder() as folder:

        def check() -> None:
            (folder / "closed").write_bytes(b"content")
            (folder / "closed").chmod(0)
            seen = see(folder, "closed")
            with DirectoryHandles(folder) as directories:
                assert read_small_file(directories, seen) == FileUnreadable(
                    "closed", "Permission denied"
                )
                with pytest.raises(FileUnreadableError, match="Permission denied"):
                    list(read_chunks(directories, seen))

        as_nobody(check)


def test_a_time_in_whole_seconds_is_waited_for_by_the_caller(tmp_path: Path, monkeypatch):
    (tmp_path / "file").touch()
    seen = see(tmp_path, "file")
    monkeypatch.setattr(reader, "time_until_settled", lambda _ctime, _now: 2_000_000_000)
    with DirectoryHandles(tmp_path) as directories:
        assert read_small_file(directories, seen) == FileChanged("file")


def test_a_stat_of_a_missing_path_is_a_change(tmp_path: Path):
    with DirectoryHandles(tmp_path) as directories, pytest.raises(FileChangedError):
        stat_path(directories, "missing")


def test_directories_beyond_those_held_open_are_opened_again():
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for number in range(9):
            (root / f"{number}/below").mkdir(parents=True)
            (root / f"{number}/below/file").write_text(str(number))
        before = len(list(Path("/proc/self/fd").iterdir()))
        with DirectoryHandles(root, max_open=3) as directories:
            for number in (*range(9), *range(9)):
                seen = see(root, f"{number}/below/file")
                assert read_small_file(directories, seen) == ReadContent(str(number).encode())
            assert len(list(Path("/proc/self/fd").iterdir())) <= before + 4
        assert len(list(Path("/proc/self/fd").iterdir())) == before
