"""The index of a restore, from what files were when they were written: nobody looks twice."""

import os
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path

from reconcile.mirror.index import WIDTH, Index, append_row, text_of
from reconcile.mirror.model import Entry, File, HardLink
from reconcile.mirror.restore.tasks import ChunkTask, PackTask, Piece, Task, WholeTask
from reconcile.mirror.workspace.dirfd import Directories
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
        for path, row in _looked_at(root, _unknown(entries, numbers)):
            numbers[places[path] : places[path] + WIDTH] = row
        return Index(generation, text_of(entries.values()), numbers)


def _unknown(entries: Mapping[str, Entry], numbers: "array[int]") -> Iterator[str]:
    """Yield what was not written by a task, or has changed since: by a link, or by being shown."""
    linked = {entry.target for entry in entries.values() if type(entry) is HardLink}
    for place, path in enumerate(entries):
        row = numbers[WIDTH * place : WIDTH * (place + 1)]
        if "/" not in path or path in linked or not any(row):
            yield path


def _looked_at(root: Path, paths: Iterator[str]) -> "Iterator[tuple[str, array[int]]]":
    with worded(root, ""), Directories(root) as directories:
        for path in paths:
            parent, name = directories.parent(path)
            row = array("q")
            append_row(row, os.stat(name, dir_fd=parent, follow_symlinks=False))
            yield path, row
