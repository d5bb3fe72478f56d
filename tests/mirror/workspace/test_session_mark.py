"""The mark is read whole and as it is now, or the reason is named."""

import errno
import os

import pytest

from reconcile.mirror.errors import WorkspaceError
from reconcile.mirror.snapshot.keys import MAX_PACKED_FILE
from reconcile.mirror.workspace import session_mark
from reconcile.mirror.workspace.dirfd import DirectoryHandles
from reconcile.mirror.workspace.excludes import Excludes
from reconcile.mirror.workspace.session_mark import (
    MARK,
    SESSION_DIR,
    SESSION_PART,
    WORK_PART,
    read_mark,
)
from reconcile.mirror.workspace.walk import WHOLE, walk


def read(root):
    with DirectoryHandles(root) as directories:
        return read_mark(directories)


@pytest.fixture
def mark(tmp_path):
    path = tmp_path / MARK
    path.parent.mkdir()
    path.write_bytes(b"{}")
    return path


def test_the_mark_and_its_directory_are_read(tmp_path, mark):
    found = read(tmp_path)
    assert found.data == b"{}"
    assert (found.file.path, found.file.inode) == (MARK, mark.stat().st_ino)
    assert (found.directory.path, found.directory.inode) == (SESSION_DIR, mark.parent.stat().st_ino)


@pytest.mark.parametrize("kind", ["nothing", "link", "pipe", "directory", "giant", "no directory"])
def test_what_is_no_small_file_is_no_mark(tmp_path, mark, kind):
    mark.unlink()
    match kind:
        case "link":
            (tmp_path / "target").write_bytes(b"{}")
            mark.symlink_to("../target")
        case "pipe":
            os.mkfifo(mark)
        case "directory":
            mark.mkdir()
        case "giant":
            mark.touch()
            os.truncate(mark, MAX_PACKED_FILE + 1)
        case "no directory":
            mark.parent.rmdir()
            mark.parent.symlink_to(tmp_path)
    assert read(tmp_path) is None


@pytest.mark.usefixtures("mark")
@pytest.mark.parametrize("function", ["open", "pread"])
def test_a_mark_that_cannot_be_read_is_named_with_the_reason(tmp_path, monkeypatch, function):
    def refuse(*_arguments, **_words):
        raise PermissionError(errno.EACCES, "Permission denied")

    with DirectoryHandles(tmp_path) as directories:
        directories.open(SESSION_DIR)
        monkeypatch.setattr(directories, "close_cached", lambda: None)
        monkeypatch.setattr(session_mark.os, function, refuse)
        with pytest.raises(WorkspaceError, match=r"prompt\.json cannot be read: Permission denied"):
            read_mark(directories)
        monkeypatch.undo()


@pytest.mark.usefixtures("mark")
def test_a_mark_that_a_network_file_system_has_replaced_is_opened_again(tmp_path, monkeypatch):
    real, calls = os.open, []

    def open_stale(path, *arguments, **words):
        calls.append(path)
        if calls.count("prompt.json") == 1 and path == "prompt.json":
            raise OSError(errno.ESTALE, "Stale file handle")
        return real(path, *arguments, **words)

    monkeypatch.setattr(session_mark.os, "open", open_stale)
    found = read(tmp_path)
    assert found.data == b"{}"
    assert calls.count("prompt.json") == 2


def test_a_mark_that_is_replaced_while_it_is_read_is_what_it_was_when_it_was_opened(
    tmp_path, mark, monkeypatch
):
    real = session_mark.time_until_settled

    def replace(*arguments):
        fresh = mark.with_name("fresh")
        fresh.write_bytes(b"newer")
        fresh.rename(mark)
        return real(*arguments)

    monkeypatch.setattr(session_mark, "time_until_settled", replace)
    assert read(tmp_path).data == b"{}"


def test_both_parts_of_a_walk_are_the_whole(tmp_path, mark):
    mark.with_name("events.jsonl").touch()
    (tmp_path / "work/.session").mkdir(parents=True)
    whole, work, session = (
        [entry.path for entry in walk(tmp_path, Excludes(()), part=part)[0]]
        for part in (WHOLE, WORK_PART, SESSION_PART)
    )
    assert session == [SESSION_DIR, f"{SESSION_DIR}/events.jsonl", MARK]
    assert work == ["work", "work/.session"]
    assert whole == sorted([*work, *session])


def test_a_directory_that_is_not_there_is_no_part(tmp_path):
    assert walk(tmp_path, Excludes(()), part=SESSION_PART)[0] == []
