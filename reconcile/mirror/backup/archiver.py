"""One look at a workspace: walk it, read what changed, send it, and say what the next tree is.

Reads what may have changed in a workspace and hands its bytes to the uploads.
"""

import stat
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
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
from reconcile.mirror.workspace.excludes import Excludes
from reconcile.mirror.workspace.fair_share import WalkLimits, walk_within
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
    SHARED_MEMORY,
    WAL,
    Database,
    find_databases,
    find_shared_memory,
    read_database,
)
from reconcile.mirror.workspace.survey import select_storable
from reconcile.mirror.workspace.walk import FileStat, SkippedEntries, WalkCancelledError


class ReadFiles(Struct):
    """What was read, by path; what is missing here keeps the version that it had.

    `file_stats` has what is to be taken for the walk's own: it was looked at again while it was read.
    `changing` changed while they were read, `unreadable` could not be; `size` is what was read.
    """

    blobs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    link_targets: dict[str, str] = field(default_factory=dict)
    file_stats: dict[str, FileStat] = field(default_factory=dict)
    changing: int = 0
    unreadable: int = 0
    size: int = 0

    def release_contents(self) -> None:
        """Let go of all but the counts, once the tree is built."""
        self.blobs, self.link_targets = {}, {}


class FileArchiver:
    """Reads one entry after the other; not for several threads at once."""

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
        """Read a file; OverError at the limit, StoreError where an upload has failed."""
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
"""How many times its limit a tree may have, with what is there but cannot be seen this time."""


class Scan(Struct, frozen=True):
    """What a walk has seen; `newest_write` is the time of the last write, 0 if there is nothing.

    `weight_limit` is how much its entries might have weighed.
    """

    file_stats: list[FileStat]
    skipped: SkippedEntries
    newest_write: int
    weight_limit: int


class ArchiveResult(Struct, frozen=True):
    """A tree whose bytes are all stored, and what it could not take; not committed yet.

    `file_stats` is the walk, but for what was looked at again while it was read.
    """

    file_stats: list[FileStat]
    tree_result: TreeResult
    read_files: ReadFiles
    is_truncated: bool


class PassOptions(Struct, frozen=True):
    """How far a pass may go.

    A pass that is `is_final` ends at its limit with what it has, newest files first; any other is
    given up there. `repack_policy` says what is packed anew beside a commit.
    """

    deadline: Deadline
    is_final: bool = False
    repack_policy: RepackPolicy = DEFAULT_REPACK_POLICY


def scan_workspace(root: Path, excludes: Excludes, bounds: WalkLimits, deadline: Deadline) -> Scan:
    """Walk the workspace.

    Raises:
        OverError: The limit was reached.
        WorkspaceError: The workspace itself cannot be read.
    """
    try:
        seen, skipped = walk_within(root, excludes, bounds, deadline.expired)
    except WalkCancelledError:
        raise DeadlineExceededError from None
    if any(one.path.endswith(SHARED_MEMORY) for one in seen):
        hidden = find_shared_memory(seen)
        seen = [one for one in seen if one.path not in hidden]
    seen = select_storable(seen, skipped)
    newest = max((max(one.mtime, one.ctime) for one in seen), default=0)
    return Scan(seen, skipped, newest, bounds.max_weight)


ArchiveTask: TypeAlias = FileStat | Database


def _build_tasks(file_stats: Sequence[FileStat], todo: Sequence[FileStat]) -> list[ArchiveTask]:
    """Put databases that are in use first, each with its log as one task."""
    if not any(one.path.endswith((WAL, JOURNAL)) for one in file_stats):
        return list(todo)
    changed = {one.path for one in todo}
    pairs = [
        pair
        for pair in find_databases(file_stats)
        if pair.main.path in changed or pair.log.path in changed
    ]
    together = {path for pair in pairs for path in (pair.main.path, pair.log.path)}
    return [*pairs, *(one for one in todo if one.path not in together)]


class Archiver:
    """Turns a survey into a tree that is stored."""

    def __init__(
        self, root: Path, previous_tree: SnapshotTree, index: Index | None, uploader: Uploader
    ) -> None:
        self._root = root
        self._previous_tree = previous_tree
        self._index = index
        self._uploader = uploader

    def run(self, scan: Scan, options: PassOptions) -> ArchiveResult:
        """Read and send what changed.

        Raises:
            OverError: The limit of a pass that is not final was reached.
            StoreError: Something could not be stored.
        """
        seen = scan.file_stats
        unchanged = self._index.unchanged_flags(seen) if self._index else bytearray(len(seen))
        todo = list(self._select_files_to_read(seen, unchanged))
        if options.is_final:
            todo.sort(key=lambda one: max(one.mtime, one.ctime), reverse=True)
        gathered, cut = self._read_files(_build_tasks(seen, todo), options)
        self._drop_dangling_git_files(seen, todo, gathered)
        seen = (
            [gathered.file_stats.get(one.path, one) for one in seen]
            if gathered.file_stats
            else seen
        )
        unknown = scan.skipped.unknown
        most = HIDDEN_ENTRIES_FACTOR * scan.weight_limit
        sight = TreeInput(seen, unchanged, gathered.blobs, gathered.link_targets, unknown, most)
        built = build_tree(
            self._previous_tree, sight, self._uploader.find_place, self._uploader.packs
        )
        gathered.release_contents()
        return ArchiveResult(seen, built, gathered, cut)

    def _drop_dangling_git_files(
        self, file_stats: Sequence[FileStat], todo: Sequence[FileStat], read_files: ReadFiles
    ) -> None:
        """Let go of what names objects of git that could not be taken."""
        missing = [one.path for one in todo if not self._is_stored(one.path, read_files)]
        if not missing:
            return
        repositories = find_git_directories({one.path for one in file_stats})
        for path in find_paths_to_hold_back([one.path for one in todo], missing, repositories):
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
        for position, one in enumerate(file_stats):
            if stat.S_ISDIR(one.mode) or (
                unchanged[position] and one.path in self._previous_tree.entries
            ):
                continue
            if one.links > 1 and stat.S_ISREG(one.mode):
                inode = (one.device, one.inode)
                if inode in inodes:
                    continue
                inodes.add(inode)
            yield one

    def _read_files(
        self, todo: Iterable[ArchiveTask], options: PassOptions
    ) -> tuple[ReadFiles, bool]:
        with DirectoryHandles(self._root) as directories:
            gatherer = FileArchiver(directories, self._uploader, options.deadline)
            cut = self._run_until_deadline(
                lambda: self._archive_all(gatherer, todo, options.deadline), options
            )
            cut = (
                self._run_until_deadline(lambda: self._upload_rest(options.deadline), options)
                or cut
            )
        return gatherer.result, cut

    def _archive_all(
        self, file_archiver: FileArchiver, todo: Iterable[ArchiveTask], deadline: Deadline
    ) -> None:
        for one in todo:
            deadline.check()
            if isinstance(one, Database):
                file_archiver.archive_database(one)
            elif stat.S_ISLNK(one.mode):
                file_archiver.archive_link(one)
            else:
                file_archiver.archive_file(one)

    def _upload_rest(self, deadline: Deadline) -> None:
        self._uploader.close_pack(deadline)
        self._uploader.drain(deadline)

    def _run_until_deadline(self, work: Callable[[], None], options: PassOptions) -> bool:
        if not options.is_final:
            work()
            return False
        with suppress(DeadlineExceededError):
            work()
            return False
        return True
