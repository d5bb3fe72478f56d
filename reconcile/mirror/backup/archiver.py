"""Archives a scanned workspace: reads what changed, uploads it, and builds the next tree."""

import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from msgspec import Struct, field

from reconcile.mirror.backup.tree_builder import TreeInput, TreeResult, build_tree
from reconcile.mirror.backup.uploader import Uploader
from reconcile.mirror.concurrency import Deadline, DeadlineExceededError
from reconcile.mirror.index import Index
from reconcile.mirror.model import SnapshotTree
from reconcile.mirror.snapshot.keys import CHUNK, MAX_PACKED_FILE
from reconcile.mirror.snapshot.repack import DEFAULT_REPACK_POLICY, RepackPolicy
from reconcile.mirror.workspace.dirfd import DirectoryHandles
from reconcile.mirror.workspace.git import find_git_directories, find_paths_to_hold_back
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
)
from reconcile.mirror.workspace.sqlite import (
    JOURNAL,
    WAL,
    Database,
    find_databases,
    read_database,
)
from reconcile.mirror.workspace.survey import Scan
from reconcile.mirror.workspace.walk import FileStat


class ReadFiles(Struct):
    """What was read, by path. A path that is missing here keeps its previous version.

    Attributes:
        blobs: The blobs of files.
        link_targets: The targets of symbolic links.
        file_stats: Newer stats of databases, which replace those of the scan.
        changing: How many entries changed while they were read.
        unreadable: How many entries could not be read.
        size: Bytes that were read.
    """

    blobs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    link_targets: dict[str, str] = field(default_factory=dict)
    file_stats: dict[str, FileStat] = field(default_factory=dict)
    changing: int = 0
    unreadable: int = 0
    size: int = 0

    def release_contents(self) -> None:
        """Free all but the counts, once the tree is built."""
        self.blobs, self.link_targets = {}, {}


class FileArchiver:
    """Reads one entry after the other, for one thread."""

    def __init__(
        self, directories: DirectoryHandles, uploader: Uploader, deadline: Deadline
    ) -> None:
        self._directories = directories
        self._uploader = uploader
        self._deadline = deadline
        self.result = ReadFiles()

    def archive_link(self, file_stat: FileStat) -> None:
        """Read a symbolic link."""
        try:
            self.result.link_targets[file_stat.path] = read_link(self._directories, file_stat)
        except FileChangedError:
            self.result.changing += 1
        except FileUnreadableError:
            self.result.unreadable += 1

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

    def archive_database(self, database: Database) -> None:
        """Read a database with its log, both or neither; raises as `archive_file`."""
        blobs: dict[str, list[str]] = {database.main.path: [], database.log.path: []}
        seen: dict[str, FileStat] = {}
        try:
            for piece in read_database(self._directories, database, CHUNK):
                self._deadline.check()
                seen[piece.file.path] = piece.file
                blobs[piece.file.path].append(self._upload(piece.file, piece.data))
        except FileChangedError:
            self.result.changing += 1
        except FileUnreadableError:
            self.result.unreadable += 1
        else:
            self.result.file_stats.update(seen)
            self.result.blobs.update((path, tuple(digests)) for path, digests in blobs.items())

    def _upload(self, file_stat: FileStat, data: bytes) -> str:
        digest = compute_blob_digest(data)
        if file_stat.size > MAX_PACKED_FILE:
            self._uploader.add_object(digest, data, self._deadline)
        else:
            self._uploader.add_to_pack(digest, data, self._deadline)
        self.result.size += len(data)
        return digest

    def _archive_small_file(self, file_stat: FileStat) -> None:
        match read_small_file(self._directories, file_stat):
            case ReadContent(data):
                self.result.blobs[file_stat.path] = (self._upload(file_stat, data),)
            case FileChanged():
                self.result.changing += 1
            case FileUnreadable():
                self.result.unreadable += 1

    def _archive_large_file(self, file_stat: FileStat) -> None:
        digests = []
        try:
            for data in read_chunks(self._directories, file_stat, CHUNK):
                self._deadline.check()
                digests.append(self._upload(file_stat, data))
        except FileChangedError:
            self.result.changing += 1
        except FileUnreadableError:
            self.result.unreadable += 1
        else:
            self.result.blobs[file_stat.path] = tuple(digests)


HIDDEN_ENTRIES_FACTOR: Final = 1.5
"""A tree may exceed the limit so many times by entries that cannot be seen this time."""


class ArchiveResult(Struct, frozen=True):
    """A tree whose bytes are all stored, but which is not committed yet.

    Attributes:
        file_stats: The scan, with newer stats for databases.
        tree_result: The tree, and what it lacks.
        read_files: Counts of what was read.
        is_truncated: Whether the deadline came before everything was read.
    """

    file_stats: list[FileStat]
    tree_result: TreeResult
    read_files: ReadFiles
    is_truncated: bool


class PassOptions(Struct, frozen=True):
    """How far a pass may go.

    Attributes:
        deadline: When the pass ends.
        is_final: Whether it then stores the part that it has, newest files first; any other pass
            is given up.
        repack_policy: What is repacked along with a commit.
    """

    deadline: Deadline
    is_final: bool = False
    repack_policy: RepackPolicy = DEFAULT_REPACK_POLICY


