"""Archives a scanned workspace: reads what changed, uploads it, and builds the next tree."""

import math
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import cache
from typing import Final, TypeAlias

from msgspec import Struct

from reconcile.mirror.backup.file_archiver import ArchiveLimits, FileArchiver, ReadFiles
from reconcile.mirror.backup.mark_placement import check_session_dir, has_mark, place_mark
from reconcile.mirror.backup.tree_builder import TreeInput, TreeResult, build_tree
from reconcile.mirror.backup.uploader import Uploader
from reconcile.mirror.concurrency import Deadline, DeadlineExceededError
from reconcile.mirror.index import Index
from reconcile.mirror.model import Partial, SnapshotTree
from reconcile.mirror.snapshot.keys import CHUNK, MAX_PACKED_FILE
from reconcile.mirror.snapshot.repack import DEFAULT_REPACK_POLICY, RepackPolicy
from reconcile.mirror.workspace.file_groups import FileGroup, find_groups
from reconcile.mirror.workspace.git import (
    find_git_directories,
    find_incomplete,
    find_object_directories,
    find_paths_to_hold_back,
)
from reconcile.mirror.workspace.root import WorkspaceRoot
from reconcile.mirror.workspace.session_mark import (
    MARK,
    can_be_mark,
    is_in_session_dir,
    unreadable_mark_error,
)
from reconcile.mirror.workspace.survey import Scan
from reconcile.mirror.workspace.walk import FileStat

HIDDEN_ENTRIES_FACTOR: Final = 1.5
"""A tree may exceed the limit so many times by entries that cannot be seen this time."""


class ArchiveResult(Struct, frozen=True):
    """A tree whose bytes are all stored, but which is not committed yet.

    Attributes:
        file_stats: The scan, with newer stats for databases.
        tree_result: The tree, and what it lacks.
        read_files: Counts of what was read.
        stale_positions: Positions of the scan that the next pass must read again.
        missing: What the generation lacks: all of this in a final pass, what cannot be read in any.
        is_truncated: Whether the deadline came before everything was read.
    """

    file_stats: list[FileStat]
    tree_result: TreeResult
    read_files: ReadFiles
    stale_positions: Sequence[int]
    missing: Partial
    is_truncated: bool


