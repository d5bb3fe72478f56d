"""Passes over real directories: what is sent, what is kept, what is restored."""

import os
import socket

import pytest

from reconcile.mirror.backup import file_archiver
from reconcile.mirror.backup.syncer import NoChanges
from reconcile.mirror.model import Partial
from reconcile.mirror.workspace.reader import FileChanged, FileChangedError
from tests.mirror.memory_store import requests
from tests.mirror.mirror_pod import listing


def _fill(pod):
    pod.write("src/main.py", b"print()\n").chmod(0o755)
    pod.write("src/empty")
    (pod.root / "src/empty").write_bytes(b"")
    pod.write("big.log", bytes(range(256)) * 4096 * 20)
    pod.write(os.fsdecode(b"odd\xff\nname%"), b"odd")
    (pod.root / "nothing").mkdir(mode=0o700)
    (pod.root / "link").symlink_to("nowhere")
    os.link(pod.root / "src/main.py", pod.root / "zz")


def test_a_round_trip_gives_the_same_tree(pod, successor):
    _fill(pod)
    assert pod.sync().generation.number == 1
    assert successor.hydrate().generation.number == 1
    assert listing(successor.root) == listing(pod.root)


def test_a_pass_without_changes_makes_no_request(pod, memory):
    _fill(pod)
    pod.sync()
    memory.bucket.requests.clear()
    assert isinstance(pod.sync(), NoChanges)
    assert requests(memory) == []


def test_the_first_sync_after_a_hydrate_has_nothing_to_do(pod, successor, memory):
    _fill(pod)
    pod.sync()
    successor.hydrate()
    memory.bucket.requests.clear()
    assert isinstance(successor.sync(), NoChanges)
    assert requests(memory) == []


def test_a_small_change_takes_five_requests(pod, memory):
    _fill(pod)
    pod.sync()
    memory.bucket.requests.clear()
    pod.write("src/main.py", b"print(1)\n")
    done = pod.sync()
    assert requests(memory) == [
        "get HEAD",
        "put packs",
        "put manifests",
        "list sweep",
        "put_if HEAD",
    ]
    assert done.sent_bytes < 4096


def test_equal_bytes_are_sent_once(pod, memory):
    pod.write("a", b"same" * 100)
    pod.sync()
    memory.bucket.requests.clear()
    pod.write("b", b"same" * 100)
    assert pod.sync().sent_bytes == 0
    assert "put packs" not in requests(memory)


def test_an_appended_file_sends_only_its_tail(pod):
    chunks = [os.urandom(8 << 20), os.urandom(1 << 20)]
    path = pod.write("log", b"".join(chunks))
    assert pod.sync().sent_bytes == 9 << 20
    with path.open("ab") as out:
        out.write(b"more")
    assert pod.sync().sent_bytes == (1 << 20) + 4


def test_deletions_moves_and_changes_of_kind_are_restored(pod, successor):
    _fill(pod)
    pod.sync()
    (pod.root / "zz").unlink()
    (pod.root / "src").rename(pod.root / "moved")
    (pod.root / "link").unlink()
    (pod.root / "link").mkdir()
    (pod.root / "nothing").rmdir()
    (pod.root / "nothing").symlink_to("moved")
    pod.sync()
    successor.hydrate()
    assert listing(successor.root) == listing(pod.root)


def test_hard_links_follow_a_directory_that_moved(pod, successor):
    pod.write("a/first")
    (pod.root / "z").mkdir()
    os.link(pod.root / "a/first", pod.root / "z/second")
    pod.sync()
    (pod.root / "a").rename(pod.root / "zzz")
    pod.sync()
    successor.hydrate()
    assert listing(successor.root) == listing(pod.root)


def test_a_file_whose_other_name_is_outside_of_the_workspace_is_a_file(pod, successor):
    outside = pod.root.parent / "outside"
    outside.write_bytes(b"shared")
    os.link(outside, pod.root / "inside")
    pod.sync()
    successor.hydrate()
    assert listing(successor.root) == listing(pod.root)
    assert (successor.root / "inside").stat().st_nlink == 1


def test_a_changed_mode_or_time_is_a_change_of_few_bytes(pod, successor):
    path = pod.write("a", b"a")
    pod.sync()
    path.chmod(0o400)
    os.utime(path, ns=(5, 5))
    assert pod.sync().sent_bytes == 0
    successor.hydrate()
    assert listing(successor.root) == listing(pod.root)


def test_many_generations_become_a_new_base_with_the_same_tree(pod, successor):
    syncer = pod.syncer()
    for number in range(40):
        pod.write(f"f{number % 7}", os.urandom(50))
        assert syncer.run(pod.pass_options()).is_committed
    successor.hydrate()
    assert listing(successor.root) == listing(pod.root)


@pytest.mark.parametrize("kind", ["changed", "unreadable"])
def test_an_unreadable_file_keeps_its_version_and_is_stored_later(
    pod, successor, monkeypatch, kind
):
    pod.write("a", b"old")
    pod.sync()
    pod.write("a", b"newer")
    pod.write("b", b"other")
    real = file_archiver.read_small_file

    def torn(root, seen):
        if seen.path != "a":
            return real(root, seen)
        return (
            FileChanged("a") if kind == "changed" else file_archiver.FileUnreadable("a", "no right")
        )

    with monkeypatch.context() as patched:
        patched.setattr(file_archiver, "read_small_file", torn)
        done = pod.sync()
    assert done.is_committed
    read = done.archive.read_files
    assert (read.changing, list(read.unreadable)) == ((1, []) if kind == "changed" else (0, ["a"]))
    is_partial = isinstance(done.generation.completeness, Partial)
    assert is_partial is (kind == "unreadable")
    successor.hydrate()
    assert (successor.root / "a").read_bytes() == b"old"
    assert (successor.root / "b").read_bytes() == b"other"


def test_a_file_that_changed_while_it_was_read_is_stored_by_the_next_pass(pod, monkeypatch):
    pod.write("a", b"x" * (9 << 20))
    real = file_archiver.read_chunks

    def torn(root, seen, size):
        yield next(iter(real(root, seen, size)))
        raise FileChangedError(seen.path)

    with monkeypatch.context() as patched:
        patched.setattr(file_archiver, "read_chunks", torn)
        assert pod.sync().archive.read_files.changing == 1
    assert "a" in pod.sync().archive.tree_result.tree.entries


def test_sockets_are_skipped_and_excludes_left_out(pod, successor):
    pod.write("a.skip")
    pod.write("b")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(pod.root / "socket"))
        assert pod.sync().scan.skipped.sockets == 1
    successor.hydrate()
    assert [path.name for path in successor.root.iterdir()] == ["b"]


def test_a_link_to_the_mirrors_own_files_is_stored_as_a_link(pod, successor):
    pod.write("a")
    (pod.root / "trap").symlink_to(pod.state.marker_path)
    pod.sync()
    successor.hydrate()
    assert (successor.root / "trap").readlink() == pod.state.marker_path
