"""Restores a snapshot into a volume: stages it first, then publishes all of it by renames.

If the volume is not empty, it is compared with the snapshot by digests, and only the rest is
restored.
"""

import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from enum import Enum
from functools import partial
from pathlib import Path
from typing import assert_never

from msgspec import Struct, field

from reconcile.mirror.errors import DamagedError, WorkspaceError
from reconcile.mirror.model import Directory, Entry, File, HardLink, Symlink
from reconcile.mirror.workspace.dirfd import DirectoryHandles, check_file_name
from reconcile.mirror.workspace.excludes import CLONING_DIR, STAGING_DIR, Excludes
from reconcile.mirror.workspace.reader import (
    CHUNK,
    FileChangedError,
    FileUnreadableError,
    compute_blob_digest,
    read_chunks,
    read_link,
)
from reconcile.mirror.workspace.walk import (
    FileStat,
    SkippedEntries,
    TooManyEntriesError,
    entry_weight,
    walk,
)
from reconcile.mirror.workspace.writer import (
    EmptyVolumeStaging,
    FileWriter,
    OpenChunk,
    PartialVolumeStaging,
    Staging,
    apply_file_metadata,
    apply_final_metadata,
    build_restore_error,
    create_link,
    make_writable,
    remove_tree,
    translate_errors,
)

MAX_FOREIGN_ENTRIES = 100_000
"""About how many entries a volume may hold that are not in the snapshot: each costs memory."""


class VolumeComparison(Struct):
    """Paths in the volume that match the snapshot, that differ, and that are not in it.

    Modes and times are not compared: they are set anyway. All other paths of the snapshot are
    missing.
    """

    matching: set[str] = field(default_factory=set)
    differing: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    @property
    def unexpected(self) -> list[str]:
        """The paths that a partial restore of the snapshot would not have left."""
        return sorted((*self.differing, *self.foreign))


def compare_volume(
    root: Path, entries: Mapping[str, Entry], chunk: int = CHUNK
) -> VolumeComparison:
    """Compare everything below `root`; `chunk` is the size of a large file's blobs.

    Raises:
        WorkspaceError: The volume cannot be read, or holds too many foreign files.
    """
    try:
        stats, skipped = walk(
            root, Excludes(()), max_weight=sum(map(entry_weight, entries)) + MAX_FOREIGN_ENTRIES
        )
    except TooManyEntriesError:
        raise WorkspaceError(
            f"the volume holds more than {MAX_FOREIGN_ENTRIES:,} files that are not in its "
            "snapshot: give the pod an empty volume"
        ) from None
    comparison = VolumeComparison()
    with DirectoryHandles(root) as directories:
        comparer = _VolumeComparer(directories, comparison, chunk)
        for existing in stats:
            comparer.compare(existing, entries.get(existing.path))
    comparison.foreign.extend(_special_files(skipped))
    return comparison


def _special_files(skipped: SkippedEntries) -> list[str]:
    """Return sockets, devices and mounts, which are never in a snapshot."""
    return [
        path
        for reason in ("sockets", "devices", "mounts")
        for path in skipped.examples.get(reason, ())
    ]


class _VolumeComparer:
    def __init__(
        self, directories: DirectoryHandles, comparison: VolumeComparison, chunk: int
    ) -> None:
        self._directories = directories
        self._comparison = comparison
        self._chunk = chunk
        self._inodes: dict[tuple[int, int], str] = {}

    def compare(self, existing: FileStat, wanted: Entry | None) -> None:
        if existing.path == "lost+found":
            return
        if wanted is None:
            self._comparison.foreign.append(existing.path)
        elif self._matches(existing, wanted):
            self._comparison.matching.add(existing.path)
        else:
            self._comparison.differing.append(existing.path)

    def _matches(self, existing: FileStat, wanted: Entry) -> bool:
        match wanted:
            case Directory():
                return stat.S_ISDIR(existing.mode)
            case Symlink():
                return stat.S_ISLNK(existing.mode) and self._read_target(existing) == wanted.target
            case HardLink():
                first_path = self._inodes.get((existing.device, existing.inode))
                return first_path == wanted.target and first_path in self._comparison.matching
            case File():
                return self._file_matches(existing, wanted)
            case _:
                assert_never(wanted)

    def _file_matches(self, existing: FileStat, wanted: File) -> bool:
        """Whether the bytes match, and no other file of the snapshot shares the inode."""
        if not stat.S_ISREG(existing.mode) or existing.size != wanted.size:
            return False
        inode = existing.device, existing.inode
        if self._inodes.setdefault(inode, existing.path) != existing.path:
            return False
        try:
            chunks = read_chunks(self._directories, existing, self._chunk)
            digests = tuple(map(compute_blob_digest, chunks))
        except (FileChangedError, FileUnreadableError):
            return False
        return digests == wanted.blobs

    def _read_target(self, existing: FileStat) -> str | None:
        try:
            return read_link(self._directories, existing)
        except (FileChangedError, FileUnreadableError):
            return None


