"""Passes that are fenced, interrupted or truncated: nothing is lost or inconsistent."""

import contextlib
import sqlite3

import pytest

from reconcile.mirror.backup import file_archiver
from reconcile.mirror.backup.syncer import PassResult
from reconcile.mirror.backup.uploader import Uploader
from reconcile.mirror.concurrency import Deadline, DeadlineExceededError
from reconcile.mirror.errors import FencedError, MarkError, StoreAwayError, StoreError
from reconcile.mirror.model import Complete, Partial
from reconcile.mirror.workspace.reader import FileChanged, FileChangedError
from tests.clocks import FakeClock
from tests.mirror.memory_store import InterruptedStore, requests
from tests.mirror.mirror_pod import listing


def test_without_a_mark_nothing_is_sent(pod, memory):
    pod.state.remove(pod.state.marker_path)
    with pytest.raises(MarkError, match="hydrate"):
        pod.sync()
    assert requests(memory) == []


DAMAGED_MARKS = {
    b"": "damaged",
    b"\xff": "damaged",
    b"[]": "it is not an object",
    b"{}": "it has no 'format'",
    b'{"format":"reconcile-mirror-mark/2"}': "unknown format 'reconcile-mirror-mark/2'",
    b'{"format":"reconcile-mirror-mark/1","uid":"u","epoch":1e999}': "damaged",
    b'{"format":"reconcile-mirror-mark/1","uid":"u","epoch":null}': "damaged",
}


@pytest.mark.parametrize(("mark", "reason"), DAMAGED_MARKS.items())
def test_a_damaged_mark_is_named_with_its_reason_and_a_remedy(pod, memory, mark, reason):
    pod.state.write(pod.state.marker_path, mark)
    with pytest.raises(MarkError, match=r"is damaged .*Run `reconcile-mirror hydrate`") as caught:
        pod.sync()
    assert str(pod.state.marker_path) in str(caught.value)
    assert reason in str(caught.value)
    assert requests(memory) == []


@pytest.mark.parametrize("damage", [b"", b"\0" * 99, b"reconcile-mirror-index/1\n- 1 x\n"])
def test_a_damaged_index_ends_no_sync(pod, successor, damage):
    """All other state can be rebuilt: from the store and the workspace."""
    pod.write("a")
    pod.sync()
    pod.write("b")
    pod.state.write(pod.state.index_path, damage)
    for manifest in (pod.state.path / "manifests").iterdir():
        manifest.write_bytes(damage)
    assert pod.sync().generation.number == 2
    successor.hydrate()
    assert listing(successor.root) == listing(pod.root)


def test_the_mark_of_another_volume_does_not_count(pod, successor):
    successor.state.write(successor.state.marker_path, pod.state.read(pod.state.marker_path))
    with pytest.raises(MarkError, match="another volume"):
        successor.sync()


def test_a_fenced_writer_sends_nothing_and_says_who_has_it(pod, successor, memory):
    pod.write("a")
    pod.sync()
    syncer = pod.syncer()
    successor.hydrate()
    memory.bucket.requests.clear()
    pod.write("b")
    with pytest.raises(FencedError, match="two"):
        syncer.run(pod.pass_options())
    assert requests(memory) == ["get HEAD"]


def test_a_writer_that_is_fenced_during_a_pass_does_not_commit(pod, successor, memory):
    pod.write("a")
    pod.store = InterruptedStore(memory, successor.hydrate)
    with pytest.raises(FencedError):
        pod.sync()
    assert successor.sync() is not None
    assert list(successor.root.iterdir()) == []


def test_a_store_that_is_away_costs_one_pass_and_no_bytes_twice(pod, memory, script):
    pod.write("a", b"a" * 1000)
    script.lose_before("put_if", times=2)
    syncer = pod.syncer()
    with pytest.raises(StoreAwayError):
        syncer.run(pod.pass_options())
    memory.bucket.requests.clear()
    done = syncer.run(pod.pass_options())
    assert done.is_committed
    assert done.sent_bytes == 0


def test_a_commit_whose_answer_was_lost_for_good_is_found_by_the_next_pass(pod, successor, script):
    pod.write("a", b"a")
    syncer = pod.syncer()
    script.lose_after("put_if")
    script.fail("get", StoreAwayError("no answer"), times=2)
    with pytest.raises(StoreAwayError):
        syncer.run(pod.pass_options())  # HEAD itself could not be read before it began
    with pytest.raises(StoreAwayError):
        syncer.run(pod.pass_options())
    script.left.clear()
    pod.write("b", b"b")
    syncer.run(pod.pass_options())
    successor.hydrate()
    assert listing(successor.root) == listing(pod.root)


def test_a_failed_upload_fails_the_pass(pod, script):
    pod.write("a", b"a")
    script.fail("put", StoreError("the bucket is full"))
    with pytest.raises(StoreError, match="full"):
        pod.sync()
    assert isinstance(pod.sync(), PassResult)


def test_a_pass_that_is_interrupted_commits_nothing(pod, memory):
    pod.write("a", b"a")
    with pytest.raises(DeadlineExceededError):
        pod.sync(asked=lambda: True)
    assert requests(memory) == []


