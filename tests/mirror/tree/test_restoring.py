"""A restore gives the snapshot or an error that says why, and never writes anywhere else."""

import errno
import os
import resource
import threading
from pathlib import Path

import pytest
from msgspec.structs import replace

from bench.trees import w1, write_hard_names
from reconcile.mirror.errors import DamagedError, WorkspaceError
from reconcile.mirror.model import Alone, Directory, Entry, File, HardLink, Symlink
from reconcile.mirror.tree import placing, restoring
from reconcile.mirror.tree.restoring import Found, Restorer
from reconcile.mirror.tree.sites import ASIDE
from tests.mirror.comparing import differences
from tests.mirror.tree.nobody import as_nobody, open_folder
from tests.mirror.tree.snapshots import Memory, put, take, write

T = 1_700_000_000_123_456_789


@pytest.fixture
def before(tmp_path: Path) -> Path:
    folder = tmp_path / "before"
    folder.mkdir()
    write_hard_names(folder / "odd", lambda: T)
    w1(folder, 40)
    return folder


@pytest.fixture
def after(tmp_path: Path) -> Path:
    (tmp_path / "after").mkdir()
    return tmp_path / "after"


def file(path: str, data: bytes = b"data", mode: int = 0o644) -> File:
    return File(path, mode, T, len(data), (f"digest of {data!r}",) if data else (), Alone())


def test_nothing_is_visible_before_the_end(before: Path, after: Path):
    memory = take(before)
    restorer = Restorer(after, memory.entries)
    restorer.begin()
    write(memory, restorer, restorer.files)
    assert [path.name for path in after.iterdir()] == [ASIDE]
    restorer.finish()
    assert differences(before, after) == []


