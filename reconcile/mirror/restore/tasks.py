"""What a restore is made of: one object of the store each, and the files that lie in it.

Brings the files of a tree from the store, several tasks at a time.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TypeAlias, assert_never

from msgspec import Struct

from reconcile.mirror.concurrency import Lanes, Limit
from reconcile.mirror.model import Alone, File, Pack, Packed, Tree
from reconcile.mirror.snapshot.keys import CHUNK


class PackTask(Struct, frozen=True, tag=True):
    """Write these files, all of which lie in this pack."""

    pack: Pack
    files: tuple[File, ...]


class WholeTask(Struct, frozen=True, tag=True):
    """Write this file, whose only blob is an object."""

    file: File


class ChunkTask(Struct, frozen=True, tag=True):
    """Write one of a file's blobs; `last` if the file has none after it."""

    path: str
    offset: int
    size: int
    digest: str
    last: bool


Task: TypeAlias = PackTask | WholeTask | ChunkTask


class Piece(Struct, frozen=True, tag=True):
    """What one task has brought: so many files that are done, and bytes.

    `rows` are those of an index, as bytes, for the task's files one by one; none for a chunk.
    """

    files: int
    size: int
    rows: bytes = b""


Do: TypeAlias = Callable[[Task], Piece]
"""Performs a task. Raises DamagedError, StoreError or WorkspaceError."""


def tasks(tree: Tree, files: Iterable[File]) -> Iterator[Task]:
    """Yield what brings these files of a tree; large ones come first, since they take longest."""
    packed: dict[int, list[File]] = defaultdict(list)
    for file in files:
        match file.place:
            case Packed(number, _):
                packed[number].append(file)
            case Alone():
                yield from _alone(file)
    for number, members in packed.items():
        yield PackTask(tree.packs[number], tuple(members))


def sizes(task: Task) -> Iterable[tuple[str, int]]:
    """Return of which files a task writes how many bytes."""
    match task:
        case PackTask(_, files):
            return [(file.path, file.size) for file in files]
        case WholeTask(file):
            return [(file.path, file.size)]
        case ChunkTask(path, _, size, _, _):
            return [(path, size)]
        case _:
            assert_never(task)


def _alone(file: File) -> Iterator[Task]:
    if len(file.blobs) == 1:
        yield WholeTask(file)
        return
    for place, digest in enumerate(file.blobs):
        offset = place * CHUNK
        size, last = min(CHUNK, file.size - offset), place == len(file.blobs) - 1
        yield ChunkTask(file.path, offset, size, digest, last)


Heard: TypeAlias = Callable[[Piece], None]


class Fetch:
    """Lets tasks be done in lanes; `heard` is told what each has brought, in its lane."""

    def __init__(self, do: Do, heard: Heard) -> None:
        self._do = do
        self._heard = heard

    def run(self, tree: Tree, files: Iterable[File], lanes: Lanes, limit: Limit) -> None:
        """Write all these files of a tree.

        Raises:
            DamagedError: An object is missing, or not what its digest says; names it.
            StoreError: One could not be read.
            WorkspaceError: The volume does not let it be written.
        """
        for task in tasks(tree, files):
            lanes.run(partial(self._step, task), limit)
        lanes.drain(limit)

    def _step(self, task: Task) -> None:
        self._heard(self._do(task))
