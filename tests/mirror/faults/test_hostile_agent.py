"""A hostile agent: it learns nothing, and affects neither other mirrors nor its own."""

import contextlib
import gzip
import itertools
import os
import threading

import pytest

from reconcile.mirror.exit_codes import MirrorExitCode
from reconcile.mirror.head import read_cached_tree
from reconcile.mirror.local_state import StateDirectory
from reconcile.mirror.workspace import reader
from reconcile.mirror.workspace.writer import STAGING_DIR
from tests.mirror.compare_trees import differences
from tests.mirror.faults.damage import goes_on, names_in, restored
from tests.mirror.faults.faulty_session import quick
from tests.mirror.mirror_pod import MirrorPod
from tests.mirror.workspace.unprivileged import as_nobody, open_folder

SECRET = b"a/secret+for=tests"


def test_links_to_the_mirrors_files_are_stored_as_links_without_their_contents(session):
    pod = session.pod("one")
    pod.hydrate()
    pod.write("work", b"work")
    pod.sync()
    for number, target in enumerate(
        (session.secret, pod.state.path, pod.state.marker_path, "/proc/self")
    ):
        (pod.root / f"link{number}").symlink_to(target)
        (pod.root / f"deep{number}").mkdir()
        (pod.root / f"deep{number}" / "up").symlink_to(target, target_is_directory=True)
    (pod.root / STAGING_DIR).symlink_to(session.secret)
    assert session.run("sync", pod, "--once").code == MirrorExitCode.OK
    no_secret_in_any_object(session, pod)
    later = session.pod("later")
    assert session.run("hydrate", later).code == MirrorExitCode.OK
    assert (later.root / "link0").readlink() == session.secret


def test_directories_that_are_swapped_for_links_all_the_time_are_not_followed(session):
    pod = session.pod("one")
    pod.hydrate()
    names = names_in(session.secret)

    def swap(_turn):
        for name in names:
            pod.write(f"d/{name}", b"bait" * 10)
        (pod.root / "d").rename(pod.root / "aside")
        (pod.root / "d").symlink_to(session.secret)
        (pod.root / "d").unlink()
        (pod.root / "aside").rename(pod.root / "d")

    with all_the_time(swap):
        for _ in range(3):
            assert session.run("sync", pod, "--once").code == MirrorExitCode.OK
    no_secret_in_any_object(session, pod)


def no_secret_in_any_object(session, pod):
    store = session.store("")
    kept = {pod.state.marker_path.read_bytes(), (session.secret / "S3_ENDPOINT").read_bytes()}
    words = {session.server.keys.secret_key.encode() + b"\0", *kept}
    if len(session.server.keys.secret_key) > 8:
        words.add(session.server.keys.secret_key.encode())
    keys = [listed.key for listed in store.list("")]
    assert keys
    for key in keys:
        body = store.get(key).body
        body = gzip.decompress(body) if key.endswith(".gz") else body
        assert not [word for word in words if word in body], key


def test_names_with_parent_directories_stay_inside(pod, successor):
    hard = ["..a", "...", "new\nline", "a\n../../b", "%2e%2e", "\x1b[31m", "-rf", "\udcff", "HEAD"]
    for name in hard:
        pod.write(f"{name}/x", name.encode(errors="surrogateescape"))
        (pod.root / f"{name}.link").symlink_to("../../../../etc/passwd")
    pod.sync()
    successor.hydrate()
    assert differences(pod.root, successor.root) == []
    assert names_in(successor.root.parent) == {"workspace", "state"}


def test_unreadable_files_and_directories_stop_nothing_else(memory):
    """As a user without rights: root may read everything."""
    with open_folder() as folder:

        def check():
            pod = MirrorPod(folder, "one", memory)
            pod.hydrate()
            pod.write("closed", b"x").chmod(0)
            pod.write("shut/in", b"x")
            (pod.root / "shut").chmod(0)
            pod.write("open", b"x")
            done = pod.sync()
            assert done.archive.read_files.unreadable == {"closed": "Permission denied"}
            assert done.scan.skipped.unreadable == 1
            later = restored(pod)
            assert names_in(later.root) == {"open", "shut"}
            (pod.root / "shut").chmod(0o700)

        as_nobody(check)


