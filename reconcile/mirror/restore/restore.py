"""Restores a generation into a pod's volume, and writes the index of the result.

The index comes from the state of each file right after it was written, so that the volume need not
be walked again.
"""

import os
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from reconcile.mirror.clock import Clock
from reconcile.mirror.concurrency import Deadline, WorkerPool
from reconcile.mirror.head import last_manifest_digest, read_cached_tree
from reconcile.mirror.index import (
    COLUMN_COUNT,
    Index,
    append_row,
    build_index,
    encode_paths,
    save_index,
)
from reconcile.mirror.local_state import StateDirectory, read_volume_id
from reconcile.mirror.model import Entry, File, Generation, HardLink, SnapshotTree
from reconcile.mirror.restore.downloader import Downloader
from reconcile.mirror.restore.tasks import (
    ChunkTask,
    FileTask,
    PackTask,
    RestoreTask,
    TaskResult,
    list_file_sizes,
    plan_tasks,
    run_tasks,
)
from reconcile.mirror.restore.worker import NoWorker, WorkerProcess
from reconcile.mirror.store.port import Store
from reconcile.mirror.workspace.dirfd import DirectoryHandles
from reconcile.mirror.workspace.excludes import Excludes
from reconcile.mirror.workspace.restorer import Restorer, VolumeOwner
from reconcile.mirror.workspace.writer import translate_errors


class IndexBuilder:
    """Collects the index rows of restored files, from any thread."""

    def __init__(self) -> None:
        self._results: list[tuple[tuple[File, ...], bytes]] = []

    def add(self, task: RestoreTask, result: TaskResult) -> None:
        """Add the rows of a task's files."""
        match task:
            case PackTask(_, files):
                self._results.append((files, result.index_rows))
            case FileTask(file):
                self._results.append(((file,), result.index_rows))
            case ChunkTask():
                pass

    def build(self, manifest_digest: str, root: Path, entries: Mapping[str, Entry]) -> Index:
        """Return the index of a volume that holds exactly these entries; may be called once.

        Args:
            manifest_digest: The digest of the generation's last manifest.
            root: The restored volume.
            entries: All of them, in the order of paths.

        Raises:
            WorkspaceError: An entry that no task wrote cannot be read.
        """
        offsets = {path: COLUMN_COUNT * position for position, path in enumerate(entries)}
        numbers = array("q", bytes(8 * COLUMN_COUNT * len(entries)))
        while self._results:
            files, rows = self._results.pop()
            columns = array("q", rows)
            for number, file in enumerate(files):
                offset, start = offsets[file.path], COLUMN_COUNT * number
                numbers[offset : offset + COLUMN_COUNT] = columns[start : start + COLUMN_COUNT]
        for path, row in _read_rows(root, _paths_without_row(entries, numbers)):
            numbers[offsets[path] : offsets[path] + COLUMN_COUNT] = row
        return Index(manifest_digest, encode_paths(entries.values()), numbers)


def _paths_without_row(entries: Mapping[str, Entry], numbers: "array[int]") -> Iterator[str]:
    """Yield what no task wrote, and what changed afterwards: by a link, or by its publication."""
    linked = {entry.target for entry in entries.values() if type(entry) is HardLink}
    for position, path in enumerate(entries):
        row = numbers[COLUMN_COUNT * position : COLUMN_COUNT * (position + 1)]
        if "/" not in path or path in linked or not any(row):
            yield path


def _read_rows(root: Path, paths: Iterator[str]) -> "Iterator[tuple[str, array[int]]]":
    with translate_errors(root, ""), DirectoryHandles(root) as directories:
        for path in paths:
            parent, name = directories.open_parent(path)
            row = array("q")
            append_row(row, os.stat(name, dir_fd=parent, follow_symlinks=False))
            yield path, row


_EMPTY_VOLUME_NAMES = frozenset({"lost+found"})
"""What an empty volume may hold."""


class RestoreTarget(Struct, frozen=True):
    """Where to restore to, and the state directory of that volume."""

    root: Path
    state: StateDirectory
    excludes: Excludes


class RestoreContext(Struct, frozen=True):
    """What a restore works with.

    Attributes:
        store: The session's prefix.
        pool: Threads for downloads.
        clock: For deadlines, and for the time of a claim.
        on_progress: Called with each task's result, from several threads.
        check_store: Raises a StoreError where the store may not be used for commits.
        worker: Runs a part of the tasks in a second process.
    """

    store: Store
    pool: WorkerPool
    clock: Clock
    on_progress: Callable[[TaskResult], None]
    check_store: Callable[[], None]
    worker: WorkerProcess = NoWorker()


