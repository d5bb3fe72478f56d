"""`python -m bench.workspace`: the cost of walking, reading and restoring, compared with tar.

Everything is on /dev/shm if it exists, so that the program is measured and not the disk.
"""

import argparse
import gc
import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bench.measure import Cost, function
from bench.trees import w1, w2
from reconcile.mirror.model import Directory, Entry, File, LooseBlobs, Symlink
from reconcile.mirror.workspace.dirfd import DirectoryHandles
from reconcile.mirror.workspace.excludes import DEFAULT_EXCLUDES, Excludes
from reconcile.mirror.workspace.reader import ReadContent, read_chunks, read_link, read_small_file
from reconcile.mirror.workspace.restorer import Restorer
from reconcile.mirror.workspace.walk import FileStat, walk

CHUNK = 8 << 20


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    argparse.ArgumentParser(prog="python -m bench.workspace", description=__doc__).parse_args(
        arguments
    )
    with tempfile.TemporaryDirectory(prefix="bench-", dir=_memory()) as folder:
        for name, make in (("W1", w1), ("W2", w2)):
            (Path(folder) / name).mkdir()
            make(Path(folder) / name)
            measure(name, Path(folder))


def measure(name: str, folder: Path) -> None:
    """Print one table."""
    root = folder / name
    seen, _ = walk(root, Excludes(DEFAULT_EXCLUDES))
    entries, blobs = take(root, seen)
    print(f"\n{name}: {len(entries)} entries\n{'':<34}{'wall s':>8}{'CPU s':>8}")
    show("walk", function(lambda: walk(root, Excludes(DEFAULT_EXCLUDES)), times=3))
    show("read and hash all, one thread", function(lambda: take(root, seen)[0]))
    tar = folder / f"{name}.tar"
    show("tar c", command("tar", "cf", str(tar), "-C", str(root), "."))
    for label, write in WAYS.items():
        with target_folder(folder) as target:
            took = timed(partial(restore, target, entries, blobs, write))
            show(f"restore, {label}", took)
    with target_folder(folder) as target:
        show("tar x", command("tar", "xpf", str(tar), "-C", str(target), "--warning=no-timestamp"))
    tar.unlink()


def take(root: Path, seen: Sequence[FileStat]) -> tuple[list[Entry], dict[str, list[bytes]]]:
    """Read everything into memory."""
    entries: list[Entry] = []
    blobs: dict[str, list[bytes]] = {}
    with DirectoryHandles(root) as directories:
        for entry in seen:
            mode = stat.S_IMODE(entry.mode)
            if stat.S_ISDIR(entry.mode):
                entries.append(Directory(entry.path, mode, entry.mtime))
            elif stat.S_ISLNK(entry.mode):
                entries.append(Symlink(entry.path, read_link(directories, entry), entry.mtime))
            else:
                pieces = _pieces(directories, entry)
                names = tuple(hashlib.sha256(piece).hexdigest() for piece in pieces)
                entries.append(File(entry.path, mode, entry.mtime, entry.size, names, LooseBlobs()))
                blobs[entry.path] = pieces
    return entries, blobs


def _pieces(directories: DirectoryHandles, seen: FileStat) -> list[bytes]:
    if seen.size > CHUNK:
        return list(read_chunks(directories, seen, CHUNK))
    match read_small_file(directories, seen):
        case ReadContent(data):
            return [data] if data else []
        case other:
            raise RuntimeError(f"{other}: the tree changes")


Write = Callable[[Restorer, Sequence[File], dict[str, list[bytes]]], None]


def restore(
    target: Path, entries: Sequence[Entry], blobs: dict[str, list[bytes]], write: Write
) -> None:
    """Restore into an empty folder."""
    restorer = Restorer(target, entries)
    restorer.begin()
    write(restorer, restorer.files, blobs)
    restorer.finish()


def one_thread(restorer: Restorer, files: Sequence[File], blobs: dict[str, list[bytes]]) -> None:
    """Write from this thread."""
    for file in files:
        pieces = blobs[file.path]
        if len(pieces) == 1:
            restorer.write(file, pieces[0])
        else:
            for number, piece in enumerate(pieces):
                start = number * CHUNK
                with restorer.open_chunk(file.path, range(start, start + len(piece))) as file_chunk:
                    file_chunk.write(piece, 0)


def two_threads(restorer: Restorer, files: Sequence[File], blobs: dict[str, list[bytes]]) -> None:
    """Write one half of the files from a second thread."""
    half = len(files) // 2
    other = threading.Thread(target=one_thread, args=(restorer, files[:half], blobs))
    other.start()
    one_thread(restorer, files[half:], blobs)
    other.join()


def two_processes(restorer: Restorer, files: Sequence[File], blobs: dict[str, list[bytes]]) -> None:
    """Write one half from a forked process, which shares the memory with the content."""
    half = len(files) // 2
    child = os.fork()
    if not child:
        one_thread(restorer, files[:half], blobs)
        os._exit(0)
    one_thread(restorer, files[half:], blobs)
    if os.waitpid(child, 0)[1]:
        raise RuntimeError("the forked process failed")
    for file in files[:half]:
        restorer.record_written(file.path, file.size)


WAYS: dict[str, Write] = {
    "one thread": one_thread,
    "two threads": two_threads,
    "two processes": two_processes,
}


def timed(work: Callable[[], object]) -> Cost:
    """Measure one call, after a garbage collection."""
    gc.collect()
    return function(work)


def command(*arguments: str) -> Cost:
    """Measure one program."""
    began = time.perf_counter()
    with subprocess.Popen(arguments) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{arguments[0]} ended with {process.returncode}")
    return Cost(time.perf_counter() - began, usage.ru_utime + usage.ru_stime)


@contextmanager
def target_folder(folder: Path) -> Iterator[Path]:
    """Yield a new folder, and remove it at the end."""
    target = folder / "target"
    target.mkdir()
    yield target
    shutil.rmtree(target)


def show(what: str, cost: Cost) -> None:
    """Print one line."""
    print(f"{what:<34}{cost.wall:>8.2f}{cost.cpu:>8.2f}", flush=True)


def _memory() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


if __name__ == "__main__":
    main()
