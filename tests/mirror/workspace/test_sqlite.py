"""Databases in use are copied as a power failure would leave them, without any effect on them."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from reconcile.mirror.workspace import sqlite
from reconcile.mirror.workspace.dirfd import DirectoryHandles
from reconcile.mirror.workspace.excludes import Excludes
from reconcile.mirror.workspace.file_groups import find_groups
from reconcile.mirror.workspace.reader import FileChangedError
from reconcile.mirror.workspace.sqlite import (
    GroupChunk,
    GroupReader,
    find_shared_memory,
)
from reconcile.mirror.workspace.walk import walk


@contextmanager
def agent(path: Path, mode: str = "wal") -> Iterator[sqlite3.Connection]:
    """Act as the agent, which keeps the database open."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"pragma journal_mode = {mode}")
        connection.execute("create table notes (number integer, text text)")
        connection.execute("pragma wal_autocheckpoint = 0")
        yield connection


def note(connection: sqlite3.Connection, *numbers: int) -> None:
    connection.execute("begin")
    for number in numbers:
        connection.execute("insert into notes values (?, ?)", (number, "x" * 3000))
    connection.execute("commit")


def restore(pieces: list[GroupChunk], folder: Path) -> list[int]:
    """Write the chunks to a directory and let SQLite recover from them."""
    parts: dict[str, bytes] = defaultdict(bytes)
    for piece in pieces:
        parts[piece.file.path] += piece.data
    folder.mkdir()
    for path, data in parts.items():
        (folder / path).write_bytes(data)
    with closing(sqlite3.connect(folder / "db")) as connection:
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
        return [row[0] for row in connection.execute("select number from notes order by number")]


def read(root: Path, size: int = 1 << 20) -> Iterator[GroupChunk]:
    (group,) = find_groups(walk(root, Excludes(()))[0], {})
    with DirectoryHandles(root) as directories:
        yield from GroupReader(directories, nothing_excluded, size).read(group.members)


def nothing_excluded(_path: str) -> bool:
    return False


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def test_a_database_is_copied_with_its_write_ahead_log(home: Path, tmp_path: Path):
    with agent(home / "db") as connection:
        note(connection, 1, 2)
        connection.execute("pragma wal_checkpoint(truncate)")
        note(connection, 3)
        assert restore(list(read(home)), tmp_path / "copy") == [1, 2, 3]


def test_commits_during_the_copy_do_not_invalidate_it(home: Path, tmp_path: Path):
    with agent(home / "db") as connection:
        note(connection, *range(50))
        connection.execute("pragma wal_checkpoint")
        note(connection, 50)
        pieces = []
        for number, piece in enumerate(read(home, 10_000)):
            pieces.append(piece)
            note(connection, 100 + number)
        found = restore(pieces, tmp_path / "copy")
        assert set(range(51)) <= set(found)
        assert found[51:] == list(range(100, 100 + len(found) - 51))


def test_a_checkpoint_during_the_copy_invalidates_it(home: Path):
    with agent(home / "db") as connection:
        note(connection, *range(50))
        pieces = read(home, 10_000)
        next(pieces)
        connection.execute("pragma wal_checkpoint")
        with pytest.raises(FileChangedError):
            list(pieces)


def test_a_log_restart_during_the_copy_invalidates_it(home: Path, monkeypatch):
    with agent(home / "db") as connection:
        note(connection, *range(50))
        connection.execute("pragma wal_checkpoint")
        read_growing = sqlite.read_growing
        calls = []

        def restarting(directories, seen, size):
            yield from read_growing(directories, seen, size)
            calls.append(seen)
            if len(calls) == 2:
                note(connection, 99)  # the log was checkpointed whole: this begins it again

        monkeypatch.setattr(sqlite, "read_growing", restarting)
        with pytest.raises(FileChangedError):
            list(read(home))


def test_a_database_in_a_transaction_is_copied_with_its_journal(home: Path, tmp_path: Path):
    with agent(home / "db", "delete") as connection:
        note(connection, *range(20))
        connection.execute("pragma cache_size = 1")
        connection.execute("pragma cache_spill = 1")
        connection.execute("begin")
        connection.execute("update notes set text = 'changed ' || number")
        assert restore(list(read(home)), tmp_path / "copy") == list(range(20))
        pieces = read(home)
        next(pieces)
        connection.execute("commit")
        with pytest.raises(FileChangedError):
            list(pieces)


def test_copying_takes_no_lock_and_leaves_nothing(home: Path):
    with agent(home / "db") as connection:
        note(connection, 1)
        before = {path.name: path.stat() for path in home.iterdir()}
        pieces = read(home, 100)
        next(pieces)
        connection.execute("begin exclusive")
        connection.execute("rollback")
        list(pieces)
        after = {path.name: path.stat() for path in home.iterdir()}
        assert before.keys() == after.keys()
        for name in ("db", "db-wal"):
            assert before[name].st_ctime_ns == after[name].st_ctime_ns


def test_a_removed_or_linked_database_is_not_followed(home: Path, tmp_path: Path):
    with agent(home / "db") as connection:
        note(connection, 1)
        seen, _ = walk(home, Excludes(()))
        (group,) = find_groups(seen, {})
        (home / "db-wal").rename(tmp_path / "moved")
        (home / "db-wal").symlink_to(tmp_path / "moved")
        with DirectoryHandles(home) as directories, pytest.raises(FileChangedError):
            list(GroupReader(directories, nothing_excluded).read(group.members))


def test_shared_memory_is_left_out_only_with_a_log(home: Path):
    with agent(home / "db") as connection:
        note(connection, 1)
        (home / "notes-shm").touch()
        seen, _ = walk(home, Excludes(()))
        assert find_shared_memory(seen) == {"db-shm"}
