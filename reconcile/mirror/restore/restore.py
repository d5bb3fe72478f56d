"""A generation into a pod's volume, and the index of what is there then.

The index of a restore, from what files were when they were written: nobody looks twice.
"""

import os
import sys
from array import array
from collections.abc import Callable, Iterator, Mapping
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
    OnProgress,
    PackTask,
    RestoreTask,
    TaskDispatcher,
    TaskResult,
    TaskRunner,
    list_file_sizes,
)
from reconcile.mirror.restore.worker import NoWorker, WorkerProcess
from reconcile.mirror.store.port import Store
from reconcile.mirror.workspace.dirfd import DirectoryHandles
from reconcile.mirror.workspace.excludes import Excludes
from reconcile.mirror.workspace.restorer import Restorer, VolumeOwner
from reconcile.mirror.workspace.writer import translate_errors


class IndexBuilder:
    """Gathers what tasks have brought, from any thread."""

    def __init__(self) -> None:
        self._results: list[tuple[tuple[File, ...], bytes]] = []

    def add(self, task: RestoreTask, result: TaskResult) -> None:
        """Keep the rows of a task's files."""
        match task:
            case PackTask(_, files):
                self._results.append((files, result.index_rows))
            case FileTask(file):
                self._results.append(((file,), result.index_rows))
            case ChunkTask():
                pass

    def build(self, generation: str, root: Path, entries: Mapping[str, Entry]) -> Index:
        """Return the index of a volume that holds just these entries; to be called once.

        Args:
            generation: The digest of the manifest that holds them.
            root: The volume, as the restore has left it.
            entries: All of them, in the order of paths.

        Raises:
            WorkspaceError: What was not written by tasks cannot be looked at.
        """
        places = {path: COLUMN_COUNT * place for place, path in enumerate(entries)}
        numbers = array("q", bytes(8 * COLUMN_COUNT * len(entries)))
        while self._results:
            files, rows = self._results.pop()
            known = array("q", rows)
            for place, file in enumerate(files):
                at = places[file.path]
                numbers[at : at + COLUMN_COUNT] = known[
                    COLUMN_COUNT * place : COLUMN_COUNT * (place + 1)
                ]
        for path, row in _rows_of(root, _paths_without_row(entries, numbers)):
            numbers[places[path] : places[path] + COLUMN_COUNT] = row
        return Index(generation, encode_paths(entries.values()), numbers)


def _paths_without_row(entries: Mapping[str, Entry], numbers: "array[int]") -> Iterator[str]:
    """Yield what was not written by a task, or has changed since: by a link, or by being shown."""
    linked = {entry.target for entry in entries.values() if type(entry) is HardLink}
    for place, path in enumerate(entries):
        row = numbers[COLUMN_COUNT * place : COLUMN_COUNT * (place + 1)]
        if "/" not in path or path in linked or not any(row):
            yield path


def _rows_of(root: Path, paths: Iterator[str]) -> "Iterator[tuple[str, array[int]]]":
    with translate_errors(root, ""), DirectoryHandles(root) as directories:
        for path in paths:
            parent, name = directories.open_parent(path)
            row = array("q")
            append_row(row, os.stat(name, dir_fd=parent, follow_symlinks=False))
            yield path, row


_EMPTY_VOLUME_NAMES = frozenset({"lost+found"})
"""What a volume has that is empty."""


class RestoreTarget(Struct, frozen=True):
    """Where to restore to, and where the mirror keeps its own notes."""

    root: Path
    state: StateDirectory
    excludes: Excludes


class RestoreContext(Struct, frozen=True):
    """How to restore; `check_store` raises a StoreError where the store is not fit for more."""

    store: Store
    pool: WorkerPool
    clock: Clock
    on_progress: OnProgress
    check_store: Callable[[], None]
    worker: WorkerProcess = NoWorker()


class RestoredVolume(Struct, frozen=True):
    """The volume is this generation, which may be the empty one of a new session."""

    generation: Generation
    files: int
    size: int


def restore_volume(
    target: RestoreTarget, context: RestoreContext, generation: Generation
) -> RestoredVolume:
    """Make the volume what the generation is, and leave the index of it.

    Raises:
        StoreError: The store could not be read.
        DamagedError: A manifest or a pack is missing, altered or malformed; names it.
        UnknownFormatError: Another version wrote them.
        WorkspaceError: The volume cannot be written, or holds what nobody may overwrite.
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
    """Restore, and write the index, so that the first sync reads only what the snapshot has not."""
    restorer = Restorer(target.root, tree.entries.values(), _determine_owner(target))
    restorer.begin()
    was_empty, files, record = restorer.was_empty, restorer.files, IndexBuilder()
    try:
        do = _record_results(
            _offload_tasks(Downloader(context.store, restorer).run_task, restorer, context.worker),
            record,
        )
        TaskDispatcher(do, context.on_progress).run(
            tree, files, context.pool, Deadline(context.clock)
        )
        restorer.finish()
    finally:
        restorer.close()
    if was_empty:
        index = record.build(last_manifest_digest(generation), target.root, tree.entries)
    else:
        index = _build_index_from_scan(target, tree, generation, context.clock)
    save_index(target.state, index)
    return RestoredVolume(generation, len(files), sum(file.size for file in files))


def _record_results(run_task: TaskRunner, index_builder: IndexBuilder) -> TaskRunner:
    def recorded(task: RestoreTask) -> TaskResult:
        piece = run_task(task)
        index_builder.add(task, piece)
        return piece

    return recorded


def _offload_tasks(
    run_locally: TaskRunner, restorer: Restorer, worker: WorkerProcess
) -> TaskRunner:
    def done(task: RestoreTask) -> None:
        for path, size in list_file_sizes(task):
            restorer.record_written(path, size)

    return worker.offload(run_locally, done) if restorer.was_empty else run_locally


def _determine_owner(target: RestoreTarget) -> VolumeOwner:
    """Tell whether what the volume holds comes from an earlier attempt of ours alone.

    That is noted before the first byte is written, and only if the volume is empty then.
    """
    this = read_volume_id(target.root)
    note = b"%d %d\n" % (this.device, this.inode)
    if target.state.read(target.state.attempt_path) == note:
        return VolumeOwner.OURS
    if {path.name for path in target.root.iterdir()} <= _EMPTY_VOLUME_NAMES:
        target.state.write(target.state.attempt_path, note)
    return VolumeOwner.FOREIGN


def _build_index_from_scan(
    target: RestoreTarget, tree: SnapshotTree, generation: Generation, clock: Clock
) -> Index:
    from reconcile.mirror.backup.archiver import scan_workspace
    from reconcile.mirror.workspace.fair_share import WalkLimits

    bounds = WalkLimits(sys.maxsize, lambda: tree.entries)
    seen = scan_workspace(target.root, target.excludes, bounds, Deadline(clock)).file_stats
    strange = [place for place, one in enumerate(seen) if one.path not in tree.entries]
    return build_index(last_manifest_digest(generation), seen, strange)
