"""Copies databases that are in use, in the state that a power failure would leave.

The database file and its log are read as bytes, never opened as a database: SQLite's backup would
take locks that block the agent's writes, could create files next to the database, and would parse
data that the agent wrote. SQLite recovers from the copy as from a power failure:

- With a write-ahead log (`-wal`) the database file changes only at checkpoints, and the log grows
  at its end. A copy is valid if the file did not change during the copy, and the log is still the
  same log: its first 32 bytes, with the salts that each restart of the log changes, are equal.
  SQLite ignores a truncated or uncommitted frame because of its checksum.
- With a rollback journal (`-journal`) no file of the group may change during the copy.
- Without a file for its journal (`journal_mode=MEMORY` or `OFF`) the database must not be locked
  for writing. Whether it is locked can be asked without taking a lock.
- The shared memory (`-shm`) holds no data, SQLite creates it again. It is left out.

A database that changes all the time is read twice: if both times all bytes are equal, they are
those of the moment in between.
"""

import fcntl
import hashlib
import os
import stat
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from reconcile.mirror.errors import DamagedError
from reconcile.mirror.workspace.dirfd import DirectoryHandles
from reconcile.mirror.workspace.file_groups import COMPANION_SUFFIXES, JOURNAL, WAL
from reconcile.mirror.workspace.reader import (
    CHUNK,
    FileChangedError,
    open_path,
    read_chunks,
    read_growing,
    stat_path,
)
from reconcile.mirror.workspace.walk import FileStat

SQLITE_MAGIC: Final = b"SQLite format 3\0"
"""The first bytes of every SQLite database, whatever its name."""

SHARED_MEMORY: Final = "-shm"
_WAL_HEADER = 32

_LOCK_START, _LOCK_LENGTH = 0x40000000, 512
"""The bytes on which SQLite sets its locks."""

_FLOCK = struct.Struct("hhqqi4x")
"""The `struct flock` of 64-bit Linux: type, whence, start, length, process."""


class GroupChunk(Struct, frozen=True):
    """Bytes of one file of a group, none for an empty file; `file` is its stat for the copy."""

    file: FileStat
    data: bytes


def find_shared_memory(stats: Iterable[FileStat]) -> frozenset[str]:
    """Return the paths of shared memory files, which snapshots leave out."""
    paths = {entry.path for entry in stats}
    return frozenset(
        path
        for path in paths
        if path.endswith(SHARED_MEMORY) and path.removesuffix(SHARED_MEMORY) + WAL in paths
    )


_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
_JOURNAL_TAIL = struct.Struct(">II8s")
"""The end of a journal that names a super-journal: the name's length, its checksum, the magic."""

_MAX_NAME = 4096