ArchiveTask: TypeAlias = FileStat | Database


def _build_tasks(file_stats: Sequence[FileStat], todo: Sequence[FileStat]) -> list[ArchiveTask]:
    """Put databases in use first, each with its log as one task."""
    if not any(file_stat.path.endswith((WAL, JOURNAL)) for file_stat in file_stats):
        return list(todo)
    changed = {file_stat.path for file_stat in todo}
    databases = [
        database
        for database in find_databases(file_stats)
        if database.main.path in changed or database.log.path in changed
    ]
    paths = {path for database in databases for path in (database.main.path, database.log.path)}
    return [*databases, *(file_stat for file_stat in todo if file_stat.path not in paths)]


class Archiver:
    """Turns a scan into a tree that is stored."""

    def __init__(
        self, root: Path, previous_tree: SnapshotTree, index: Index | None, uploader: Uploader
    ) -> None:
        self._root = root
        self._previous_tree = previous_tree
        self._index = index
        self._uploader = uploader

    def run(self, scan: Scan, options: PassOptions) -> ArchiveResult:
        """Read and upload what changed.

        Raises:
            DeadlineExceededError: The deadline of a pass that is not final came.
            StoreError: An object could not be stored.
        """
        stats = scan.file_stats
        unchanged = self._index.unchanged_flags(stats) if self._index else bytearray(len(stats))
        todo = list(self._select_files_to_read(stats, unchanged))
        if options.is_final:
            todo.sort(key=lambda file_stat: max(file_stat.mtime, file_stat.ctime), reverse=True)
        read, is_truncated = self._read_files(_build_tasks(stats, todo), options)
        self._drop_dangling_git_files(stats, todo, read)
        if read.file_stats:
            stats = [read.file_stats.get(file_stat.path, file_stat) for file_stat in stats]
        max_entries = HIDDEN_ENTRIES_FACTOR * scan.weight_limit
        tree_input = TreeInput(
            stats, unchanged, read.blobs, read.link_targets, scan.skipped.unknown, max_entries
        )
        result = build_tree(
            self._previous_tree, tree_input, self._uploader.find_place, self._uploader.packs
        )
        read.release_contents()
        return ArchiveResult(stats, result, read, is_truncated)

    def _drop_dangling_git_files(
        self, file_stats: Sequence[FileStat], todo: Sequence[FileStat], read_files: ReadFiles
    ) -> None:
        """Drop files that refer to git objects which could not be read."""
        missing = [
            file_stat.path for file_stat in todo if not self._is_stored(file_stat.path, read_files)
        ]
        if not missing:
            return
        repositories = find_git_directories({file_stat.path for file_stat in file_stats})
        for path in find_paths_to_hold_back(
            [file_stat.path for file_stat in todo], missing, repositories
        ):
            read_files.blobs.pop(path, None)
            read_files.link_targets.pop(path, None)

    def _is_stored(self, path: str, read_files: ReadFiles) -> bool:
        blobs = read_files.blobs.get(path)
        if blobs is None:
            return path in read_files.link_targets
        return self._uploader.find_place(blobs) is not None

    def _select_files_to_read(
        self, file_stats: Sequence[FileStat], unchanged: bytearray
    ) -> Iterable[FileStat]:
        inodes: set[tuple[int, int]] = set()
        for position, file_stat in enumerate(file_stats):
            if stat.S_ISDIR(file_stat.mode) or (
                unchanged[position] and file_stat.path in self._previous_tree.entries
            ):
                continue
            if file_stat.links > 1 and stat.S_ISREG(file_stat.mode):
                inode = (file_stat.device, file_stat.inode)
                if inode in inodes:
                    continue
                inodes.add(inode)
            yield file_stat

    def _read_files(
        self, todo: Iterable[ArchiveTask], options: PassOptions
    ) -> tuple[ReadFiles, bool]:
        truncation = _Truncation(is_allowed=options.is_final)
        with DirectoryHandles(self._root) as directories:
            file_archiver = FileArchiver(directories, self._uploader, options.deadline)
            with truncation:
                self._archive_all(file_archiver, todo, options.deadline)
            with truncation:
                self._upload_rest(options.deadline)
        return file_archiver.result, truncation.has_happened

    def _archive_all(
        self, file_archiver: FileArchiver, todo: Iterable[ArchiveTask], deadline: Deadline
    ) -> None:
        for task in todo:
            deadline.check()
            if isinstance(task, Database):
                file_archiver.archive_database(task)
            elif stat.S_ISLNK(task.mode):
                file_archiver.archive_link(task)
            else:
                file_archiver.archive_file(task)

    def _upload_rest(self, deadline: Deadline) -> None:
        self._uploader.close_pack(deadline)
        self._uploader.drain(deadline)


class _Truncation:
    """A block that a deadline may end early, if the pass is allowed to store only a part."""

    def __init__(self, *, is_allowed: bool) -> None:
        self._is_allowed = is_allowed
        self.has_happened = False

    def __enter__(self) -> None:
        """Enter the block."""

    def __exit__(
        self, kind: type[BaseException] | None, _error: object, _traceback: object
    ) -> bool:
        if not self._is_allowed or kind is None or not issubclass(kind, DeadlineExceededError):
            return False
        self.has_happened = True
        return True
