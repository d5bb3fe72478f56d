"""What is not stored is part of the result, and takes nothing else away."""

import errno
import os
import resource
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from reconcile.mirror.backup.archiver import UploadPace
from reconcile.mirror.backup.syncer import NoChanges
from reconcile.mirror.backup.uploader import Uploader
from reconcile.mirror.concurrency import Deadline, WorkerPool
from reconcile.mirror.errors import SettingsError, WorkspaceError
from reconcile.mirror.local_state import StateDirectory
from reconcile.mirror.model import Complete, Partial, SnapshotTree
from reconcile.mirror.sidecar.outcome import (
    count_unreadable,
    explain_missing,
    find_missing,
    is_fully_stored,
    may_store_more,
)
from reconcile.mirror.wiring import MirrorConfig
from reconcile.mirror.workspace import reader, walk
from reconcile.mirror.workspace.root import WorkspaceRoot
from tests.clocks import FakeClock
from tests.mirror.memory_store import MemoryStore
from tests.mirror.mirror_pod import MirrorPod
from tests.mirror.workspace.unprivileged import as_nobody, open_folder


@contextmanager
def hydrated(folder: Path):
    pod = MirrorPod(folder, "one", MemoryStore())
    pod.hydrate()
    yield pod


def unprivileged(check):
    """Run the check with a pod of a user for whom modes count."""

    def run():
        with hydrated(Path(folder)) as pod:
            check(pod)

    with open_folder() as folder:
        as_nobody(run)


def test_an_unreadable_directory_makes_every_generation_partial():
    def check(pod):
        pod.write("private/1")
        pod.write("a")
        (pod.root / "private").chmod(0)
        syncer = pod.syncer()
        done = syncer.run(pod.pass_options())
        assert done.generation.completeness == Partial(1, 0)
        assert not is_fully_stored(done)
        assert not may_store_more(done)
        assert explain_missing(done).startswith("1 files or directories cannot be read")
        assert "private: Permission denied" in explain_missing(done)
        again = syncer.run(pod.pass_options())
        assert isinstance(again, NoChanges)
        assert find_missing(again) == Partial(1, 0)
        assert not is_fully_stored(again)
        (pod.root / "private").chmod(0o700)
        assert syncer.run(pod.pass_options()).generation.completeness == Complete()

    unprivileged(check)


def test_an_unreadable_file_is_named_and_ends_the_last_flush_at_once():
    def check(pod):
        pod.write("mine")
        pod.write(os.fsdecode(b"other\xff"), b"four").chmod(0)
        done = pod.sync(final=True)
        assert done.generation.completeness == Partial(1, 4)
        assert count_unreadable(done) == 1
        assert explain_missing(done).endswith("such as other\\udcff: Permission denied")
        assert not may_store_more(done)

    unprivileged(check)


def test_a_repository_with_an_unreadable_object_is_stored():
    def check(pod):
        os.environ["HOME"] = str(pod.root)
        os.chdir(pod.root)
        git = ("git", "-c", "user.name=n", "-c", "user.email=n@example.org")
        subprocess.run((*git, "init", "-q", "repo"), check=True)
        run = (*git, "-C", "repo")
        subprocess.run((*run, "commit", "-q", "--allow-empty", "-m", "x"), check=True)
        written = subprocess.run(
            (*run, "hash-object", "-w", "--stdin"),
            input=b"dangling",
            capture_output=True,
            check=True,
        )
        name = written.stdout.decode().strip()
        pod.root.joinpath("repo/.git/objects", name[:2], name[2:]).chmod(0)
        entries = pod.sync().archive.tree_result.tree.entries
        assert {"repo/.git/HEAD", "repo/.git/config", "repo/.git/refs/heads"} <= entries.keys()

    unprivileged(check)


@pytest.mark.parametrize("code", [errno.EIO, errno.EMFILE, errno.EACCES])
def test_an_error_in_the_middle_of_a_file_is_reported(pod, monkeypatch, code):
    pod.write("a", b"a" * 10)
    pod.write("b", bytes(range(256)) * (20 << 10))

    def fail(*_arguments):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr(reader, "_read", fail)
        done = pod.sync()
    assert done.archive.read_files.unreadable.keys() == {"a", "b"}
    assert done.generation.completeness == Partial(2, 10 + (256 * 20 << 10))
    assert pod.sync().generation.completeness == Complete()


def test_an_error_of_a_directory_is_reported_and_deletes_nothing(pod, monkeypatch):
    pod.write("deep/in/side", b"kept")
    pod.sync()
    real = walk.os.scandir

    def fail(target):
        if isinstance(target, int) and Path(f"/proc/self/fd/{target}").readlink().name == "in":
            raise OSError(errno.EIO, "Input/output error")
        return real(target)

    with monkeypatch.context() as patched:
        patched.setattr(walk.os, "scandir", fail)
        done = pod.sync()
    assert done.generation.completeness == Partial(1, 0)
    assert "deep/in/side" in done.archive.tree_result.tree.entries
    assert pod.sync().generation.completeness == Complete()