def test_many_threads_restore_at_once(before: Path, after: Path):
    memory = take(before)
    restorer = Restorer(after, memory.entries)
    restorer.begin()
    files = restorer.files
    threads = [
        threading.Thread(target=write, args=(memory, restorer, files[number::4]))
        for number in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    restorer.finish()
    assert differences(before, after) == []


def test_no_descriptor_stays_open(before: Path, after: Path):
    memory = take(before)
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    put(memory, after)
    put(memory, after)
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before


def test_lost_and_found_is_nobodys_data(before: Path, after: Path):
    (after / "lost+found/lost").mkdir(parents=True)
    put(take(before), after)
    assert (after / "lost+found/lost").is_dir()
    assert [line for line in differences(before, after) if "lost+found" not in line] == []


def test_files_in_read_only_directories_come_back_for_a_user_without_rights():
    with open_folder() as folder:

        def check() -> None:
            before, after = folder / "before", folder / "after"
            before.mkdir()
            after.mkdir()
            (before / "closed").mkdir()
            (before / "closed/file").write_bytes(b"data")
            (before / "closed/below").mkdir()
            (before / "closed/file").chmod(0o400)
            (before / "closed/below").chmod(0o555)
            (before / "closed").chmod(0o555)
            memory = take(before)
            put(memory, after)
            assert differences(before, after) == []
            put(memory, after)
            assert differences(before, after) == []

        as_nobody(check)


@pytest.mark.parametrize("stage", range(4))
def test_an_attempt_that_was_cut_off_is_completed(
    before: Path, after: Path, stage: int, monkeypatch
):
    memory = take(before)
    first = Restorer(after, memory.entries)
    first.begin()
    if stage > 0:
        write(memory, first, first.files[: len(first.files) // 2])
    if stage > 1:
        write(memory, first, first.files[len(first.files) // 2 :])
        monkeypatch.setattr(restoring, "link" if stage == 2 else "dress_last", _fail)
        with pytest.raises(WorkspaceError):
            first.finish()
    first.close()
    monkeypatch.undo()
    second = put(memory, after)
    assert differences(before, after) == []
    assert (after / ASIDE).exists() is False
    if stage > 1:
        assert second.files == []


def _fail(*_arguments: object) -> None:
    raise OSError(errno.EIO, "the plug was pulled")


def test_only_what_is_missing_is_asked_for_again(before: Path, after: Path):
    memory = take(before)
    put(memory, after)
    (after / "folder-001/file-00.txt").unlink()
    (after / "odd/linked/dangling").unlink()
    (after / "odd/linked/three").unlink()
    assert [entry.path for entry in put(memory, after).files] == ["folder-001/file-00.txt"]
    assert differences(before, after) == []


def test_wrong_modes_and_times_of_a_leftover_are_set_right(before: Path, after: Path):
    memory = take(before)
    put(memory, after)
    (after / "folder-001/file-00.txt").chmod(0o777)
    os.utime(after / "folder-001/file-00.txt", ns=(1, 1))
    (after / "folder-001").chmod(0o700)
    put(memory, after)
    assert differences(before, after) == []


SPOILT = {
    "folder-001/file-00.txt": lambda path: path.write_bytes(b"x" * 4096),
    "folder-002/file-00.txt": lambda path: path.write_bytes(b"short"),
    "folder-003": lambda path: (path / "file-00.txt").unlink() or path.rmdir() or path.touch(),
    "folder-004/file-00.txt": lambda path: path.unlink() or path.mkdir() or (path / "x").touch(),
    "folder-005/file-00.txt": lambda path: path.unlink() or path.symlink_to("/etc/passwd"),
    "odd/linked/dangling": lambda path: path.unlink() or path.symlink_to("elsewhere"),
    "odd/linked/up": lambda path: path.unlink() or path.write_text("no link"),
    "odd/linked/three": lambda path: path.unlink() or path.write_bytes(b"one of three names\n"),
    "foreign": lambda path: path.touch(),
    "folder-006/foreign/deeper": lambda path: path.mkdir(parents=True) or os.mkfifo(path / "fifo"),
    "fifo": os.mkfifo,
    "folder-007": lambda path: (path.rename(path.with_name("m")), path.symlink_to("m")),
}


@pytest.mark.parametrize("path", SPOILT)
def test_our_own_leftovers_are_set_right_and_a_strangers_are_left_alone(
    before: Path, after: Path, path: str
):
    memory = take(before)
    put(memory, after)
    SPOILT[path](after / path)
    spoilt = differences(before, after)
    with pytest.raises(WorkspaceError, match="they may be newer work") as caught:
        put(memory, after)
    assert "--force" in str(caught.value)
    assert path.partition("/")[0] in str(caught.value)
    assert differences(before, after) == spoilt
    put(memory, after, Found.OURS)
    assert differences(before, after) == []


def test_two_files_that_became_one_are_parted_again(before: Path, after: Path):
    (before / "a").write_bytes(b"same")
    (before / "b").write_bytes(b"same")
    memory = take(before)
    put(memory, after)
    (after / "b").unlink()
    (after / "b").hardlink_to(after / "a")
    put(memory, after, Found.OURS)
    assert (after / "a").stat().st_ino != (after / "b").stat().st_ino
    assert differences(before, after) == []


def test_links_that_a_stranger_planted_in_the_volume_are_never_followed(
    before: Path, after: Path, tmp_path: Path
):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("precious")
    (after / ASIDE).symlink_to(outside)
    (after / "odd").symlink_to(outside)
    (after / "folder-001").mkdir()
    (after / "folder-001/file-00.txt").symlink_to(outside / "precious")
    put(take(before), after, Found.OURS)
    assert differences(before, after) == []
    assert [path.name for path in outside.iterdir()] == ["precious"]
    assert (outside / "precious").read_text() == "precious"


FORGED = [
    [file("../escaped")],
    [file("..")],
    [file(".")],
    [file("")],
    [file("/etc/escaped")],
    [Directory("a", 0o755, T), file("a/../../escaped")],
    [Directory("a", 0o755, T), file("a//b")],
    [file("a\0b")],
    [file("a/b")],
    [Symlink("a", "/etc", T), file("a/b")],
    [file("a"), file("a/b")],
    [HardLink("a", "/etc/passwd")],
    [HardLink("a", "../escaped")],
    [Symlink("a", "/etc/passwd", T), HardLink("b", "a")],
    [Directory(ASIDE, 0o755, T)],
]


@pytest.mark.parametrize("entries", FORGED)
def test_a_forged_snapshot_is_refused_before_anything_is_written(after: Path, entries):
    with pytest.raises(DamagedError):
        Restorer(after, entries).begin()
    assert list(after.iterdir()) == []
    assert [path.name for path in after.parent.iterdir()] == ["after"]


def test_a_file_of_another_length_is_refused(after: Path):
    restorer = Restorer(after, [file("a"), file("b")])
    restorer.begin()
    with pytest.raises(DamagedError, match="longer"):
        restorer.write(file("a"), b"too much data")
    restorer.write(file("b"), b"data")
    with pytest.raises(DamagedError, match="1 files were not restored, such as 'a'"):
        restorer.finish()
    restorer.close()


def test_a_large_file_is_written_blob_by_blob_in_any_order_and_keeps_its_holes(after: Path):
    size, chunk = 3 << 20, 1 << 20
    large = File("large", 0o640, T, size + 3, ("a", "b", "c", "d"), Alone())
    restorer = Restorer(after, [large])
    restorer.begin()
    restorer.write_at(large, size, b"end")
    restorer.write_at(large, 0, b"x" * chunk)
    restorer.write_at(large, 2 * chunk, bytes(chunk))
    restorer.write_at(large, chunk, bytes(chunk))
    restorer.finish()
    data, status = (after / "large").read_bytes(), (after / "large").stat()
    assert data == b"x" * chunk + bytes(2 * chunk) + b"end"
    assert (status.st_mode & 0o7777, status.st_mtime_ns) == (0o640, T)
    assert status.st_blocks * 512 < size


def test_a_write_that_takes_less_than_asked_goes_on(after: Path, monkeypatch):
    pwrite = os.pwrite
    monkeypatch.setattr(
        placing.os, "pwrite", lambda descriptor, data, at: pwrite(descriptor, data[:3], at)
    )
    restorer = Restorer(after, [file("a", b"0123456789")])
    restorer.begin()
    restorer.write(file("a", b"0123456789"), b"0123456789")
    restorer.finish()
    assert (after / "a").read_bytes() == b"0123456789"


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "the volume is full: make it larger"),
        (errno.EDQUOT, "the volume's quota is used up: raise it"),
        (errno.EACCES, "must run as the runner's user"),
        (errno.EROFS, "the volume is read-only: mount it writable"),
        (errno.ENOTTY, os.strerror(errno.ENOTTY)),
    ],
)
def test_what_the_volume_refuses_is_said_with_the_file_and_what_to_do(
    after: Path, monkeypatch, number: int, advice: str
):
    restorer = Restorer(after, [file("a")])
    restorer.begin()

    def refuse(*_arguments: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(placing.os, "pwrite", refuse)
    with pytest.raises(WorkspaceError, match="'a' cannot be restored") as caught:
        restorer.write(file("a"), b"data")
    assert advice in str(caught.value)
    restorer.close()


def test_a_real_limit_on_the_size_of_files_is_said(after: Path):
    data = bytes(range(256)) * 4096
    restorer = Restorer(after, [file("a", data)])
    restorer.begin()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
    try:
        with pytest.raises(WorkspaceError, match="larger than the volume or a limit allows"):
            restorer.write(file("a", data), data)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    restorer.close()


def test_a_volume_that_may_not_be_written_is_said():
    with open_folder() as folder:

        def check() -> None:
            (folder / "volume").mkdir()
            (folder / "volume").chmod(0o555)
            with pytest.raises(WorkspaceError, match="must run as the runner's user"):
                Restorer(folder / "volume", [file("a")]).begin()

        as_nobody(check)


def test_a_volume_that_is_not_there_or_a_link_is_said(tmp_path: Path):
    with pytest.raises(WorkspaceError, match="there is no such folder: mount the volume there"):
        Restorer(tmp_path / "missing", []).begin()
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(WorkspaceError):
        Restorer(tmp_path / "link", []).begin()


def test_a_name_that_the_file_system_does_not_take_is_said(after: Path):
    restorer = Restorer(after, [file("x" * 256)])
    restorer.begin()
    with pytest.raises(WorkspaceError, match="takes no name as long as this"):
        restorer.write(file("x" * 256), b"data")
    restorer.close()


def test_an_empty_snapshot_leaves_an_empty_volume(after: Path):
    put(Memory(), after)
    assert list(after.iterdir()) == []


def test_a_restorer_that_has_not_begun_says_so(after: Path):
    with pytest.raises(RuntimeError, match="begin"):
        Restorer(after, []).finish()


def test_special_bits_come_back(after: Path):
    entries: list[Entry] = [Directory("d", 0o3775, T), replace(file("f", b""), mode=0o6711)]
    put(Memory(entries), after)
    assert (after / "d").stat().st_mode & 0o7777 == 0o3775
    assert (after / "f").stat().st_mode & 0o7777 == 0o6711


def test_files_that_a_forked_helper_has_written_count_as_written(after: Path):
    restorer = Restorer(after, [file("a"), file("b")])
    restorer.begin()
    child = os.fork()
    if not child:
        restorer.write(file("a"), b"data")
        os._exit(0)
    restorer.write(file("b"), b"data")
    assert os.waitpid(child, 0)[1] == 0
    restorer.trust([file("a")])
    restorer.finish()
    assert (after / "a").read_bytes() == b"data"
