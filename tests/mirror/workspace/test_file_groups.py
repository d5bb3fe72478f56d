"""Databases, their journals and logs are one group, whatever their names."""

import os
import struct
from pathlib import Path

import pytest

from reconcile.mirror.model import HardLink
from reconcile.mirror.workspace.dirfd import DirectoryHandles
from reconcile.mirror.workspace.excludes import Excludes
from reconcile.mirror.workspace.file_groups import FileGroup, find_groups
from reconcile.mirror.workspace.reader import FileChangedError
from reconcile.mirror.workspace.sqlite import GroupReader
from reconcile.mirror.workspace.walk import walk
from tests.mirror.workspace.snapshot_files import file

SUPER = "a-mj0123456AB"


def fill(root: Path, *paths: str) -> list[FileGroup]:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"content")
    return groups(root)


def groups(root: Path, *previous: str) -> list[FileGroup]:
    return find_groups(walk(root, Excludes(()))[0], {path: file(path) for path in previous})


@pytest.mark.parametrize("name", ["app.db", "noextension", "a b-c", "deep/er/.hidden", "x-journal"])
@pytest.mark.parametrize("suffix", ["-wal", "-journal", ".wal", "-mj0123456AB"])
def test_a_file_and_what_is_named_after_it_are_a_group(tmp_path: Path, name: str, suffix: str):
    (group,) = fill(tmp_path, name, name + suffix, "other")
    assert group.paths == {name, name + suffix}
    assert [member.path for member in group.members] == sorted(group.paths)


def test_files_that_only_have_such_names_are_no_group(tmp_path: Path):
    assert fill(tmp_path, "my-journal", "x.wal", "sea-wal", "-wal", "a-mj12", "a") == []


def test_a_member_that_only_the_last_generation_has_belongs_to_the_group(tmp_path: Path):
    fill(tmp_path, "a", "b-wal")
    first, second = groups(tmp_path, "a", "a-journal", "b")
    assert first.paths == {"a", "a-journal"}
    assert second.paths == {"b", "b-wal"}
    assert [member.path for member in first.members] == ["a"]


def test_a_super_journal_joins_all_that_have_a_journal(tmp_path: Path):
    names = ("a", "a-journal", SUPER, "far/b", "far/b-journal")
    first, second = fill(tmp_path, *names, "c", "c-wal")
    assert first.paths == set(names)
    assert second.paths == {"c", "c-wal"}


def test_other_names_of_the_same_file_belong_to_the_group(tmp_path: Path):
    fill(tmp_path, "a", "a-wal", "z")
    os.link(tmp_path / "a", tmp_path / "linked")
    (group,) = groups(tmp_path)
    assert group.paths == {"a", "a-wal", "linked"}
    seen = walk(tmp_path, Excludes(()))[0]
    (group,) = find_groups(seen, {"old": HardLink("old", "a")})
    assert "old" in group.paths


def _journal(path: Path, super_journal: str) -> None:
    name = super_journal.encode()
    magic = bytes.fromhex("d9d505f920a163d7")
    path.write_bytes(bytes(600) + name + struct.pack(">II", len(name), sum(name)) + magic)


def test_a_journal_is_not_stored_without_the_super_journal_that_it_names(tmp_path: Path):
    fill(tmp_path, "a", "far/b", "far/b-journal")
    _journal(tmp_path / "far/b-journal", f"/workspace/{SUPER}")
    (group,) = groups(tmp_path)
    with DirectoryHandles(tmp_path) as directories:
        reader = GroupReader(directories, lambda _path: False)
        reader.check_companions(group.members)  # it was deleted: the transaction is committed
        (tmp_path / SUPER).write_bytes(b"/workspace/far/b-journal\0")
        with pytest.raises(FileChangedError):
            reader.check_companions(group.members)
        (group,) = groups(tmp_path)
        reader.check_companions(group.members)


@pytest.mark.parametrize("suffix", ["-wal", "-journal"])
def test_a_journal_that_appears_after_the_walk_is_a_change(tmp_path: Path, suffix: str):
    (tmp_path / "a").write_bytes(b"SQLite format 3\0" + bytes(100))
    (seen,), _ = walk(tmp_path, Excludes(()))
    (tmp_path / f"a{suffix}").write_bytes(b"new")
    with DirectoryHandles(tmp_path) as directories:
        with pytest.raises(FileChangedError):
            GroupReader(directories, lambda _path: False).check_companions([seen])
        GroupReader(directories, lambda path: path != "a").check_companions([seen])