class UploadPace:
    """Estimates whether a file can be sent before the deadline, from what was sent before."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._seconds_at_start = deadline.remaining()
        self._sent_before = 0
        self._uploader: Uploader | None = None
        self._start = (0, 0)

    def begin(self, uploader: Uploader) -> None:
        """Begin a pass, in which nothing is being sent yet."""
        if self._uploader is not None:
            self._sent_before += self._uploader.sent_bytes - self._start[0]
        self._uploader, self._start = uploader, (uploader.sent_bytes, uploader.begun_bytes)

    def fits(self, size: int) -> bool:
        """Whether so many bytes can probably be sent in time; yes as long as little was sent."""
        remaining, uploader = self._deadline.remaining(), self._uploader
        if uploader is None or math.isinf(remaining):
            return True
        acknowledged = uploader.sent_bytes - self._start[0]
        in_flight = max(uploader.begun_bytes - self._start[1] - acknowledged, 0)
        sent = self._sent_before + acknowledged + in_flight / 2
        seconds = self._seconds_at_start - remaining
        if not self._sent_before + acknowledged or sent < CHUNK:
            return True
        return (in_flight / 2 + size) * seconds <= remaining * sent


class PassOptions(Struct, frozen=True):
    """How far a pass may go.

    Attributes:
        deadline: When the pass ends.
        is_final: Whether it then stores the part that it has, newest files first; any other pass
            is given up.
        repack_policy: What is repacked along with a commit.
        pace: What a final pass begins to send; shared by all attempts until one deadline.
        is_last: Whether no further pass is to be expected: files are read again whose times may
            not show a change.
    """

    deadline: Deadline
    is_final: bool = False
    repack_policy: RepackPolicy = DEFAULT_REPACK_POLICY
    pace: UploadPace | None = None
    is_last: bool = False


ArchiveTask: TypeAlias = FileStat | FileGroup

_FIRST_PACK: Final = 64 << 10
"""Bytes after which a final pass sends its first pack; each further one may be twice as large."""


def _members(task: ArchiveTask) -> Sequence[FileStat]:
    return task.members if isinstance(task, FileGroup) else (task,)


def _last_write(task: ArchiveTask) -> int:
    return max(max(file_stat.mtime, file_stat.ctime) for file_stat in _members(task))


def _is_large(task: ArchiveTask) -> bool:
    return any(file_stat.size > MAX_PACKED_FILE for file_stat in _members(task))


def _changed_members(groups: Iterable[FileGroup], todo: Iterable[FileStat]) -> set[str]:
    """Return the paths of groups that are to be read: few, although all files may be."""
    paths = {path for group in groups for path in group.paths}
    return {file_stat.path for file_stat in todo if file_stat.path in paths}


def _build_tasks(todo: Sequence[FileStat], groups: Sequence[FileGroup]) -> list[ArchiveTask]:
    """Put groups first, each as one task, and what is in `.session` last."""
    paths = {path for group in groups for path in group.paths}
    single = [file_stat for file_stat in todo if file_stat.path not in paths]
    return sorted([*groups, *single], key=_is_of_session)


def _is_of_session(task: ArchiveTask) -> bool:
    return any(is_in_session_dir(member.path) for member in _members(task))


def _prioritize(tasks: Iterable[ArchiveTask]) -> list[ArchiveTask]:
    """Put small files first, and of these and of large ones the newest."""
    return sorted(tasks, key=lambda task: (_is_large(task), -_last_write(task)))


def _always_fits(_size: int) -> bool:
    return True


MemberCheck: TypeAlias = Callable[[FileStat], bool]
"""Whether the previous tree has a member of a group with this stat."""


def _known_members(
    stats: Sequence[FileStat], unchanged: bytearray, groups: Sequence[FileGroup]
) -> MemberCheck:
    paths = {path for group in groups for path in group.paths}
    known = {
        each.path: each
        for position, each in enumerate(stats if paths else ())
        if unchanged[position] and each.path in paths
    }
    return lambda file: known.get(file.path) == file


def _positions(stats: Sequence[FileStat], paths: Collection[str]) -> Iterator[int]:
    if not paths:
        return iter(())
    return (position for position, each in enumerate(stats) if each.path in paths)


def _lacking_positions(
    stats: Sequence[FileStat], result: TreeResult, read: ReadFiles, *, is_final: bool
) -> set[int]:
    """Return what a generation lacks; what only changes is left to the pass after it, if any."""
    if is_final:
        return {*result.stale_positions, *_positions(stats, read.incomplete)}
    return {each for each in result.stale_positions if stats[each].path in read.unreadable}


def _update_stats(stats: list[FileStat], unchanged: bytearray, read: ReadFiles) -> list[FileStat]:
    """Return the scan with the stats of what was read later, the mark's among them."""
    if read.file_stats:
        for position, file_stat in enumerate(stats):
            unchanged[position] &= file_stat.path not in read.file_stats
        stats = [read.file_stats.get(file_stat.path, file_stat) for file_stat in stats]
    return place_mark(stats, unchanged, read.mark)


def _require_mark(tree: SnapshotTree, read: ReadFiles, *, is_truncated: bool) -> None:
    """Check that a tree has the mark as it was read after all else; raises as `Archiver.run`."""
    if has_mark(tree, read):
        return
    if is_truncated:
        raise DeadlineExceededError
    raise unreadable_mark_error("it was replaced, or is a hard link to another file")