class VolumeOwner(Enum):
    """Who wrote the files that a volume holds before the restore.

    OURS: an earlier restore, which found the volume empty, and no agent has run since. Files that
    differ from the snapshot are replaced, others are removed. FOREIGN: anyone else. Matching files
    stay and missing ones are restored, but any other file is an error.
    """

    OURS = "ours"
    FOREIGN = "foreign"


class _RestoreState(Struct, frozen=True):
    """The staging area and its writer, from `begin` to `finish` or `close`."""

    staging: Staging
    writer: FileWriter


class Restorer:
    """Restores one snapshot into the volume at `root`.

    Call `begin`; then `write`, or `open_chunk` once for each blob, for each file of `files`, from
    any thread and in any order; then `finish`. Every method raises WorkspaceError if the volume
    fails, and DamagedError for entries that no walk can have produced. `close` ends a restore that
    cannot be finished; the staging directory stays until the next attempt removes it.

    Args:
        root: The volume.
        entries: The snapshot, in the order of paths.
        owner: Who wrote files that the volume already holds; `lost+found` is ignored.
    """

    def __init__(
        self, root: Path, entries: Iterable[Entry], owner: VolumeOwner = VolumeOwner.FOREIGN
    ) -> None:
        self._root = root
        self._entries = {entry.path: entry for entry in entries}
        self._owner = owner
        self._matching: set[str] = set()
        self._remaining: dict[str, int] = {}
        self._lock = threading.Lock()
        self._state: _RestoreState | None = None

    @property
    def was_empty(self) -> bool:
        """Whether `begin` found an empty volume: then another process may also write files."""
        return isinstance(self._require_state().staging, EmptyVolumeStaging)

    @property
    def files(self) -> list[File]:
        """The files to write, after `begin`."""
        return [
            entry
            for entry in self._entries.values()
            if isinstance(entry, File) and entry.size and entry.path not in self._matching
        ]

    def begin(self) -> None:
        """Check the volume, and create directories, empty files, and preallocated large files."""
        for entry in self._entries.values():
            self._check(entry)
        with translate_errors(self._root, ""), DirectoryHandles(self._root) as visible:
            remove_tree(visible, STAGING_DIR)
            with os.scandir(visible.root) as names:
                existing = {entry.name for entry in names} - {"lost+found"}
            if existing:
                self._adopt_existing(visible)
            os.mkdir(STAGING_DIR, 0o700, dir_fd=visible.root)
            staging: Staging = (
                PartialVolumeStaging(self._root) if existing else EmptyVolumeStaging(self._root)
            )
            self._state = _RestoreState(staging, FileWriter(self._root, staging))
        self._remaining = {file.path: file.size for file in self.files}
        wanted = (
            entry
            for entry in self._entries.values()
            if entry.path not in self._matching or isinstance(entry, Directory)
        )
        self._for_each(wanted, self._prepare)

    def write(self, file: File, data: bytes | memoryview) -> os.stat_result:
        """Write a whole file that has one blob, and return its stat after that."""
        self.record_written(file.path, len(data))
        return self._require_state().writer.write(file, data)

    def open_chunk(self, path: str, byte_range: range) -> AbstractContextManager[OpenChunk]:
        """Open a file that has several blobs; `byte_range` are the bytes of one of them."""
        self.record_written(path, len(byte_range))
        return self._require_state().writer.open_chunk(path, byte_range)

    def record_written(self, path: str, size: int) -> None:
        """Count bytes of a file as written, by this process or another one."""
        with self._lock:
            remaining = self._remaining.get(path, 0) - size
            if remaining < 0:
                raise DamagedError(f"{path!r} would be longer than the snapshot says")
            self._remaining[path] = remaining

    def finish(self) -> None:
        """Publish everything, with links, modes and times; those of directories come last."""
        missing = [path for path, remaining in self._remaining.items() if remaining]
        if missing:
            raise DamagedError(f"{len(missing)} files were not restored, such as {missing[0]!r}")
        staging = self._require_state().staging
        self._for_each(self._iter_multi_blob_files(), self._apply_metadata)
        with translate_errors(self._root, ""), DirectoryHandles(self._root) as visible:
            staging.publish(self._entries.values())
            remove_tree(visible, STAGING_DIR)
            self._finish_visible(visible)
        self.close()

    def close(self) -> None:
        """Close all descriptors."""
        if self._state is not None:
            self._state.staging.close()
            self._state = None

    def _finish_visible(self, visible: DirectoryHandles) -> None:
        """Create links, then set modes and times; a directory comes after its content."""
        links = (
            entry
            for entry in self._entries.values()
            if isinstance(entry, Symlink | HardLink) and entry.path not in self._matching
        )
        self._for_each(links, partial(create_link, visible))
        unfinished = (
            entry
            for entry in reversed(self._entries.values())
            if not isinstance(entry, File) or entry.path in self._matching
        )
        self._for_each(unfinished, partial(_apply_final_metadata, visible))

    def _for_each(self, entries: Iterable[Entry], action: Callable[[Entry], None]) -> None:
        """Apply an action to entries; an error names the entry at which it failed."""
        path = ""
        try:
            for entry in entries:
                path = entry.path
                action(entry)
        except OSError as error:
            raise build_restore_error(self._root, path, error) from error

    def _require_state(self) -> "_RestoreState":
        if self._state is None:
            raise RuntimeError("call `begin` first, and nothing after `finish` or `close`")
        return self._state

    def _check(self, entry: Entry) -> None:
        """Raise DamagedError for an entry that no walk can have produced."""
        parent, _, name = entry.path.rpartition("/")
        check_file_name(name)
        if parent and not isinstance(self._entries.get(parent), Directory):
            raise DamagedError(f"{entry.path!r} is not in a directory of the snapshot")
        if entry.path.partition("/")[0] in {STAGING_DIR, CLONING_DIR}:
            raise DamagedError(
                f"{entry.path!r} is a name of a staging directory: no snapshot has it"
            )
        if isinstance(entry, HardLink) and not isinstance(self._entries.get(entry.target), File):
            raise DamagedError(
                f"{entry.path!r} is a hard link to {entry.target!r}, which is not a file"
            )

    def _adopt_existing(self, visible: DirectoryHandles) -> None:
        """Keep files that match; others are removed if they are ours, an error if foreign."""
        comparison = compare_volume(self._root, self._entries)
        if comparison.unexpected and self._owner is VolumeOwner.FOREIGN:
            raise WorkspaceError(_foreign_files_message(self._root, comparison))
        self._matching = comparison.matching
        for path in sorted(comparison.matching):
            if isinstance(self._entries[path], Directory):
                make_writable(visible, path)
        removed = ""
        for path in comparison.unexpected:
            if not removed or not path.startswith(f"{removed}/"):
                remove_tree(visible, path)
                removed = path

    def _prepare(self, entry: Entry) -> None:
        match entry:
            case Directory():
                self._make_directory(entry.path)
            case File() if not _is_single_blob(entry):
                self._require_state().writer.preallocate(entry)
            case _:
                pass

    def _make_directory(self, path: str) -> None:
        parent, name = self._require_state().staging.get_directories().open_parent(path)
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            if path not in self._matching:
                raise

    def _iter_multi_blob_files(self) -> Iterator[File]:
        for entry in self._entries.values():
            if (
                isinstance(entry, File)
                and not _is_single_blob(entry)
                and entry.path not in self._matching
            ):
                yield entry

    def _apply_metadata(self, file: Entry) -> None:
        assert isinstance(file, File)
        self._require_state().writer.apply_metadata(file)


def _apply_final_metadata(visible: DirectoryHandles, entry: Entry) -> None:
    if isinstance(entry, File):
        apply_file_metadata(visible, entry)
    else:
        apply_final_metadata(visible, entry)


def _is_single_blob(file: File) -> bool:
    """Whether the file is written in one step; others are preallocated, with metadata set last."""
    return len(file.blobs) == 1


def _foreign_files_message(root: Path, comparison: VolumeComparison) -> str:
    count = len(comparison.unexpected)
    examples = ", ".join(repr(path) for path in comparison.unexpected[:3])
    return (
        f"{root}: the volume holds {count} files that differ from the snapshot or are not in it "
        f"({examples}): they may be newer work. To restore the snapshot, remove them or mount an "
        "empty volume. To keep them, first make the volume the next generation: see "
        "`reconcile-mirror import --help`"
    )