class GroupReader:
    """Reads groups of files.

    Args:
        directories: Where they are.
        is_excluded: Whether a path is excluded from snapshots.
        size: Bytes of a chunk.
    """

    def __init__(
        self,
        directories: DirectoryHandles,
        is_excluded: Callable[[str], bool],
        size: int = CHUNK,
    ) -> None:
        self._directories = directories
        self._is_excluded = is_excluded
        self._size = size

    def read(
        self, members: Sequence[FileStat], unchanged: Callable[[FileStat], bool] = lambda _: False
    ) -> Iterator[GroupChunk]:
        """Yield the files of a group in chunks, logs last.

        Args:
            members: The files as a scan saw them; of hard links the first name is read.
            unchanged: Whether the last generation has a file with this stat: it is not read.

        Raises:
            FileChangedError: At the end at the latest, if the files are inconsistent. The caller
                discards all chunks.
            FileUnreadableError: A file cannot be read.
        """
        now = [self._stat(member.path) for member in members]
        log_paths = {file.path for file in now if self._is_log(file)}
        logs = [file for file in _without_links(now) if file.path in log_paths]
        others = [file for file in now if file.path not in log_paths]
        headers = [self._read_wal_header(log) for log in logs]
        for file in _without_links(others):
            if not unchanged(file):
                yield from self._label(file, read_chunks(self._directories, file, self._size))
        for log, header in zip(logs, headers, strict=True):
            grown = self._stat(log.path)
            yield from self._label(grown, read_growing(self._directories, grown, self._size))
            if self._read_wal_header(grown) != header or grown.inode != log.inode:
                raise FileChangedError(log.path)
        for file in others:
            if self._stat(file.path) != file:
                raise FileChangedError(file.path)
        self.check_companions(members)

    def read_twice(self, members: Sequence[FileStat], *, may_grow: bool) -> Iterator[GroupChunk]:
        """Yield the files as `read`, even if they change often; all are read again.

        Args:
            members: The files as a scan saw them.
            may_grow: Whether bytes may be appended to any of them, and are left out.

        Raises:
            FileChangedError: At the end at the latest, if bytes have changed in between.
            FileUnreadableError: A file cannot be read.
        """
        now = _without_links([self._stat(member.path) for member in members])
        digests = [self._digest(file) for file in now]
        for file in now:
            again = self._stat(file.path)
            grows = again.size > file.size and (may_grow or self._is_log(file))
            if again.inode != file.inode or (again.size != file.size and not grows):
                raise FileChangedError(file.path)
        self.check_companions(members)
        for file, before in zip(now, digests, strict=True):
            digest = hashlib.sha256()
            for chunk in self._label(file, read_growing(self._directories, file, self._size)):
                digest.update(chunk.data)
                yield chunk
            if digest.digest() != before:
                raise FileChangedError(file.path)

    def check_companions(self, members: Sequence[FileStat]) -> None:
        """Check that the main files have no journal or log besides those that are members.

        Raises:
            FileChangedError: One was created after the scan, or a file is locked for writing by a
                program that keeps its journal in memory.
        """
        paths = {member.path for member in members}
        for path in paths:
            # Also a database may have the name of a journal.
            self._check_main(path, paths)
            if path.endswith(JOURNAL):
                self._check_super_journal(path, paths)

    def _check_main(self, path: str, members: set[str]) -> None:
        companions = [path + suffix for suffix in COMPANION_SUFFIXES]
        for companion in companions:
            is_expected = companion in members or self._is_excluded(companion)
            if not is_expected and self._exists(companion):
                raise FileChangedError(path)
        if members.isdisjoint(companions) and self._is_locked(path):
            raise FileChangedError(path)

    def _exists(self, path: str) -> bool:
        """Whether there is a file with content."""
        try:
            return self._stat(path).size > 0
        except (FileChangedError, DamagedError):
            return False

    def _check_super_journal(self, journal: str, members: set[str]) -> None:
        """Check that the super-journal which a journal names is a member, or does not exist.

        Without it SQLite takes the transaction for committed, and does not undo it. The journal has
        an absolute path, as the agent sees it.
        """
        parts = self._read_super_journal_name(journal).split("/")
        for start in range(len(parts) if parts[-1] else 0):
            path = "/".join(parts[start:])
            if path in members or not path:
                continue
            if self._exists(path):
                raise FileChangedError(journal)

    def _read_super_journal_name(self, journal: str) -> str:
        """Return the name at the end of a journal, empty if there is none."""
        with open_path(self._directories, journal) as descriptor:
            end = os.fstat(descriptor).st_size
            tail = os.pread(descriptor, _JOURNAL_TAIL.size, max(end - _JOURNAL_TAIL.size, 0))
            if len(tail) < _JOURNAL_TAIL.size:
                return ""
            length, _checksum, magic = _JOURNAL_TAIL.unpack(tail)
            start = end - _JOURNAL_TAIL.size - length
            if magic != _JOURNAL_MAGIC or length > _MAX_NAME or start < 0:
                return ""
            return os.fsdecode(os.pread(descriptor, length, start))

    def is_database(self, path: str) -> bool:
        """Whether a file is an SQLite database; raises as `read`."""
        with open_path(self._directories, path) as descriptor:
            return os.pread(descriptor, len(SQLITE_MAGIC), 0) == SQLITE_MAGIC

    def _is_locked(self, path: str) -> bool:
        with open_path(self._directories, path) as descriptor:
            if os.pread(descriptor, len(SQLITE_MAGIC), 0) != SQLITE_MAGIC:
                return False
            question = _FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, _LOCK_START, _LOCK_LENGTH, 0)
            try:
                answer = fcntl.fcntl(descriptor, fcntl.F_GETLK, question)
            except OSError:  # A file system without locks.
                return False
        return bool(_FLOCK.unpack(answer)[0] == fcntl.F_WRLCK)

    def _stat(self, path: str) -> FileStat:
        file = stat_path(self._directories, path)
        if not stat.S_ISREG(file.mode):
            raise FileChangedError(path)
        return file

    def _digest(self, file: FileStat) -> bytes:
        digest = hashlib.sha256()
        for data in read_growing(self._directories, file, self._size):
            digest.update(data)
        return digest.digest()

    def _label(self, file: FileStat, chunks: Iterable[bytes]) -> Iterator[GroupChunk]:
        if not file.size:
            yield GroupChunk(file, b"")
            return
        for data in chunks:
            yield GroupChunk(file, data)

    def _is_log(self, file: FileStat) -> bool:
        """Whether it is a write-ahead log, and not a database with such a name."""
        return file.path.endswith(WAL) and not self._read_wal_header(file).startswith(SQLITE_MAGIC)

    def _read_wal_header(self, log: FileStat) -> bytes:
        start = replace(log, size=min(log.size, _WAL_HEADER))
        return b"".join(read_growing(self._directories, start, _WAL_HEADER))


def _without_links(files: Sequence[FileStat]) -> list[FileStat]:
    """Return the files with one name each, the first."""
    return list({(file.device, file.inode): file for file in reversed(files)}.values())[::-1]