def test_a_final_pass_stores_the_newest_first_and_records_what_it_lacks(
    pod, successor, monkeypatch
):
    pod.write("committed", b"old")
    pod.sync()
    pod.write("committed", b"new")
    for number in range(5):
        pod.write(f"f{number}", b"%d" % number * 1000)
    reads = []
    real = file_archiver.FileArchiver.archive_file

    def take_file(self, seen):
        reads.append(seen.path)
        real(self, seen)

    monkeypatch.setattr(file_archiver.FileArchiver, "archive_file", take_file)
    effort = pod.pass_options(final=True, asked=lambda: len(reads) == 2)
    monkeypatch.setattr(Uploader, "close_pack", _whatever_the_limit(Uploader.close_pack))
    monkeypatch.setattr(Uploader, "drain", _whatever_the_limit(Uploader.drain))
    done = pod.syncer().run(effort)
    assert reads == ["f4", "f3"]
    assert done.generation.completeness == Partial(4, 3003)
    monkeypatch.undo()
    successor.hydrate()
    found = {path.name: path.read_bytes() for path in successor.root.iterdir()}
    assert found == {"committed": b"old", "f4": b"4" * 1000, "f3": b"3" * 1000}


def _whatever_the_limit(method):
    """As if the deadline for reading left enough time for what was read."""
    return lambda self, _limit: method(self, Deadline(FakeClock()))


def test_a_generation_after_a_partial_one_is_complete_again(pod, successor):
    pod.write("a", b"a")
    real = file_archiver.read_small_file
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            file_archiver, "read_small_file", lambda _root, seen: FileChanged(seen.path)
        )
        done = pod.sync(final=True)
    assert done.generation.completeness == Partial(1, 1)
    assert file_archiver.read_small_file is real
    assert pod.sync().generation.completeness == Complete()
    successor.hydrate()
    assert listing(successor.root) == listing(pod.root)


def test_files_below_an_unreadable_directory_do_not_count_as_deleted(pod):
    pod.write("shut/in/side", b"kept")
    pod.sync()
    (pod.root / "shut").chmod(0)
    try:
        pod.write("other", b"o")
        done = pod.sync()
    finally:
        (pod.root / "shut").chmod(0o755)
    assert "shut/in/side" in done.archive.tree_result.tree.entries


def test_a_process_that_died_between_commit_and_index_reads_everything_once(pod, successor):
    pod.write("a", b"a")
    pod.sync()
    index = pod.state.read(pod.state.index_path)
    pod.write("b", b"b")
    pod.sync()
    pod.state.write(pod.state.index_path, index)
    pod.write("c", b"c")
    assert pod.sync().generation.number == 3
    successor.hydrate()
    assert listing(successor.root) == listing(pod.root)


def test_a_database_in_use_is_restored_with_all_that_was_committed(pod, successor):
    with contextlib.closing(sqlite3.connect(pod.root / "notes.db")) as base:
        base.execute("pragma journal_mode=wal")
        base.execute("create table notes(text)")
        base.commit()
        pod.sync()
        base.execute("insert into notes values ('kept')")
        base.commit()
        done = pod.sync()
        assert done.is_committed
        assert "notes.db-shm" not in done.archive.tree_result.tree.entries
        successor.hydrate()
    with contextlib.closing(sqlite3.connect(successor.root / "notes.db")) as copy:
        assert copy.execute("select text from notes").fetchall() == [("kept",)]


def test_a_database_that_changes_while_it_is_read_keeps_its_version_as_a_pair(pod, monkeypatch):
    pod.write("a.db", b"main")
    pod.write("a.db-wal", b"l" * 64)
    before = pod.sync().archive.tree_result.tree.entries
    pod.write("a.db", b"newer main")

    def torn(*_arguments, **_options):
        raise FileChangedError("a.db")
        yield

    monkeypatch.setattr(file_archiver.GroupReader, "read", torn)
    monkeypatch.setattr(file_archiver.GroupReader, "read_twice", torn)
    done = pod.sync()
    assert done.archive.read_files.changing == 1
    assert not done.is_committed
    assert done.archive.tree_result.tree.entries == before
    monkeypatch.undo()
    assert pod.sync().is_committed


def test_git_refs_wait_for_objects_that_could_not_be_read(pod, monkeypatch):
    for name in (".git/HEAD", ".git/refs/heads/main", ".git/objects/aa/old", "other"):
        pod.write(name, b"old")
    before = pod.sync().archive.tree_result.tree.entries
    for name in (".git/refs/heads/main", ".git/objects/bb/new", "other"):
        pod.write(name, b"new")
    real = file_archiver.read_small_file
    monkeypatch.setattr(
        file_archiver,
        "read_small_file",
        lambda root, seen: FileChanged("x") if seen.path.endswith("bb/new") else real(root, seen),
    )
    after = pod.sync().archive.tree_result.tree.entries
    assert after[".git/refs/heads/main"] == before[".git/refs/heads/main"]
    assert after["other"] != before["other"]
    monkeypatch.undo()
    settled = pod.sync().archive.tree_result.tree.entries
    assert settled[".git/refs/heads/main"] != before[".git/refs/heads/main"]
    assert ".git/objects/bb/new" in settled
