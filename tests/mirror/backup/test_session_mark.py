"""The mark in `.session` is in a generation at least as it was when the last file was read."""

import os

import pytest

from reconcile.mirror.backup import file_archiver, syncer
from reconcile.mirror.backup.archiver import Archiver
from reconcile.mirror.backup.syncer import NoChanges
from reconcile.mirror.concurrency import DeadlineExceededError
from reconcile.mirror.errors import WorkspaceError
from reconcile.mirror.model import Partial
from reconcile.mirror.wiring import build_excludes
from reconcile.mirror.workspace import session_mark
from reconcile.mirror.workspace.session_mark import MARK, MAX_SESSION_FILES, SESSION_DIR
from tests.mirror.mirror_pod import MirrorPod


def write_mark(pod, text):
    """Replace the mark at once, as the runner's program does."""
    folder = pod.root / SESSION_DIR
    folder.mkdir(exist_ok=True)
    (folder / ".new").write_text(text)
    (folder / ".new").rename(folder / "prompt.json")


@pytest.fixture
def restored(successor):
    """A function that restores the last generation, and returns the root of that."""

    def restore():
        successor.hydrate()
        return successor.root

    return restore


@pytest.fixture
def meanwhile(monkeypatch):
    """A function that has something happen when a pass has scanned, and then reads files."""

    def before_reading(action):
        real = Archiver.run

        def run(archiver, scan, options):
            action()
            return real(archiver, scan, options)

        monkeypatch.setattr(Archiver, "run", run)

    return before_reading


def test_the_first_mark_is_stored_although_it_was_written_after_the_scan(pod, restored, meanwhile):
    pod.write("work", b"old")
    meanwhile(lambda: (write_mark(pod, "one"), pod.write("repo/late"))[0])
    pod.sync()
    assert (restored() / MARK).read_text() == "one"


def test_a_mark_that_was_replaced_after_the_scan_is_the_one_of_the_generation(
    pod, restored, meanwhile
):
    write_mark(pod, "one")
    pod.sync()
    pod.write("work")
    meanwhile(lambda: write_mark(pod, "two"))
    pod.sync()
    assert (restored() / MARK).read_text() == "two"


def test_a_mark_that_is_written_while_the_last_file_is_read_is_in_the_generation(
    pod, restored, monkeypatch
):
    for name in ("a", "b", ".session/events.jsonl"):
        pod.write(name)
    real = file_archiver.read_small_file

    def read(directories, file):
        write_mark(pod, f"before the end of {file.path}")
        return real(directories, file)

    monkeypatch.setattr(file_archiver, "read_small_file", read)
    pod.sync()
    assert (restored() / MARK).read_text() == "before the end of .session/events.jsonl"


def test_the_index_knows_the_mark_that_was_stored(pod, meanwhile, monkeypatch):
    pod.write("work")
    meanwhile(lambda: write_mark(pod, "one"))
    own = pod.syncer()
    own.run(pod.pass_options())
    monkeypatch.undo()
    assert isinstance(own.run(pod.pass_options()), NoChanges)


@pytest.mark.parametrize("final", [True, False])
def test_an_empty_mark_is_stored(pod, restored, final):
    write_mark(pod, "")
    pod.sync(final=final)
    assert (restored() / MARK).read_bytes() == b""


def test_a_mark_that_is_removed_after_the_scan_is_not_in_the_generation(pod, restored, meanwhile):
    write_mark(pod, "one")
    meanwhile((pod.root / MARK).unlink)
    pod.sync()
    assert not (restored() / MARK).exists()


def test_a_mark_takes_the_place_of_what_had_its_name(pod, restored, meanwhile):
    pod.write(f"{MARK}/inner/file")
    pod.sync()

    def replace():
        (pod.root / MARK).rename(pod.root / f"{MARK}.moved-1")
        write_mark(pod, "one")

    pod.write("work")
    meanwhile(replace)
    pod.sync()
    assert (restored() / MARK).read_text() == "one"


