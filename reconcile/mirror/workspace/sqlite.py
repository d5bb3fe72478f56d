"""Copies SQLite databases that are in use, in the state that a power failure would leave.

The database file and its log are read as bytes, never opened as a database: SQLite's backup would
take locks that block the agent's writes, could create files next to the database, and would parse
data that the agent wrote. SQLite recovers from the copy as from a power failure:

- With a write-ahead log (`-wal`) the database file changes only at checkpoints, and the log grows
  at its end. A copy is valid if the file did not change during the copy, and the log is still the
  same log: its first 32 bytes, with the salts that each restart of the log changes, are equal.
  SQLite ignores a truncated or uncommitted frame because of its checksum.
- With a rollback journal (`-journal`) neither file may change during the copy.
- The shared memory (`-shm`) holds no data, SQLite creates it again. It is left out.
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
    """A database file with its log; both are copied together or not at all."""

    main: FileStat
    log: FileStat

    @property
    def has_wal(self) -> bool:
        """Whether the log is a write-ahead log; otherwise it is a rollback journal."""
        return self.log.path.endswith(WAL)


class DatabaseChunk(Struct, frozen=True):
    """Bytes of one of the two files; `file` is its stat when the copy began."""

    file: FileStat
    data: bytes


def find_databases(stats: Iterable[FileStat]) -> list[Database]:
    """Return the databases with a log, found by their names."""
    files = {entry.path: entry for entry in stats if stat.S_ISREG(entry.mode)}
    return [
        Database(main, files[path + suffix])
        for path, main in files.items()
        for suffix in (WAL, JOURNAL)
        if path + suffix in files and files[path + suffix].size
    ]


def find_shared_memory(stats: Iterable[FileStat]) -> frozenset[str]:
    """Return the paths of shared memory files, which snapshots leave out."""
    paths = {entry.path for entry in stats}
    return frozenset(
        path
        for path in paths
        if path.endswith(SHARED_MEMORY) and path.removesuffix(SHARED_MEMORY) + WAL in paths
    )


def read_database(
    directories: DirectoryHandles, database: Database, size: int = CHUNK
) -> Iterator[DatabaseChunk]:
    """Yield the database file in chunks of `size` bytes, then its log.

    Raises:
        FileChangedError: At the end at the latest, if the two are inconsistent. The caller discards
            all chunks, and the last committed version stays.
        FileUnreadableError: A file cannot be read.
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
    grown_log = stat_path(directories, log.path)
    yield from _label_chunks(grown_log, read_growing(directories, grown_log, size))
    if _read_wal_header(directories, grown_log) != header or grown_log.inode != log.inode:
        raise FileChangedError(log.path)
    _check_unchanged(directories, main)


def _label_chunks(file: FileStat, chunks: Iterable[bytes]) -> Iterator[DatabaseChunk]:
    for data in chunks:
        yield DatabaseChunk(file, data)


def _read_wal_header(directories: DirectoryHandles, log: FileStat) -> bytes:
    start = replace(log, size=min(log.size, _WAL_HEADER))
    return b"".join(read_growing(directories, start, _WAL_HEADER))


def _check_unchanged(directories: DirectoryHandles, main: FileStat) -> None:
    if stat_path(directories, main.path) != main:
        raise FileChangedError(main.path)