def test_a_fifo_never_blocks_a_pass(pod):
    os.mkfifo(pod.root / "pipe")
    os.mkfifo(pod.root / "runner-done")
    goes_on(pod)


def test_a_file_that_becomes_a_fifo_before_it_is_read_never_blocks(pod, monkeypatch):
    pod.write("file", b"x")
    real = reader._open

    def swapped(directories, path):
        if path == "file":
            (pod.root / "file").unlink()
            os.mkfifo(pod.root / "file")
        return real(directories, path)

    monkeypatch.setattr(reader, "_open", swapped)
    pod.sync()
    monkeypatch.undo()
    goes_on(pod)


def test_a_workspace_that_is_deleted_is_an_empty_generation_and_the_one_before_stays(
    pod, successor, memory
):
    pod.write("a/b", b"x")
    pod.sync()
    kept = dict(memory.bucket.objects)
    (pod.root / "a/b").unlink()
    (pod.root / "a").rmdir()
    assert pod.sync().generation.number == 2
    assert successor.hydrate().files == 0
    assert list(successor.root.iterdir()) == []
    del kept["HEAD"]
    assert kept.items() <= memory.bucket.objects.items()


def test_a_workspace_that_is_swapped_for_a_link_is_not_followed(pod, memory, tmp_path):
    pod.write("a", b"x")
    pod.sync()
    memory.bucket.requests.clear()
    syncer = pod.syncer()
    other = tmp_path / "other"
    other.mkdir()
    (other / "secret").write_bytes(SECRET)
    pod.root.rename(tmp_path / "gone")
    pod.root.symlink_to(other)
    with pytest.raises(Exception, match="workspace"):
        syncer.run(pod.pass_options())
    assert not [request for request in memory.bucket.requests if request.method != "get"]


@pytest.mark.parametrize("what", ["file", "folder", "link"])
def test_names_that_the_mirror_uses_itself_never_block_the_next_pod(pod, successor, what):
    for name in (STAGING_DIR, "lost+found"):
        path = pod.root / name
        match what:
            case "file":
                path.write_bytes(b"x")
            case "folder":
                path.mkdir()
                (path / "inside").write_bytes(b"x")
            case _:
                path.symlink_to("/")
    pod.write("work", b"w")
    pod.sync()
    (successor.root / "lost+found").mkdir()
    successor.hydrate()
    assert (successor.root / "work").read_bytes() == b"w"


def bother(root, turn):
    (root / f"x{turn % 7}").rename(root / f"x{(turn + 1) % 7}")
    with (root / "log").open("ab") as log:
        log.write(b"%0100d\n" % turn)
    (root / "whole").write_bytes(b"%d" % (turn % 10) * 3000)


@contextlib.contextmanager
def all_the_time(deed):
    """Do something in a thread, again and again, counting from 0."""
    over = threading.Event()

    def work():
        for turn in itertools.takewhile(lambda _: not over.is_set(), itertools.count()):
            deed(turn)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_file_that_is_renamed_and_one_that_is_written_all_the_time_block_no_other_file(session):
    pod = session.pod("one")
    pod.hydrate()
    pod.write("x0", b"renamed")
    with (
        all_the_time(lambda turn: bother(pod.root, turn)),
        session.start("sync", pod, *quick(pod)) as running,
    ):
        running.until("committed")
        pod.write("calm", b"calm")
        more = itertools.count(2)
        while "calm" not in _tree(session):
            running.until("committed", next(more))
    later = restored(pod)
    assert (later.root / "calm").read_bytes() == b"calm"
    assert_not_torn(later.root)


def assert_not_torn(root):
    whole, log = root / "whole", root / "log"
    assert not whole.exists() or len(set(whole.read_bytes())) <= 1
    lines = log.read_bytes().splitlines() if log.exists() else []
    assert [int(line) for line in lines] == list(range(len(lines)))


def _tree(session):
    return read_cached_tree(
        session.store(), StateDirectory(session.folder / "looked"), session.head().generation
    ).entries


def test_one_agents_attack_does_not_affect_another_mirror(session):
    pod = session.pod("one")
    pod.hydrate()
    pod.write("x", b"x")
    pod.sync()
    everything = [listed.key for listed in session.store("").list("")]
    assert all(key.startswith("team/fix-login/") for key in everything)