def test_a_deep_tree_needs_few_descriptors(pod):
    path = "/".join(f"d{number}" for number in range(100))
    pod.write(f"{path}/end", b"end")
    syncer = pod.syncer()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(name.name) for name in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(used + 40, 60), hard))
    try:
        done = syncer.run(pod.pass_options())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert f"{path}/end" in done.archive.tree_result.tree.entries


def test_an_empty_directory_in_place_of_the_volume_is_not_stored(pod):
    pod.write("a")
    syncer = pod.syncer()
    syncer.run(pod.pass_options())
    pod.root.rename(pod.root.with_name("moved"))
    pod.root.mkdir()
    with pytest.raises(WorkspaceError, match="another volume"):
        syncer.run(pod.pass_options())
    pod.root.rmdir()
    with pytest.raises(WorkspaceError, match="cannot be read"):
        syncer.run(pod.pass_options())
    pod.root.with_name("moved").rename(pod.root)
    assert isinstance(syncer.run(pod.pass_options()), NoChanges)


def test_a_new_file_system_with_the_same_numbers_is_another_volume(tmp_path, pod, monkeypatch):
    status = tmp_path.stat()
    root = WorkspaceRoot(tmp_path, pod.excludes, (status.st_dev, status.st_ino))
    root.open().close()
    real = os.fstatvfs

    class Other:
        def __init__(self, descriptor):
            self.f_fsid = real(descriptor).f_fsid + 1

    monkeypatch.setattr(os, "fstatvfs", Other)
    with pytest.raises(WorkspaceError, match="another volume"):
        root.open()


@pytest.mark.parametrize("option", ["state", "project_secret", "shared_secret", "token_file"])
@pytest.mark.parametrize("form", ["below", "equal", "linked"])
def test_what_is_private_to_the_mirror_is_not_in_the_workspace(tmp_path, option, form):
    workspace = tmp_path / "workspace"
    (workspace / "in").mkdir(parents=True)
    (tmp_path / "link").symlink_to(workspace / "in")
    path = {
        "below": workspace / "in/new/state",
        "equal": workspace,
        "linked": tmp_path / "link/state",
    }[form]
    options = {"state": tmp_path / "workspace-state", option: path}
    if option != "state":
        options[option] = str(path)
    with pytest.raises(SettingsError, match=option.replace("_", "-")):
        MirrorConfig(workspace=workspace, prefix="n/s", **options).check_directories()
    MirrorConfig(
        workspace=workspace, prefix="n/s", state=tmp_path / "workspace-state"
    ).check_directories()


def test_the_termination_log_is_not_in_the_workspace(tmp_path):
    config = MirrorConfig(workspace=tmp_path, prefix="n/s", state=tmp_path.with_name("state"))
    with pytest.raises(SettingsError, match="--termination-log"):
        config.check_outside("--termination-log", tmp_path / "termination")
    config.check_outside("--termination-log", tmp_path.with_name("termination"))


@pytest.mark.parametrize("prepare", [os.mkfifo, lambda path: path.symlink_to("/nowhere")])
def test_a_state_file_is_neither_written_nor_read_through_what_is_there(tmp_path, prepare):
    state = StateDirectory(tmp_path)
    prepare(tmp_path / "index.new")
    state.write(state.index_path, b"index")
    assert state.read(state.index_path) == b"index"
    state.remove(state.index_path)
    prepare(state.index_path)
    with suppress(WorkspaceError):
        assert not state.read(state.index_path)


def test_the_last_flush_sends_small_files_first(pod, memory):
    for number in range(3):
        pod.write(f"large-{number}", os.urandom(5 << 20))
    pod.write("report.md", b"the result")
    memory.bucket.requests.clear()
    pod.sync(final=True)
    kinds = [request.key.partition("/")[0] for request in memory.bucket.requests]
    puts = [kind for kind in kinds if kind in {"packs", "blobs"}]
    assert sorted(puts) == ["blobs"] * 3 + ["packs"]
    assert "packs" in puts[:2]


@pytest.fixture
def uploader(memory):
    return Uploader(memory, WorkerPool(1, "upload"), SnapshotTree())


def test_a_file_that_cannot_be_sent_in_time_is_not_begun(uploader, memory):
    clock = FakeClock()
    pace = UploadPace(Deadline(clock, 20.0))
    pace.begin(uploader)
    assert pace.fits(1 << 40)  # nothing is known yet
    clock.seconds, uploader.sent_bytes, uploader.begun_bytes = 10.0, 20 << 20, 20 << 20
    assert pace.fits(19 << 20)
    assert not pace.fits(21 << 20)
    uploader.begun_bytes += 10 << 20
    assert not pace.fits(21 << 20)
    pace.begin(Uploader(memory, WorkerPool(1, "upload"), SnapshotTree()))
    assert not pace.fits(21 << 20)
    assert pace.fits(10 << 20)


def test_a_pass_without_a_deadline_begins_everything(uploader):
    pace = UploadPace(Deadline(FakeClock()))
    pace.begin(uploader)
    assert pace.fits(1 << 60)
