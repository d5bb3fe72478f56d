"""A restore gives the snapshot or an error with the reason, and never writes elsewhere."""

import os
import threading
from pathlib import Path

import pytest
from msgspec.structs import replace

from reconcile.mirror.model import Directory, Entry, File, LooseBlobs
from reconcile.mirror.workspace import writer
from reconcile.mirror.workspace.restorer import Restorer
from reconcile.mirror.workspace.writer import STAGING_DIR
from tests.mirror.compare_trees import differences
from tests.mirror.workspace.snapshot_files import T, file
from tests.mirror.workspace.snapshots import Memory, put, take, write
from tests.mirror.workspace.unprivileged import as_nobody, open_folder


def test_nothing_is_visible_before_the_end(before: Path, after: Path):
    memory = take(before)
    restorer = Restorer(after, memory.entries)
    restorer.begin()
    write(memory, restorer, restorer.files)
    assert [path.name for path in after.iterdir()] == [STAGING_DIR]
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


def test_lost_and_found_is_ignored(before: Path, after: Path):
    (after / "lost+found/lost").mkdir(parents=True)
    put(take(before), after)
    assert (after / "lost+found/lost").is_dir()
    assert [line for line in differences(before, after) if "lost+found" not in line] == []


def test_files_in_read_only_directories_are_restored_by_an_unprivileged_user():
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


def test_a_large_file_is_written_blob_by_blob_in_any_order_and_keeps_its_holes(after: Path):
    size, chunk = 3 << 20, 1 << 20
    large = File("large", 0o640, T, size + 3, ("a", "b", "c", "d"), LooseBlobs())
    restorer = Restorer(after, [large])
    restorer.begin()
    for offset, data in (
        (size, b"end"),
        (0, b"x" * chunk),
        (2 * chunk, bytes(chunk)),
        (chunk, bytes(chunk)),
    ):
        with restorer.open_chunk(large.path, range(offset, offset + len(data))) as spot:
            spot.write(data, 0)
    restorer.finish()
    data, status = (after / "large").read_bytes(), (after / "large").stat()
    assert data == b"x" * chunk + bytes(2 * chunk) + b"end"
    assert (status.st_mode & 0o7777, status.st_mtime_ns) == (0o640, T)
    assert status.st_blocks * 512 < size


def test_a_short_write_is_continued(after: Path, monkeypatch):
    pwrite = os.pwrite
    monkeypatch.setattr(
        writer.os, "pwrite", lambda descriptor, data, at: pwrite(descriptor, data[:3], at)
    )
    restorer = Restorer(after, [file("a", b"0123456789")])
    restorer.begin()
    restorer.write(file("a", b"0123456789"), b"0123456789")
    restorer.finish()
    assert (after / "a").read_bytes() == b"0123456789"


def test_an_empty_snapshot_leaves_an_empty_volume(after: Path):
    put(Memory(), after)
    assert list(after.iterdir()) == []


def test_a_restorer_that_has_not_begun_is_an_error(after: Path):
    with pytest.raises(RuntimeError, match="begin"):
        Restorer(after, []).finish()


def restored_modes(after: Path) -> tuple[int, ...]:
    entries: list[Entry] = [
        Directory("d", 0o3775, T),
        replace(file("f", b""), mode=0o6711),
        replace(file("g", b""), mode=0o4755),
        replace(file("h", b""), mode=0o2755),
    ]
    put(Memory(entries), after)
    return tuple((after / entry.path).stat().st_mode & 0o7777 for entry in entries)


def test_special_mode_bits_are_restored(after: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1001)
    assert restored_modes(after) == (0o3775, 0o6711, 0o4755, 0o2755)


def test_a_restore_by_root_makes_no_program_run_as_root(
    after: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert restored_modes(after) == (0o3775, 0o711, 0o755, 0o755)
    assert restored_modes(after) == (0o3775, 0o711, 0o755, 0o755), "existing files, too"


def test_files_that_a_worker_process_has_written_count_as_written(after: Path):
    restorer = Restorer(after, [file("a"), file("b")])
    restorer.begin()
    child = os.fork()
    if not child:
        restorer.write(file("a"), b"data")
        os._exit(0)
    restorer.write(file("b"), b"data")
    assert os.waitpid(child, 0)[1] == 0
    restorer.record_written("a", 4)
    restorer.finish()
    assert (after / "a").read_bytes() == b"data"