def test_a_mark_takes_the_place_of_a_link_that_had_the_name_of_its_directory(
    pod, restored, meanwhile
):
    (pod.root / SESSION_DIR).symlink_to("elsewhere")

    def replace():
        (pod.root / SESSION_DIR).rename(pod.root / f"{SESSION_DIR}.moved-1")
        write_mark(pod, "one")

    meanwhile(replace)
    pod.sync()
    assert (restored() / MARK).read_text() == "one"


def test_nothing_is_stored_while_the_mark_changes_each_time_that_it_is_read(
    pod, restored, monkeypatch
):
    write_mark(pod, "one")
    pod.sync()
    real = session_mark.time_until_settled

    def change(*arguments):
        write = (pod.root / MARK).open("ab")
        with write:
            write.write(b"more")
        return real(*arguments)

    monkeypatch.setattr(session_mark, "time_until_settled", change)
    pod.write("work")
    for final in (False, True):
        with pytest.raises(WorkspaceError, match=r"\.session/prompt\.json cannot be read: it chan"):
            pod.sync(final=final)
    monkeypatch.undo()
    assert not (restored() / "work").exists()


@pytest.mark.parametrize("place", [SESSION_DIR, MARK])
def test_nothing_is_stored_while_the_mark_cannot_be_seen(pod, restored, monkeypatch, place):
    write_mark(pod, "one")
    pod.sync()
    pod.write("work")
    real = syncer.scan_workspace

    def scan(*arguments):
        found = real(*arguments)
        found.skipped.unknown.append(place)
        return found

    monkeypatch.setattr(syncer, "scan_workspace", scan)
    with pytest.raises(WorkspaceError, match="No work is stored without it"):
        pod.sync()
    assert not (restored() / "work").exists()


def test_a_pass_that_has_no_time_to_send_the_mark_stores_nothing(pod, monkeypatch):
    def give_up(_archiver, _deadline):
        raise DeadlineExceededError

    write_mark(pod, "one")
    pod.write("work", b"")
    monkeypatch.setattr(Archiver, "_upload_rest", give_up)
    with pytest.raises(DeadlineExceededError):
        pod.sync(final=True)
    monkeypatch.undo()
    assert pod.sync().generation.number == 1


def test_a_pass_whose_time_is_over_keeps_a_mark_that_is_stored_already(pod, restored, monkeypatch):
    write_mark(pod, "one")
    pod.sync()
    for number in range(5):
        pod.write(f"work{number}", os.urandom(200 << 10))
    real = file_archiver.read_small_file
    seen = []

    def read(directories, file):
        seen.append(file.path)
        return real(directories, file)

    monkeypatch.setattr(file_archiver, "read_small_file", read)
    done = pod.sync(final=True, asked=lambda: len(seen) > 2)
    assert isinstance(done.generation.completeness, Partial)
    assert (restored() / MARK).read_text() == "one"


def test_a_repository_that_lacks_objects_does_not_hold_the_mark_back(pod, restored, monkeypatch):
    for top in ("", ".session/"):
        pod.write(f"{top}HEAD", b"ref: refs/heads/main\n")
        pod.write(f"{top}refs/heads/main", b"0" * 40)
        pod.write(f"{top}objects/00/{'0' * 38}", b"object")
    write_mark(pod, "one")
    pod.sync()
    real = file_archiver.read_small_file

    def read(directories, file):
        if "objects/" in file.path:
            pod.write(file.path, os.urandom(9))
        return real(directories, file)

    for top in ("", ".session/"):
        pod.write(f"{top}objects/00/{'1' * 38}", b"object")
    monkeypatch.setattr(file_archiver, "read_small_file", read)
    write_mark(pod, "two")
    pod.sync()
    assert (restored() / MARK).read_text() == "two"


@pytest.mark.parametrize("name", ["prompt.json-wal", "prompt.json-journal"])
def test_a_file_with_the_name_of_a_log_does_not_make_the_mark_a_database(pod, restored, name):
    write_mark(pod, "one")
    pod.write(f"{SESSION_DIR}/{name}", b"SQLite format 3\0" * 10)
    pod.sync()
    assert (restored() / MARK).read_text() == "one"


