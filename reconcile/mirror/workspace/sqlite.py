"""Copies SQLite databases that are in use, as a power cut would leave them.

The database's file and its log are read as bytes, never opened as a database: SQLite's backup
would take locks that the agent's own writes wait for, could create files beside the database, and
would parse what the agent wrote. What is copied is what SQLite recovers from after a power cut:

- With a write-ahead log (`-wal`) the database's file changes at checkpoints only, and the log grows
  at its end. A copy is good if the file did not change from before to after, and the log is still
  the same log: its first 32 bytes, with the salts that each restart of the log changes. A frame
  that is cut or not committed is ignored by SQLite, by its checksum.
- With a rollback journal (`-journal`) neither may change meanwhile.
- The shared memory (`-shm`) is no data: SQLite makes it anew. It is left out.
"""

import stat
from collections.abc import Iterable, Iterator

from msgspec import Struct
from msgspec.structs import replace

from reconcile.mirror.workspace.dirfd import DirectoryHandles
from reconcile.mirror.workspace.reader import (
    CHUNK,
    FileChangedError,
    read_chunks,
    read_growing,
    stat_path,
)
from reconcile.mirror.workspace.walk import FileStat

WAL, JOURNAL, SHARED_MEMORY = "-wal", "-journal", "-shm"
_WAL_HEADER = 32


class Database(Struct, frozen=True):
    """A database with a log beside it; the two are taken together or not at all."""

    main: FileStat
    log: FileStat

    @property
    def has_wal(self) -> bool:
        """Whether the log is written ahead, else it is a rollback journal."""
        return self.log.path.endswith(WAL)


class DatabaseChunk(Struct, frozen=True):
    """Bytes of one of the two files; `file` is what it was when the copy began."""

    file: FileStat
    data: bytes


def find_databases(stats: Iterable[FileStat]) -> list[Database]:
    """Find databases with a log, by their names."""
    files = {entry.path: entry for entry in stats if stat.S_ISREG(entry.mode)}
    return [
        Database(main, files[path + suffix])
        for path, main in files.items()
        for suffix in (WAL, JOURNAL)
        if path + suffix in files and files[path + suffix].size
    ]


def find_shared_memory(stats: Iterable[FileStat]) -> frozenset[str]:
    """Find the paths of shared memory, which is left out of snapshots."""
    paths = {entry.path for entry in stats}
    return frozenset(
        path
        for path in paths
        if path.endswith(SHARED_MEMORY) and path.removesuffix(SHARED_MEMORY) + WAL in paths
    )


def read_database(
    directories: DirectoryHandles, database: Database, size: int = CHUNK
) -> Iterator[DatabaseChunk]:
    """Yield the database's file in pieces of `size` bytes, then its log's.

    ChangedError, at the end at the latest, where they do not fit together: all pieces are to be
    thrown away then, and the last committed version stays.
    """
    main, log = (
        stat_path(directories, database.main.path),
        stat_path(directories, database.log.path),
    )
    if not database.has_wal:
        yield from _label_chunks(main, read_chunks(directories, main, size))
        yield from _label_chunks(log, read_chunks(directories, log, size))
        _check_unchanged(directories, main)
        return
    header = _read_wal_header(directories, log)
    yield from _label_chunks(main, read_chunks(directories, main, size))
    longer = stat_path(directories, log.path)
    yield from _label_chunks(longer, read_growing(directories, longer, size))
    if _read_wal_header(directories, longer) != header or longer.inode != log.inode:
        raise FileChangedError(log.path)
    _check_unchanged(directories, main)


def _label_chunks(file: FileStat, pieces: Iterable[bytes]) -> Iterator[DatabaseChunk]:
    for data in pieces:
        yield DatabaseChunk(file, data)


def _read_wal_header(directories: DirectoryHandles, log: FileStat) -> bytes:
    start = replace(log, size=min(log.size, _WAL_HEADER))
    return b"".join(read_growing(directories, start, _WAL_HEADER))


def _check_unchanged(directories: DirectoryHandles, main: FileStat) -> None:
    if stat_path(directories, main.path) != main:
        raise FileChangedError(main.path)
