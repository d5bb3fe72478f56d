"""Whatever a program does with its databases during a pass, each generation has whole ones."""

import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconcile.mirror.backup.syncer import PassResult
from reconcile.mirror.concurrency import WorkerPool
from reconcile.mirror.history.restore import restore_to_directory
from reconcile.mirror.workspace import sqlite
from tests.mirror.memory_store import MemoryStore
from tests.mirror.mirror_pod import MirrorPod

MODES = ("delete", "truncate", "persist", "wal")
NAMES = ("notes", "app.db", "odd name.journal", "notes-wal", "notes-journal", "a.wal")
"""Also names that SQLite and DuckDB give to logs."""


class Ledger:
    """A program with a database in which all accounts always sum up to the total."""

    def __init__(self, path: Path, mode: str) -> None:
        self.path = path
        self._connection = sqlite3.connect(path, isolation_level=None)
        for statement in (
            f"pragma journal_mode={mode}",
            "pragma cache_size=2",
            "pragma wal_autocheckpoint=0",
            "pragma synchronous=off",
            "create table accounts(id integer primary key, amount integer, padding text)",
            "create table total(amount integer)",
            "insert into total values (0)",
        ):
            self._connection.execute(statement)
        for number in range(30):
            values = (number, "x" * 700)
            self._connection.execute("insert into accounts values (?, 0, ?)", values)

    def begin(self) -> None:
        """Change pages, of which some reach the file before the commit."""
        if not self._connection.in_transaction:
            self._connection.execute("begin immediate")
            self._connection.execute("update accounts set amount = amount + 1")

    def end(self) -> None:
        self.begin()
        self._connection.execute("update total set amount = amount + 30")
        self._connection.execute("commit")

    def undo(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("rollback")

    def checkpoint(self) -> None:
        if not self._connection.in_transaction:
            self._connection.execute("pragma wal_checkpoint(truncate)").fetchall()

    def restart_log(self) -> None:
        if not self._connection.in_transaction:
            self._connection.execute("pragma wal_checkpoint(restart)").fetchall()

    def vacuum(self) -> None:
        if not self._connection.in_transaction:
            self._connection.execute("vacuum")

    def reopen(self) -> None:
        """Close the last connection, which removes a write-ahead log, and open it again."""
        self._connection.close()
        self._connection = sqlite3.connect(self.path, isolation_level=None)
        self._connection.execute("pragma cache_size=2")

    def close(self) -> None:
        self._connection.close()


def is_whole(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as copy:
        if copy.execute("pragma integrity_check").fetchone() != ("ok",):
            return False
        if not copy.execute("select 1 from sqlite_master where name = 'total'").fetchone():
            return True
        (total,) = copy.execute("select amount from total").fetchone() or (0,)
        (amount,) = copy.execute("select coalesce(sum(amount), 0) from accounts").fetchone()
        return bool(total == amount)


STEPS = st.sampled_from(
    ["begin", "end", "end", "undo", "checkpoint", "restart_log", "vacuum", "reopen"]
)
PASSES = st.lists(
    st.tuples(
        st.lists(STEPS, max_size=3),  # between two passes
        st.lists(STEPS, max_size=2),  # after the walk
        st.lists(STEPS, max_size=3),  # while files are read, one step after each chunk
    ),
    min_size=1,
    max_size=5,
)


class Interruptions:
    """Runs steps after each chunk that a group's reader yields."""

    def __init__(self, ledger: Ledger, patched: pytest.MonkeyPatch) -> None:
        self.ledger = ledger
        self.steps: list[str] = []
        for name in ("read_chunks", "read_growing"):
            patched.setattr(sqlite, name, self._interrupted(getattr(sqlite, name)))

    def run(self, steps: list[str]) -> None:
        for step in steps:
            getattr(self.ledger, step)()

    def _interrupted(self, real):
        def read(*arguments):
            for data in real(*arguments):
                yield data
                if self.steps:
                    self.run([self.steps.pop(0)])

        return read


@settings(deadline=None, max_examples=25)
@given(st.sampled_from(MODES), st.sampled_from(NAMES), PASSES)
def test_each_generation_has_a_whole_database(mode, name, passes):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        memory = MemoryStore()
        pod = MirrorPod(Path(folder), "one", memory)
        pod.hydrate()
        syncer, generations = pod.syncer(), []
        with closing(Ledger(pod.root / name, mode)) as ledger:
            interruptions = Interruptions(ledger, patched)
            for before, after, during in [*passes, (["undo"], [], [])]:
                interruptions.run(before)
                compared = syncer.scan(pod.pass_options())
                interruptions.run(after)
                interruptions.steps = list(during)
                outcome = syncer.store_changes(compared, pod.pass_options())
                interruptions.steps = []
                if isinstance(outcome, PassResult) and outcome.is_committed:
                    generations.append(outcome.generation)
        for generation in generations:
            back = Path(folder) / f"back-{generation.number}"
            restore_to_directory(memory, generation, back, WorkerPool(2, "get"), pod.clock)
            if (back / name).exists():
                assert is_whole(back / name)


@pytest.mark.parametrize("mode", MODES)
def test_a_database_that_rests_is_stored_as_it_is(pod, successor, mode):
    syncer = pod.syncer()
    with closing(Ledger(pod.root / "notes", mode)) as ledger:
        for step in ("begin", "end", "checkpoint", "end"):
            getattr(ledger, step)()
            syncer.run(pod.pass_options())
        successor.hydrate()
    with closing(sqlite3.connect(successor.root / "notes")) as copy:
        assert copy.execute("select amount from total").fetchone() == (60,)
    assert is_whole(successor.root / "notes")


_UNSAVED = """
import sqlite3, sys
base = sqlite3.connect(sys.argv[1], isolation_level=None)
base.execute("pragma journal_mode=memory")
base.execute("pragma cache_size=2")
base.execute("begin immediate")
base.execute("update accounts set amount = amount + 1")
print("begun", flush=True)
sys.stdin.readline()
base.execute("update total set amount = amount + 30")
base.execute("commit")
"""


def test_a_transaction_whose_journal_is_in_memory_is_waited_for(pod, successor):
    Ledger(pod.root / "notes", "delete").close()
    syncer = pod.syncer()
    syncer.run(pod.pass_options())
    command = [sys.executable, "-c", _UNSAVED, str(pod.root / "notes")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        writer.stdout.readline()
        done = syncer.run(pod.pass_options())
        assert done.archive.read_files.changing == 1
        writer.communicate(b"\n")
    assert syncer.run(pod.pass_options()).is_committed
    successor.hydrate()
    assert is_whole(successor.root / "notes")


def test_a_deleted_journal_stays_while_its_database_cannot_be_stored(
    pod, memory, tmp_path, monkeypatch
):
    syncer = pod.syncer()
    with closing(Ledger(pod.root / "notes", "delete")) as ledger:
        ledger.begin()
        syncer.run(pod.pass_options())
        ledger.end()

        def changed(_reader, members, *_arguments, **_options):
            raise sqlite.FileChangedError(members[0].path)
            yield

        monkeypatch.setattr(sqlite.GroupReader, "read", changed)
        monkeypatch.setattr(sqlite.GroupReader, "read_twice", changed)
        pod.write("other")
        done = syncer.run(pod.pass_options())
        assert set(done.archive.tree_result.tree.entries) == {"notes", "notes-journal", "other"}
        monkeypatch.undo()
        back = tmp_path / "back"
        restore_to_directory(memory, done.generation, back, WorkerPool(2, "get"), pod.clock)
        assert is_whole(back / "notes")
        done = syncer.run(pod.pass_options())
        assert set(done.archive.tree_result.tree.entries) == {"notes", "other"}


def test_a_database_that_never_rests_is_stored(pod):
    path = pod.root / "notes"
    with closing(Ledger(path, "delete")) as ledger:
        real = sqlite.read_chunks

        def busy(*arguments):
            ledger.end()
            yield from real(*arguments)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(sqlite, "read_chunks", busy)
            done = pod.sync()
    assert "notes" in done.archive.tree_result.tree.entries


@pytest.mark.parametrize("name", ["tables.duckdb.wal", "build-journal", "notes-wal"])
def test_a_log_beside_another_file_is_stored_although_it_always_grows(pod, successor, name):
    pod.write(name.removesuffix(".wal").removesuffix("-journal").removesuffix("-wal"), b"main")
    log = pod.write(name, b"line\n")
    real = sqlite.read_growing

    def busy(*arguments):
        with log.open("ab") as out:
            out.write(b"line\n")
        yield from real(*arguments)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sqlite, "read_growing", busy)
        patched.setattr(sqlite, "read_chunks", lambda *_arguments: _changed(name))
        pod.sync()
    successor.hydrate()
    stored = (successor.root / name).read_bytes()
    assert stored
    assert log.read_bytes().startswith(stored)


def _changed(path):
    raise sqlite.FileChangedError(path)
    yield


def test_a_transaction_over_two_databases_is_undone_in_both(pod, successor):
    for name in ("one", "far/two"):
        (pod.root / name).parent.mkdir(exist_ok=True)
        Ledger(pod.root / name, "delete").close()
    with closing(sqlite3.connect(pod.root / "one", isolation_level=None)) as base:
        base.execute("attach ? as two", (str(pod.root / "far/two"),))
        base.execute("begin")
        base.execute("update accounts set amount = amount + 1")
        base.execute("update two.accounts set amount = amount + 1")
        base.execute("pragma two.cache_size=1")
        pod.sync()
        base.execute("rollback")
    successor.hydrate()
    assert is_whole(successor.root / "one")
    assert is_whole(successor.root / "far/two")


def test_names_of_a_hard_link_change_together(pod, successor):
    with closing(Ledger(pod.root / "notes", "wal")) as ledger:
        (pod.root / "also").hardlink_to(pod.root / "notes")
        pod.sync()
        ledger.end()
        ledger.checkpoint()
        ledger.end()
        pod.sync()
        successor.hydrate()
    assert is_whole(successor.root / "notes")
    assert (successor.root / "also").samefile(successor.root / "notes")