@pytest.mark.parametrize("other", ["+first", "z-last", f"{SESSION_DIR}/other"])
def test_a_mark_that_is_a_hard_link_is_stored(pod, restored, other):
    write_mark(pod, "one")
    (pod.root / other).hardlink_to(pod.root / MARK)
    pod.sync()
    write_mark(pod, "two")
    pod.sync()
    root = restored()
    assert (root / MARK).read_text() == "two"
    assert (root / other).read_text() == "one"


@pytest.fixture(params=["a{}", "z{}"])
def flooded(pod, request):
    """A pod whose agent has filled the session directory with files before and after the mark."""
    write_mark(pod, "one")
    for number in range(MAX_SESSION_FILES + 100):
        pod.write(f"{SESSION_DIR}/{request.param.format(number)}", b"")
    return pod


def test_many_files_in_the_session_directory_displace_neither_the_mark_nor_work(flooded, restored):
    flooded.write("work")
    done = flooded.sync()
    assert done.scan.skipped.over_limit in {101, 102}
    root = restored()
    assert (root / MARK).read_text() == "one"
    assert (root / "work").exists()
    assert len(list((root / SESSION_DIR).iterdir())) <= MAX_SESSION_FILES


def test_a_pass_after_many_files_in_the_session_directory_has_nothing_to_do(flooded):
    own = flooded.syncer()
    own.run(flooded.pass_options())
    assert isinstance(own.run(flooded.pass_options()), NoChanges)


def test_the_session_directory_does_not_count_towards_the_limit_of_files(tmp_path, memory):
    pod = MirrorPod(tmp_path, "one", memory)
    pod.hydrate()
    own = pod.syncer()
    own._workspace = syncer.Workspace(
        pod.root, pod.excludes, pod.state, own._workspace.writer, weight_limit=5
    )
    for number in range(20):
        pod.write(f"flood/{number}")
        pod.write(f"{SESSION_DIR}/{number}")
    write_mark(pod, "one")
    tree = own.run(pod.pass_options()).archive.tree_result.tree
    assert sum(path.startswith(SESSION_DIR) for path in tree.entries) == 22
    assert len(tree.entries) == 22 + 5


def test_a_write_in_the_session_directory_is_no_write_to_the_workspace(pod):
    pod.write("work")
    before = pod.sync().scan.newest_write
    pod.write(f"{SESSION_DIR}/events.jsonl")
    os.utime(pod.root / SESSION_DIR / "events.jsonl", ns=(before + 10**12, before + 10**12))
    assert pod.sync().scan.newest_write == before


def test_no_pattern_leaves_out_the_mark_or_the_conversation(pod, restored):
    pod.excludes = build_excludes(("*", ".session/", "*.json", ".claude"), ".claude", default=True)
    write_mark(pod, "one")
    pod.write(".claude/projects/x/conversation.jsonl")
    pod.write(".claude/.cache/x")
    pod.write("other.json")
    pod.sync()
    paths = {path.relative_to(restored()).as_posix() for path in restored().rglob("*")}
    assert paths == {
        SESSION_DIR,
        MARK,
        ".claude",
        ".claude/projects",
        ".claude/projects/x",
        ".claude/projects/x/conversation.jsonl",
    }


def test_the_files_of_the_session_directory_are_stored_as_they_are_when_all_else_was_read(
    pod, restored, meanwhile
):
    pod.write(f"{SESSION_DIR}/events.jsonl", b"1\n")
    pod.write("work")
    meanwhile(lambda: pod.write(f"{SESSION_DIR}/events.jsonl", b"1\n2\n"))
    pod.sync()
    assert (restored() / SESSION_DIR / "events.jsonl").read_bytes() == b"1\n2\n"


@pytest.mark.parametrize("replacement", ["gone", "directory", "link"])
def test_a_file_of_the_session_directory_that_is_replaced_keeps_its_last_version(
    pod, restored, meanwhile, replacement
):
    path = pod.write(f"{SESSION_DIR}/events.jsonl", b"1\n")
    pod.sync()

    def replace():
        path.unlink()
        if replacement == "directory":
            path.mkdir()
        elif replacement == "link":
            path.symlink_to("/etc/passwd")

    path.write_bytes(b"1\n2\n")
    meanwhile(replace)
    pod.sync()
    assert (restored() / SESSION_DIR / "events.jsonl").read_bytes() == b"1\n"
