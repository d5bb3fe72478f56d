"""The index of a restore, from what files were when they were written: nobody looks twice."""

import os
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path

from reconcile.mirror.index import WIDTH, Index, append_row, text_of
from reconcile.mirror.model import Entry, File, HardLink
from reconcile.mirror.tasks import ChunkTask, PackTask, Piece, Task, WholeTask
from reconcile.mirror.tree.directories import Directories
from reconcile.mirror.tree.wording import worded


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
        """Return the index of a volume that holds these entries and nothing else.

        Args:
            generation: The digest of the manifest that holds them.
            root: The volume, as the restore has left it.
            entries: All of them, in the order of paths.

        Raises:
            WorkspaceError: What was not written by tasks cannot be looked at.
        """
        places = {path: WIDTH * place for place, path in enumerate(entries)}
        numbers = array("q", bytes(8 * WIDTH * len(entries)))
        for files, rows in self._brought:
            known = array("q", rows)
            for place, file in enumerate(files):
                at = places[file.path]
                numbers[at : at + WIDTH] = known[WIDTH * place : WIDTH * (place + 1)]
        for path, row in _looked_at(root, self._unknown(entries)):
            numbers[places[path] : places[path] + WIDTH] = row
        return Index(generation, text_of(entries.values()), numbers)

    def _unknown(self, entries: Mapping[str, Entry]) -> Iterator[str]:
        """Yield what has changed since it was written, or was not written by a task."""
        known = {file.path for files, _ in self._brought for file in files}
        known -= {entry.target for entry in entries.values() if type(entry) is HardLink}
        return (path for path in entries if path not in known or "/" not in path)


def _looked_at(root: Path, paths: Iterator[str]) -> "Iterator[tuple[str, array[int]]]":
    with worded(root, ""), Directories(root) as directories:
        for path in paths:
            parent, name = directories.parent(path)
            row = array("q")
            append_row(row, os.stat(name, dir_fd=parent, follow_symlinks=False))
            yield path, row