class RestoredVolume(Struct, frozen=True):
    """The volume holds this generation, which is the empty one for a new session."""

    generation: Generation
    files: int
    size: int


def restore_volume(
    target: RestoreTarget, context: RestoreContext, generation: Generation
) -> RestoredVolume:
    """Restore the generation into the volume, and write its index.

    Raises:
        StoreError: The store could not be read.
        DamagedError: A manifest or a pack is missing, altered or malformed; names it.
        UnknownFormatError: Another version wrote them.
        WorkspaceError: The volume cannot be written, or holds files of another owner.
    """
    context.worker.prepare(sum(ref.size for ref in generation.chain))
    tree = read_cached_tree(context.store, target.state, generation)
    if tree.entries:
        return _restore_files(target, context, tree, generation)
    save_index(target.state, _build_index_from_scan(target, tree, generation, context.clock))
    return RestoredVolume(generation, 0, 0)


def _restore_files(
    target: RestoreTarget, context: RestoreContext, tree: SnapshotTree, generation: Generation
) -> RestoredVolume:
    """Restore, and write the index, so that the first sync reads only what the snapshot lacks."""
    restorer = Restorer(target.root, tree.entries.values(), _determine_owner(target))
    restorer.begin()
    was_empty, files = restorer.was_empty, restorer.files
    try:
        index_builder = _run_tasks(context, restorer, plan_tasks(tree, files))
        restorer.finish()
    finally:
        restorer.close()
    if was_empty:
        digest = last_manifest_digest(generation)
        index = index_builder.build(digest, target.root, tree.entries)
    else:
        index = _build_index_from_scan(target, tree, generation, context.clock)
    save_index(target.state, index)
    return RestoredVolume(generation, len(files), sum(file.size for file in files))


def _run_tasks(
    context: RestoreContext, restorer: Restorer, tasks: Iterable[RestoreTask]
) -> IndexBuilder:
    """Run all tasks; the buffers of the downloads are free before the index is built."""
    execution = _TaskExecution(context, restorer)
    run_tasks(execution.run_task, tasks, context.pool, Deadline(context.clock))
    return execution.index_builder


class _TaskExecution:
    """Runs the tasks of one restore: in the worker process where it is free, else in this one.

    The worker process writes only to a volume that was empty: elsewhere it would have to know
    which files are there already.
    """

    def __init__(self, context: RestoreContext, restorer: Restorer) -> None:
        self._context = context
        self._restorer = restorer
        self._downloader = Downloader(context.store, restorer)
        self._worker = context.worker if restorer.was_empty else NoWorker()
        self.index_builder = IndexBuilder()

    def run_task(self, task: RestoreTask) -> TaskResult:
        """Run a task and report what it restored; raises as `Downloader.run_task`."""
        result = self._worker.try_run(task)
        if result is None:
            result = self._downloader.run_task(task)
        else:
            for path, size in list_file_sizes(task):
                self._restorer.record_written(path, size)
        self.index_builder.add(task, result)
        self._context.on_progress(result)
        return result


def _determine_owner(target: RestoreTarget) -> VolumeOwner:
    """Say whether all files of the volume come from an earlier attempt of this restore.

    The attempt is recorded before the first byte is written, and only if the volume is empty then.
    """
    volume = read_volume_id(target.root)
    note = b"%d %d\n" % (volume.device, volume.inode)
    if target.state.read(target.state.attempt_path) == note:
        return VolumeOwner.OURS
    with translate_errors(target.root, ""):
        names = {path.name for path in target.root.iterdir()}
    if names <= _EMPTY_VOLUME_NAMES:
        target.state.write(target.state.attempt_path, note)
    return VolumeOwner.FOREIGN


def _build_index_from_scan(
    target: RestoreTarget, tree: SnapshotTree, generation: Generation, clock: Clock
) -> Index:
    from reconcile.mirror.workspace.fair_share import WalkLimits
    from reconcile.mirror.workspace.survey import scan_workspace

    limits = WalkLimits(sys.maxsize, lambda: tree.entries)
    stats = scan_workspace(target.root, target.excludes, limits, Deadline(clock)).file_stats
    uncommitted = [position for position, stat in enumerate(stats) if stat.path not in tree.entries]
    return build_index(last_manifest_digest(generation), stats, uncommitted)
