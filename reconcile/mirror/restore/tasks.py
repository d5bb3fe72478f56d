"""What a restore is made of: one object of the store each, and the files that lie in it.

Brings the files of a tree from the store, several tasks at a time.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TypeAlias, assert_never

from msgspec import Struct

from reconcile.mirror.concurrency import Deadline, WorkerPool
from reconcile.mirror.model import File, LooseBlobs, Pack, PackedBlob, SnapshotTree
from reconcile.mirror.snapshot.keys import CHUNK


class PackTask(Struct, frozen=True, tag=True):
    """Write these files, all of which lie in this pack."""

    pack: Pack
    files: tuple[File, ...]


class FileTask(Struct, frozen=True, tag=True):
    """Write this file, whose only blob is an object."""

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
    """What one task has brought: so many files that are done, and bytes.

    `index_rows` are those of an index, as bytes, for the task's files one by one; none for a chunk.
    """

    files: int
    size: int
    index_rows: bytes = b""


TaskRunner: TypeAlias = Callable[[RestoreTask], TaskResult]
"""Performs a task. Raises DamagedError, StoreError or WorkspaceError."""


def plan_tasks(tree: SnapshotTree, files: Iterable[File]) -> Iterator[RestoreTask]:
    """Yield what brings these files of a tree; large ones come first, since they take longest."""
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
    """Return of which files a task writes how many bytes."""
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
    for place, digest in enumerate(file.blobs):
        offset = place * CHUNK
        size, last = min(CHUNK, file.size - offset), place == len(file.blobs) - 1
        yield ChunkTask(file.path, offset, size, digest, last)


OnProgress: TypeAlias = Callable[[TaskResult], None]


class TaskDispatcher:
    """Lets tasks be done in lanes; `heard` is told what each has brought, in its lane."""

    def __init__(self, run_task: TaskRunner, on_progress: OnProgress) -> None:
        self._run_task = run_task
        self._on_progress = on_progress

    def run(
        self, tree: SnapshotTree, files: Iterable[File], pool: WorkerPool, deadline: Deadline
    ) -> None:
        """Write all these files of a tree.

        Raises:
            DamagedError: An object is missing, or not what its digest says; names it.
            StoreError: One could not be read.
            WorkspaceError: The volume does not let it be written.
        """
        for task in plan_tasks(tree, files):
            pool.submit(partial(self._run_and_report, task), deadline)
        pool.drain(deadline)

    def _run_and_report(self, task: RestoreTask) -> None:
        self._on_progress(self._run_task(task))