class Archiver:
    """Turns a scan into a tree that is stored."""

    def __init__(
        self,
        root: WorkspaceRoot,
        previous_tree: SnapshotTree,
        index: Index | None,
        uploader: Uploader,
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
            WorkspaceError: The workspace cannot be read, or another volume is in its place.
        """
        check_session_dir(scan.skipped.unknown)
        stats = scan.file_stats
        unchanged = self._index.unchanged_flags(stats) if self._index else bytearray(len(stats))
        todo = list(self._select_files_to_read(stats, unchanged))
        groups = find_groups(stats, self._previous_tree.entries)
        groups = [group for group in groups if MARK not in group.paths]
        changed = _changed_members(groups, todo)
        groups = [group for group in groups if not changed.isdisjoint(group.paths)]
        is_known = _known_members(stats, unchanged, groups)
        tasks = _build_tasks(todo, groups)
        read, is_truncated = self._read_files(tasks, is_known, options)
        kept = [
            *self._drop_dangling_git_files(stats, todo, read),
            *self._drop_torn_groups(groups, changed, read),
        ]
        stats = _update_stats(stats, unchanged, read)
        result = build_tree(
            self._previous_tree,
            TreeInput(
                stats,
                unchanged,
                read.blobs,
                read.link_targets,
                [*scan.skipped.unknown, *kept],
                HIDDEN_ENTRIES_FACTOR * scan.weight_limit,
            ),
            self._uploader.find_place,
            self._uploader.packs,
        )
        _require_mark(result.tree, read, is_truncated=is_truncated)
        stale = sorted({*result.stale_positions, *_positions(stats, read.unsettled)})
        lacking = _lacking_positions(stats, result, read, is_final=options.is_final)
        missing = Partial(
            len(lacking) + scan.skipped.unreadable, sum(stats[each].size for each in lacking)
        )
        read.release_contents()
        return ArchiveResult(stats, result, read, stale, missing, is_truncated)

    def _drop_dangling_git_files(
        self, file_stats: Sequence[FileStat], todo: Sequence[FileStat], read_files: ReadFiles
    ) -> frozenset[str]:
        """Drop files that refer to git objects which are not stored yet.

        An object that cannot be read is not waited for: most objects are not needed, and without
        its other files the repository would be lost.

        Returns:
            The directories in which nothing may be deleted: `git gc` replaces many objects by one.
        """
        missing = {each.path for each in todo if not self._is_stored(each.path, read_files)}
        if not missing:
            return frozenset()
        paths = {file_stat.path for file_stat in file_stats}
        repositories = find_git_directories(paths)
        waiting = find_incomplete(paths, missing - read_files.unreadable.keys(), repositories)
        for path in find_paths_to_hold_back([each.path for each in todo], waiting, repositories):
            read_files.drop(path)
        return waiting | find_object_directories(find_incomplete(paths, missing, repositories))

    def _drop_torn_groups(
        self, groups: Sequence[FileGroup], changed: set[str], read_files: ReadFiles
    ) -> Iterator[str]:
        """Drop groups of which a file is not stored; yields paths that must not be deleted."""
        for group in groups:
            seen = {member.path for member in group.members}
            wanted = {
                member.path
                for member in group.members
                if member.path in changed or member.path in read_files.blobs
            }
            if all(self._is_stored(path, read_files) for path in wanted):
                continue
            for path in seen:
                read_files.drop(path)
            yield from group.paths - seen

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
            if (
                stat.S_ISDIR(file_stat.mode)
                or can_be_mark(file_stat)
                or (unchanged[position] and file_stat.path in self._previous_tree.entries)
            ):
                continue
            if file_stat.links > 1 and stat.S_ISREG(file_stat.mode):
                inode = (file_stat.device, file_stat.inode)
                if inode in inodes:
                    continue
                inodes.add(inode)
            yield file_stat

    def _read_files(
        self, tasks: Iterable[ArchiveTask], is_known: MemberCheck, options: PassOptions
    ) -> tuple[ReadFiles, bool]:
        truncation = _Truncation(is_allowed=options.is_final)
        pace = options.pace or UploadPace(options.deadline)
        pace.begin(self._uploader)
        fits = pace.fits if options.is_final else _always_fits
        limits = ArchiveLimits(options.deadline, fits, self._root.is_excluded)
        # Seldom needed, and after an import it has the paths of all files.
        restless = cache(self._index.stale_paths) if self._index else frozenset
        with self._root.open() as directories:
            file_archiver = FileArchiver(directories, self._uploader, limits, restless)
            # First too, so that a pass whose time is over has sent it, unless it changed since.
            file_archiver.archive_mark()
            with truncation:
                if options.is_final:
                    tasks = self._close_packs_early(_prioritize(tasks), file_archiver, limits)
                self._archive_all(file_archiver, tasks, is_known)
            file_archiver.archive_mark()
            with truncation:
                self._upload_rest(options.deadline)
        return file_archiver.result, truncation.has_happened

    def _close_packs_early(
        self, tasks: Iterable[ArchiveTask], file_archiver: FileArchiver, limits: ArchiveLimits
    ) -> Iterator[ArchiveTask]:
        """Yield the tasks of a final pass, and send what was read of them before the next ones."""
        limit = due = _FIRST_PACK
        for task, is_large in [(task, _is_large(task)) for task in tasks]:
            if is_large or file_archiver.result.size >= due:
                self._uploader.close_pack(limits.deadline)
                limit *= 2
                due = file_archiver.result.size + limit
            if is_large and not limits.fits(sum(each.size for each in _members(task))):
                file_archiver.result.out_of_time += 1
            else:
                yield task

    def _archive_all(
        self,
        file_archiver: FileArchiver,
        tasks: Iterable[ArchiveTask],
        is_known: MemberCheck,
    ) -> None:
        for task in tasks:
            file_archiver.check_deadline()
            if isinstance(task, FileGroup):
                file_archiver.archive_group(task, is_known)
            elif stat.S_ISLNK(task.mode):
                file_archiver.archive_link(task)
            elif is_in_session_dir(task.path):
                file_archiver.archive_current_file(task)
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
