"""The tasks of a restore: each downloads one object and writes the files that are stored in it."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TypeAlias, assert_never

from msgspec import Struct

from reconcile.mirror.concurrency import Deadline, WorkerPool
from reconcile.mirror.model import File, LooseBlobs, Pack, PackedBlob, SnapshotTree
from reconcile.mirror.snapshot.entries import iter_loose_blobs


class PackTask(Struct, frozen=True, tag=True):
    """Write these files, all of which are stored in this pack."""

    pack: Pack
    files: tuple[File, ...]


class FileTask(Struct, frozen=True, tag=True):
    """Write this file, whose only blob is an object of its own."""

    file: File


class ChunkTask(Struct, frozen=True, tag=True):
    """Write one of a file's blobs; `is_last` if the file has none after it."""

    path: str
    offset: int
    size: int
    digest: str
    is_last: bool


RestoreTask: TypeAlias = PackTask | FileTask | ChunkTask


class TaskResult(Struct, frozen=True, tag=True):
    """What one task has restored.

    Attributes:
        files: How many files are complete.
        size: Bytes that were downloaded.
        index_rows: The index rows of the files, in the order of the task; empty for a chunk.
    """

    files: int
    size: int
    index_rows: bytes = b""


TaskRunner: TypeAlias = Callable[[RestoreTask], TaskResult]
"""Runs a task. Raises DamagedError, StoreError or WorkspaceError."""


def plan_tasks(tree: SnapshotTree, files: Iterable[File]) -> Iterator[RestoreTask]:
    """Yield the tasks that restore these files of a tree; large files first: they take longest."""
    packed: dict[int, list[File]] = defaultdict(list)
    for file in files:
        match file.location:
            case PackedBlob(number, _):
                packed[number].append(file)
            case LooseBlobs():
                yield from _plan_object_tasks(file)
    for number, members in packed.items():
        yield PackTask(tree.packs[number], tuple(members))


def list_file_sizes(task: RestoreTask) -> Iterable[tuple[str, int]]:
    """Return the path of each file that a task writes, and how many of its bytes."""
    match task:
        case PackTask(_, files):
            return [(file.path, file.size) for file in files]
        case FileTask(file):
            return [(file.path, file.size)]
        case ChunkTask(path, _, size, _, _):
            return [(path, size)]
        case _:
            assert_never(task)


def _plan_object_tasks(file: File) -> Iterator[RestoreTask]:
    if len(file.blobs) == 1:
        yield FileTask(file)
        return
    for digest, part in iter_loose_blobs(file):
        yield ChunkTask(file.path, part.start, len(part), digest, part.stop == file.size)


def run_tasks(
    run_task: TaskRunner, tasks: Iterable[RestoreTask], pool: WorkerPool, deadline: Deadline
) -> None:
    """Run all tasks on the threads of a pool.

    Raises:
        DamagedError: An object is missing, or does not match its digest; names it.
        StoreError: An object could not be read.
        WorkspaceError: The volume cannot be written.
        DeadlineExceededError: The deadline came before.
    """
    for task in tasks:
        pool.submit(partial(run_task, task), deadline)
    pool.drain(deadline)
