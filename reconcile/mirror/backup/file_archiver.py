"""Reads single files and groups of files, and gives their bytes to the uploader."""

import stat
import time
from collections.abc import Callable, Container, Iterator, Sequence

from msgspec import Struct, field

from reconcile.mirror.backup.uploader import Uploader
from reconcile.mirror.concurrency import Deadline
from reconcile.mirror.snapshot.keys import CHUNK, MAX_PACKED_FILE
from reconcile.mirror.workspace.dirfd import DirectoryHandles
from reconcile.mirror.workspace.file_groups import WAL, FileGroup
from reconcile.mirror.workspace.reader import (
    FileChanged,
    FileChangedError,
    FileUnreadable,
    FileUnreadableError,
    ReadContent,
    compute_blob_digest,
    read_chunks,
    read_link,
    read_small_file,
    stat_path,
    time_until_settled,
)
from reconcile.mirror.workspace.session_mark import MARK, Mark, read_mark
from reconcile.mirror.workspace.sqlite import SQLITE_MAGIC, GroupChunk, GroupReader
from reconcile.mirror.workspace.walk import FileStat


class ReadFiles(Struct):
    """What was read, by path. A path that is missing here keeps its previous version.

    Attributes:
        blobs: The blobs of files.
        link_targets: The targets of symbolic links.
        file_stats: Newer stats of files, which replace those of the scan.
        unsettled: Paths to read again by the next pass: a change might not show in their times.
        incomplete: Those of them that change all the time, and are stored up to a point.
        changing: How many entries changed while they were read.
        unreadable: Why entries could not be read, by path.
        out_of_time: How many files were not begun, or given up, since the time is too short.
        size: Bytes that were read.
        mark: The mark in `.session`, as it was when it was read last; None if there is none.
    """

    blobs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    link_targets: dict[str, str] = field(default_factory=dict)
    file_stats: dict[str, FileStat] = field(default_factory=dict)
    unsettled: set[str] = field(default_factory=set)
    incomplete: set[str] = field(default_factory=set)
    changing: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)
    out_of_time: int = 0
    size: int = 0
    mark: Mark | None = None

    def drop(self, path: str) -> None:
        """Keep the previous version of a path."""
        self.blobs.pop(path, None)
        self.link_targets.pop(path, None)
        self.file_stats.pop(path, None)

    def release_contents(self) -> None:
        """Free all but the counts, once the tree is built."""
        self.blobs, self.link_targets, self.file_stats, self.mark = {}, {}, {}, None


class ArchiveLimits(Struct, frozen=True):
    """What a file archiver obeys.

    Attributes:
        deadline: When it ends.
        fits: Whether so many bytes can probably be sent before that.
        is_excluded: Whether a path is excluded from snapshots.
    """

    deadline: Deadline
    fits: Callable[[int], bool]
    is_excluded: Callable[[str], bool]


class _OutOfTimeError(Exception):
    """The rest of this file cannot be sent in time."""


_MAX_READ_TWICE = 256 << 20
"""Bytes of a group that is read twice when it changes all the time."""


