"""The folder `.session`, of which the agent may have made anything."""

import os

import pytest

from reconcile.runner.session_dir import SessionDir, SessionDirError


@pytest.fixture
def folder(tmp_path):
    return SessionDir(tmp_path)


@pytest.fixture
def path(tmp_path):
    return tmp_path / ".session"


def test_what_was_written_is_read(folder, path):
    assert folder.read("a") == b""
    folder.write("a", b"one")
    folder.write("a", b"two")
    assert folder.read("a") == b"two"
    assert [each.name for each in path.iterdir()] == ["a"]


def test_a_link_in_place_of_the_folder_is_moved_aside_and_never_followed(folder, path, tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    path.symlink_to(target)
    folder.write("a", b"one")
    assert folder.read("a") == b"one"
    assert not list(target.iterdir())
    assert (tmp_path / ".session.moved-1").is_symlink()


def test_a_file_in_place_of_the_folder_is_moved_aside(folder, path, tmp_path):
    path.write_text("agent's")
    folder.write("a", b"one")
    assert folder.read("a") == b"one"
    assert (tmp_path / ".session.moved-1").read_text() == "agent's"


def test_a_folder_without_rights_gets_them_back(folder, path):
    folder.write("a", b"one")
    path.chmod(0)
    folder.write("a", b"two")
    path.chmod(0o500)
    assert folder.read("a") == b"two"


def test_a_file_without_rights_is_read_and_written(folder, path):
    folder.write("a", b"one")
    (path / "a").chmod(0)
    assert folder.read("a") == b"one"
    (path / "a").chmod(0)
    folder.write("a", b"two")
    assert folder.read("a") == b"two"


@pytest.mark.parametrize("name", ["a", ".a.new"])
def test_a_folder_in_place_of_a_file_is_moved_aside(folder, path, name):
    (path / name / "below").mkdir(parents=True)
    folder.write("a", b"one")
    assert folder.read("a") == b"one"
    assert (path / f"{name}.moved-1/below").is_dir()


def test_a_link_in_place_of_a_file_is_replaced_and_never_followed(folder, path, tmp_path):
    target = tmp_path / "target"
    target.write_text("precious")
    path.mkdir()
    (path / "a").symlink_to(target)
    (path / ".a.new").symlink_to(target)
    assert folder.read("a") == b""
    folder.write("a", b"one")
    assert folder.read("a") == b"one"
    assert target.read_text() == "precious"


def test_a_pipe_in_place_of_a_file_blocks_nothing(folder, path):
    path.mkdir()
    os.mkfifo(path / "a")
    assert folder.read("a") == b""
    folder.append("a", [b"line\n"], 100, 2)
    assert (path / "a").read_bytes() == b"line\n"
    assert (path / "a.moved-1").exists()


def test_appended_lines_are_added_without_following_a_link(folder, path, tmp_path):
    target = tmp_path / "target"
    target.write_text("precious")
    path.mkdir()
    (path / "a.txt").symlink_to(target)
    folder.append("a.txt", [b"one\n"], 100, 2)
    folder.append("a.txt", [b"two\n"], 100, 2)
    assert (path / "a.txt").read_bytes() == b"one\ntwo\n"
    assert target.read_text() == "precious"


def test_a_file_that_may_not_be_written_is_moved_aside(folder, path):
    folder.append("a.txt", [b"one\n"], 100, 2)
    (path / "a.txt").chmod(0o400)
    folder.append("a.txt", [b"two\n"], 100, 2)
    assert (path / "a.txt").read_bytes() == b"two\n"
    assert (path / "a.txt.moved-1").read_bytes() == b"one\n"


def test_a_full_file_gets_a_number_and_the_oldest_is_deleted(folder, path):
    for text in (b"one\n", b"two\n", b"three\n", b"four\n"):
        folder.append("a.txt", [text], 5, 3)
    contents = {each.name: each.read_bytes() for each in path.iterdir()}
    assert contents == {"a.txt": b"four\n", "a.1.txt": b"three\n", "a.2.txt": b"two\n"}


def test_folders_with_the_names_of_older_files_are_moved_aside(folder, path):
    (path / "a.1.txt").mkdir(parents=True)
    (path / "a.2.txt").mkdir()
    for text in (b"one\n", b"two\n", b"three\n"):
        folder.append("a.txt", [text], 5, 3)
    assert (path / "a.2.txt").read_bytes() == b"one\n"


def test_many_lines_at_once_are_divided_between_files(folder, path):
    folder.append("a.txt", [b"one\n", b"two\n", b"three\n", b"longer than the limit\n"], 8, 9)
    contents = [(path / name).read_bytes() for name in ("a.2.txt", "a.1.txt", "a.txt")]
    assert contents == [b"one\ntwo\n", b"three\n", b"longer than the limit\n"]


def test_a_workspace_that_is_not_there_is_an_error_that_names_the_file(folder, tmp_path):
    tmp_path.rmdir()
    with pytest.raises(SessionDirError, match=r"\.session/a: No such file"):
        folder.write("a", b"")
    tmp_path.mkdir()


def test_a_folder_that_is_replaced_again_and_again_ends_with_an_error(folder, path, tmp_path):
    for number in range(1, 100):
        (tmp_path / f".session.moved-{number}").touch()
    path.touch()
    with pytest.raises(SessionDirError, match="no name is free"):
        folder.write("a", b"")
