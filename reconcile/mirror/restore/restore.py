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
from reconcile.mirror.concurrency import Lanes, Limit
from reconcile.mirror.head import last_manifest, read_tree
from reconcile.mirror.index import WIDTH, Index, append_row, index_of, save_index, text_of
from reconcile.mirror.local_state import StateDirectory, volume_of
from reconcile.mirror.model import Entry, File, Generation, HardLink, Tree
from reconcile.mirror.restore.downloader import Hands
from reconcile.mirror.restore.tasks import (
    ChunkTask,
    Do,
    Fetch,
    Heard,
    PackTask,
    Piece,
    Task,
    WholeTask,
    sizes,
)
from reconcile.mirror.restore.worker import Helper, Nobody
from reconcile.mirror.store.port import Store
from reconcile.mirror.workspace.dirfd import Directories
from reconcile.mirror.workspace.excludes import Excludes
from reconcile.mirror.workspace.restorer import Found, Restorer
from reconcile.mirror.workspace.writer import worded


class Record:
    """Gathers what tasks have brought, from any thread."""

    def __init__(self) -> None:
        self._brought: list[tuple[tuple[File, ...], bytes]] = []

    def add(self, task: Task, piece: Piece) -> None:
        """Keep the rows of a task's files."""
        match task:
            case PackTask(_, files):
                self._brought.append((files, piece.rows))
            case WholeTask(file):
                self._brought.append(((file,), piece.rows))
            case ChunkTask():
                pass

    def index(self, generation: str, root: Path, entries: Mapping[str, Entry]) -> Index:
        """Return the index of a volume that holds just these entries; to be called once.

        Args:
            generation: The digest of the manifest that holds them.
            root: The volume, as the restore has left it.
            entries: All of them, in the order of paths.

        Raises:
            WorkspaceError: What was not written by tasks cannot be looked at.
        """
        places = {path: WIDTH * place for place, path in enumerate(entries)}
        numbers = array("q", bytes(8 * WIDTH * len(entries)))
        while self._brought:
            files, rows = self._brought.pop()
            known = array("q", rows)
            for place, file in enumerate(files):
                at = places[file.path]
                numbers[at : at + WIDTH] = known[WIDTH * place : WIDTH * (place + 1)]
        for path, row in _rows_of(root, _unknown(entries, numbers)):
            numbers[places[path] : places[path] + WIDTH] = row
        return Index(generation, text_of(entries.values()), numbers)


def _unknown(entries: Mapping[str, Entry], numbers: "array[int]") -> Iterator[str]:
    """Yield what was not written by a task, or has changed since: by a link, or by being shown."""
    linked = {entry.target for entry in entries.values() if type(entry) is HardLink}
    for place, path in enumerate(entries):
        row = numbers[WIDTH * place : WIDTH * (place + 1)]
        if "/" not in path or path in linked or not any(row):
            yield path


def _rows_of(root: Path, paths: Iterator[str]) -> "Iterator[tuple[str, array[int]]]":
    with worded(root, ""), Directories(root) as directories:
        for path in paths:
            parent, name = directories.parent(path)
            row = array("q")
            append_row(row, os.stat(name, dir_fd=parent, follow_symlinks=False))
            yield path, row


_NOBODYS = frozenset({"lost+found"})
"""What a volume has that is empty."""


class Volume(Struct, frozen=True):
    """Where to restore to, and where the mirror keeps its own notes."""

    root: Path
    state: StateDirectory
    excludes: Excludes


class Means(Struct, frozen=True):
    """How to restore; `trusted` raises a StoreError where the store is not fit for more."""

    store: Store
    lanes: Lanes
    clock: Clock
    heard: Heard
    trusted: Callable[[], None]
    helper: Helper = Nobody()


class Restored(Struct, frozen=True):
    """The volume is this generation, which may be the empty one of a new session."""

    generation: Generation
    files: int
    size: int


def restore(volume: Volume, means: Means, generation: Generation) -> Restored:
    """Make the volume what the generation is, and leave the index of it.

    Raises:
        StoreError: The store could not be read.
        DamagedError: A manifest or a pack is missing, altered or malformed; names it.
        UnknownFormatError: Another version wrote them.
        WorkspaceError: The volume cannot be written, or holds what nobody may overwrite.
    """
    means.helper.expect(sum(ref.size for ref in generation.chain))
    tree = read_tree(means.store, volume.state, generation)
    if tree.entries:
        return _write(volume, means, tree, generation)
    save_index(volume.state, _looked_at(volume, tree, generation, means.clock))
    return Restored(generation, 0, 0)


def _write(volume: Volume, means: Means, tree: Tree, generation: Generation) -> Restored:
    """Restore, and write the index, so that the first sync reads only what the snapshot has not."""
    restorer = Restorer(volume.root, tree.entries.values(), _whose(volume))
    restorer.begin()
    was_empty, files, record = restorer.was_empty, restorer.files, Record()
    try:
        do = _recorded(_with_help(Hands(means.store, restorer).do, restorer, means.helper), record)
        Fetch(do, means.heard).run(tree, files, means.lanes, Limit(means.clock))
        restorer.finish()
    finally:
        restorer.close()
    if was_empty:
        index = record.index(last_manifest(generation), volume.root, tree.entries)
    else:
        index = _looked_at(volume, tree, generation, means.clock)
    save_index(volume.state, index)
    return Restored(generation, len(files), sum(file.size for file in files))


def _recorded(do: Do, record: Record) -> Do:
    def recorded(task: Task) -> Piece:
        piece = do(task)
        record.add(task, piece)
        return piece

    return recorded


def _with_help(own: Do, restorer: Restorer, helper: Helper) -> Do:
    def done(task: Task) -> None:
        for path, size in sizes(task):
            restorer.written(path, size)

    return helper.beside(own, done) if restorer.was_empty else own


def _whose(volume: Volume) -> Found:
    """Tell whether what the volume holds comes from an earlier attempt of ours alone.

    That is noted before the first byte is written, and only if the volume is empty then.
    """
    this = volume_of(volume.root)
    note = b"%d %d\n" % (this.device, this.inode)
    if volume.state.read(volume.state.attempt) == note:
        return Found.OURS
    if {path.name for path in volume.root.iterdir()} <= _NOBODYS:
        volume.state.write(volume.state.attempt, note)
    return Found.STRANGERS


def _looked_at(volume: Volume, tree: Tree, generation: Generation, clock: Clock) -> Index:
    from reconcile.mirror.backup.archiver import survey
    from reconcile.mirror.workspace.fair_share import Bounds

    bounds = Bounds(sys.maxsize, lambda: tree.entries)
    seen = survey(volume.root, volume.excludes, bounds, Limit(clock)).seen
    strange = [place for place, one in enumerate(seen) if one.path not in tree.entries]
    return index_of(last_manifest(generation), seen, strange)