class FileArchiver:
    """Reads one entry after the other, for one thread.

    Args:
        directories: Where the entries are.
        uploader: Gets their bytes.
        limits: The deadline and what is excluded.
        restless: Returns the paths of files that have not rested since the last pass.
    """

    def __init__(
        self,
        directories: DirectoryHandles,
        uploader: Uploader,
        limits: ArchiveLimits,
        restless: Callable[[], Container[str]] = frozenset,
    ) -> None:
        self._directories = directories
        self._uploader = uploader
        self._limits = limits
        self._restless = restless
        self._groups = GroupReader(directories, limits.is_excluded, CHUNK)
        self.result = ReadFiles()

    def check_deadline(self) -> None:
        """Raise DeadlineExceededError if it is time to stop."""
        self._limits.deadline.check()

    def archive_link(self, file_stat: FileStat) -> None:
        """Read a symbolic link."""
        try:
            self.result.link_targets[file_stat.path] = read_link(self._directories, file_stat)
        except FileChangedError:
            self.result.changing += 1
        except FileUnreadableError as error:
            self.result.unreadable[file_stat.path] = str(error)

    def archive_file(self, file_stat: FileStat) -> None:
        """Read a file.

        Raises:
            DeadlineExceededError: The deadline came.
            StoreError: An earlier upload has failed.
        """
        if not file_stat.size:
            self.result.blobs[file_stat.path] = ()
        elif file_stat.size > MAX_PACKED_FILE:
            self._archive_large_file(file_stat)
        else:
            self._archive_small_file(file_stat)

    def archive_current_file(self, file_stat: FileStat) -> None:
        """Read a file as it is now, not as the scan saw it; raises as `archive_file`."""
        try:
            current = stat_path(self._directories, file_stat.path)
        except FileChangedError:
            self.result.changing += 1
            return
        if not stat.S_ISREG(current.mode):
            self.result.changing += 1
            return
        self.archive_file(current)
        if current.path in self.result.blobs:
            self.result.file_stats.setdefault(current.path, current)

    def archive_mark(self) -> None:
        """Read the mark in `.session`.

        Raises:
            WorkspaceError: There is one, but it cannot be read.
            StoreError: An earlier upload has failed.
        """
        mark = read_mark(self._directories)
        self.result.mark = mark
        if mark is not None:
            is_empty = not mark.data
            self.result.blobs[MARK] = () if is_empty else (self._upload(mark.file, mark.data),)

    def archive_group(self, group: FileGroup, unchanged: Callable[[FileStat], bool]) -> None:
        """Read files that belong together, all or none; raises as `archive_file`.

        Args:
            group: The files.
            unchanged: Whether the previous tree has a file with this stat.
        """
        attempts = [lambda: self._groups.read(group.members, unchanged)] * 2
        if sum(member.size for member in group.members) <= _MAX_READ_TWICE:
            attempts += [lambda: self._read_twice(group.members)] * 2
        try:
            if not any(self._try_group(attempt) for attempt in attempts):
                self.result.changing += 1
        except FileUnreadableError as error:
            self.result.unreadable[error.path] = str(error)

    def _try_group(self, attempt: Callable[[], Iterator[GroupChunk]]) -> bool:
        """Upload a copy; False where files changed during it."""
        blobs: dict[str, list[str]] = {}
        seen: dict[str, FileStat] = {}
        try:
            for piece in attempt():
                self._limits.deadline.check()
                seen[piece.file.path] = piece.file
                digests = blobs.setdefault(piece.file.path, [])
                if piece.data:
                    digests.append(self._upload(piece.file, piece.data))
        except FileChangedError:
            return False
        now = time.time_ns()
        self.result.unsettled.update(
            path
            for path, file in seen.items()
            if path.endswith(WAL) and time_until_settled(file.ctime, now)
        )
        self.result.file_stats.update(seen)
        self.result.blobs.update((path, tuple(digests)) for path, digests in blobs.items())
        return True

    def _upload(self, file_stat: FileStat, data: bytes) -> str:
        digest = compute_blob_digest(data)
        if file_stat.size > MAX_PACKED_FILE:
            self._uploader.add_object(digest, data, self._limits.deadline)
        else:
            self._uploader.add_to_pack(digest, data, self._limits.deadline)
        self.result.size += len(data)
        return digest

    def _archive_small_file(self, file_stat: FileStat) -> None:
        match read_small_file(self._directories, file_stat):
            case ReadContent(data):
                if data.startswith(SQLITE_MAGIC) and not self._is_whole(file_stat):
                    self.result.changing += 1
                else:
                    self.result.blobs[file_stat.path] = (self._upload(file_stat, data),)
            case FileChanged():
                self._archive_restless_file(file_stat)
            case FileUnreadable(path, reason):
                self.result.unreadable[path] = reason

    def _archive_large_file(self, file_stat: FileStat) -> None:
        digests: list[str] = []
        left, is_database = file_stat.size, False
        try:
            for data in read_chunks(self._directories, file_stat, CHUNK):
                self._limits.deadline.check()
                self._check_time(left)
                is_database = is_database or (not digests and data.startswith(SQLITE_MAGIC))
                digests.append(self._upload(file_stat, data))
                left -= len(data)
            if is_database:
                self._groups.check_companions([file_stat])
        except FileChangedError:
            self._archive_restless_file(file_stat)
        except FileUnreadableError as error:
            self.result.unreadable[file_stat.path] = str(error)
        except _OutOfTimeError:
            self.result.out_of_time += 1
        else:
            self.result.blobs[file_stat.path] = tuple(digests)

    def _check_time(self, left: int) -> None:
        if not self._limits.fits(left):
            raise _OutOfTimeError

    def _is_whole(self, file_stat: FileStat) -> bool:
        try:
            self._groups.check_companions([file_stat])
        except (FileChangedError, FileUnreadableError):
            return False
        return True

    def _read_twice(self, members: Sequence[FileStat]) -> Iterator[GroupChunk]:
        """Only what is no SQLite database is complete up to any point, such as DuckDB's log."""
        has_database = any(self._groups.is_database(member.path) for member in members)
        return self._groups.read_twice(members, may_grow=not has_database)

    def _archive_restless_file(self, file_stat: FileStat) -> None:
        """Store a file that never rests as it is at one moment, without what is appended then."""
        self.result.changing += 1
        path = file_stat.path
        if path not in self._restless():
            return
        try:
            done = self._try_group(lambda: self._read_twice([file_stat]))
        except (FileChangedError, FileUnreadableError):
            return
        if done and self.result.blobs[path]:
            self.result.unsettled.add(path)
            self.result.incomplete.add(path)
        elif done:
            self.result.drop(path)
