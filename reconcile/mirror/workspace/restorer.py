"""Writes a snapshot into a volume: aside first, then all of it is made visible by renames.

Compares what a volume holds already with a snapshot, by digests.
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
from reconcile.mirror.workspace.excludes import Excludes
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
    STAGING_DIR,
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
"""About how many entries a volume may hold that the snapshot has not: each costs memory."""


class VolumeComparison(Struct):
    """What is there and right, there and wrong, and there without being in the snapshot.

    Modes and times do not count: they are set anyway. What is neither is missing.
    """

    matching: set[str] = field(default_factory=set)
    differing: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    @property
    def unexpected(self) -> list[str]:
        """Whatever a snapshot that was restored in part does not explain."""
        return sorted((*self.differing, *self.foreign))


def compare_volume(
    root: Path, entries: Mapping[str, Entry], chunk: int = CHUNK
) -> VolumeComparison:
    """Look at everything below `root`; `chunk` is the size of a large file's blobs.

    Raises:
        WorkspaceError: the volume cannot be read.
    """
    try:
        seen, skipped = walk(
            root, Excludes(()), max_weight=sum(map(entry_weight, entries)) + MAX_FOREIGN_ENTRIES
        )
    except TooManyEntriesError:
        raise WorkspaceError(
            f"the volume holds more than {MAX_FOREIGN_ENTRIES:,} files that its snapshot has not: give the pod "
            "an empty volume"
        ) from None
    verdict = VolumeComparison()
    with DirectoryHandles(root) as directories:
        judge = _VolumeComparer(directories, verdict, chunk)
        for there in seen:
            judge.compare(there, entries.get(there.path))
    verdict.foreign.extend(_special_files(skipped))
    return verdict


def _special_files(skipped: SkippedEntries) -> list[str]:
    """Sockets and the like are never in a snapshot."""
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

    def compare(self, found: FileStat, wanted: Entry | None) -> None:
        if found.path == "lost+found":
            return
        if wanted is None:
            self._comparison.foreign.append(found.path)
        elif self._matches(found, wanted):
            self._comparison.matching.add(found.path)
        else:
            self._comparison.differing.append(found.path)

    def _matches(self, found: FileStat, wanted: Entry) -> bool:
        match wanted:
            case Directory():
                return stat.S_ISDIR(found.mode)
            case Symlink():
                return stat.S_ISLNK(found.mode) and self._read_target(found) == wanted.target
            case HardLink():
                known = self._inodes.get((found.device, found.inode))
                return known == wanted.target and known in self._comparison.matching
            case File():
                return self._file_matches(found, wanted)
            case _:
                assert_never(wanted)

    def _file_matches(self, stat_found: FileStat, wanted: File) -> bool:
        """Tell whether the bytes are right, and no other name of the snapshot shares them."""
        if not stat.S_ISREG(stat_found.mode) or stat_found.size != wanted.size:
            return False
        if (
            self._inodes.setdefault((stat_found.device, stat_found.inode), stat_found.path)
            != stat_found.path
        ):
            return False
        try:
            pieces = read_chunks(self._directories, stat_found, self._chunk)
            found = tuple(compute_blob_digest(piece) for piece in pieces)
        except (FileChangedError, FileUnreadableError):
            return False
        return found == wanted.blobs

    def _read_target(self, found: FileStat) -> str | None:
        try:
            return read_link(self._directories, found)
        except (FileChangedError, FileUnreadableError):
            return None


class VolumeOwner(Enum):
    """Whose are the files that a volume holds before anything is restored?

    OURS if an attempt of ours began on it when it was empty, and no agent has run since: what
    differs from the snapshot is replaced, what is not in it is removed. Else they are a STRANGER's:
    files that are as in the snapshot stay and the rest is completed, but anything else is an error.
    """

    OURS = "ours"
    FOREIGN = "a stranger's"


class _RestoreState(Struct, frozen=True):
    """What there is from `begin` until the end."""

    site: Staging
    writer: FileWriter


class Restorer:
    """Restores one snapshot into the volume at `root`.

    Call `begin`; then `write`, or `open_chunk` once for each blob, for each file that `files` names,
    from any thread and in any order; then `finish`. Every method raises WorkspaceError where the
    volume does not let it, and DamagedError for entries that no walk can have seen. `close` lets go
    of a restore that cannot be finished; what is put together aside stays for the next attempt.

    Args:
        root: the volume.
        entries: the snapshot, in the order of paths.
        owner: whose files the volume may hold already; `lost+found` does not count.
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
        """Whether `begin` found nothing: then another process may fill files beside this one."""
        return isinstance(self._require_state().site, EmptyVolumeStaging)

    @property
    def files(self) -> list[File]:
        """The files whose bytes are wanted, once `begin` was called."""
        return [
            entry
            for entry in self._entries.values()
            if isinstance(entry, File) and entry.size and entry.path not in self._matching
        ]

    def begin(self) -> None:
        """Look at what is there, and make directories, empty files, and room for large ones."""
        for entry in self._entries.values():
            self._check(entry)
        with translate_errors(self._root, ""), DirectoryHandles(self._root) as visible:
            remove_tree(visible, STAGING_DIR)
            with os.scandir(visible.root) as names:
                there = {entry.name for entry in names} - {"lost+found"}
            if there:
                self._adopt_existing(visible)
            os.mkdir(STAGING_DIR, 0o700, dir_fd=visible.root)
            site: Staging = (
                PartialVolumeStaging(self._root) if there else EmptyVolumeStaging(self._root)
            )
            self._state = _RestoreState(site, FileWriter(self._root, site))
        self._remaining = {file.path: file.size for file in self.files}
        wanted = (
            entry
            for entry in self._entries.values()
            if entry.path not in self._matching or isinstance(entry, Directory)
        )
        self._for_each(wanted, self._prepare)

    def write(self, file: File, data: bytes | memoryview) -> os.stat_result:
        """Write a file whole that has one blob, and return what it is from then on."""
        self.record_written(file.path, len(data))
        return self._require_state().writer.write(file, data)

    def open_chunk(self, path: str, byte_range: range) -> AbstractContextManager[OpenChunk]:
        """Open a file that has several blobs; `byte_range` says which of its bytes one of them is."""
        self.record_written(path, len(byte_range))
        return self._require_state().writer.open_chunk(path, byte_range)

    def record_written(self, path: str, size: int) -> None:
        """Take it that so many bytes more of a file are there, whoever has written them."""
        with self._lock:
            left = self._remaining.get(path, 0) - size
            if left < 0:
                raise DamagedError(f"{path!r} would be longer than the snapshot says")
            self._remaining[path] = left

    def finish(self) -> None:
        """Make everything visible, with its links, modes and times; directories come last."""
        if any(self._remaining.values()):
            missing = [path for path, left in self._remaining.items() if left]
            raise DamagedError(f"{len(missing)} files were not restored, such as {missing[0]!r}")
        site = self._require_state().site
        self._for_each(self._iter_multi_blob_files(), self._apply_metadata)
        with translate_errors(self._root, ""), DirectoryHandles(self._root) as visible:
            site.publish(self._entries.values())
            remove_tree(visible, STAGING_DIR)
            self._finish_visible(visible)
        self.close()

    def close(self) -> None:
        """Let go of all descriptors."""
        if self._state is not None:
            self._state.site.close()
            self._state = None

    def _finish_visible(self, visible: DirectoryHandles) -> None:
        """Make links, then set what making them has spoilt: a directory's content comes first."""
        links = (
            entry
            for entry in self._entries.values()
            if isinstance(entry, Symlink | HardLink) and entry.path not in self._matching
        )
        self._for_each(links, partial(create_link, visible))
        spoilt = (
            entry
            for entry in reversed(self._entries.values())
            if not isinstance(entry, File) or entry.path in self._matching
        )
        self._for_each(spoilt, partial(_apply_final_metadata, visible))

    def _for_each(self, entries: Iterable[Entry], action: Callable[[Entry], None]) -> None:
        """Do something to many entries; errors name the one at which it failed."""
        path = ""
        try:
            for entry in entries:
                path = entry.path
                action(entry)
        except OSError as error:
            raise build_restore_error(self._root, path, error) from error

    def _require_state(self) -> "_RestoreState":
        if self._state is None:
            raise RuntimeError("a Restorer begins with `begin`, and ends with `finish` or `close`")
        return self._state

    def _check(self, entry: Entry) -> None:
        """Raise DamagedError for what no walk can have seen, before anything is written."""
        above, _, name = entry.path.rpartition("/")
        check_file_name(name)
        if above and not isinstance(self._entries.get(above), Directory):
            raise DamagedError(f"{entry.path!r} is in no directory of the snapshot")
        if entry.path.partition("/")[0] == STAGING_DIR:
            raise DamagedError(f"{entry.path!r} is a name that only the mirror itself may use")
        if isinstance(entry, HardLink) and not isinstance(self._entries.get(entry.target), File):
            raise DamagedError(f"{entry.path!r} is linked to {entry.target!r}, which is no file")

    def _adopt_existing(self, visible: DirectoryHandles) -> None:
        """Keep what is right; the rest goes if it is ours, and stops us if it is a stranger's."""
        verdict = compare_volume(self._root, self._entries)
        if verdict.unexpected and self._owner is VolumeOwner.FOREIGN:
            raise WorkspaceError(_foreign_files_message(self._root, verdict))
        self._matching = verdict.matching
        for path in sorted(verdict.matching):
            if isinstance(self._entries[path], Directory):
                make_writable(visible, path)
        gone = ""
        for path in verdict.unexpected:
            if not gone or not path.startswith(f"{gone}/"):
                remove_tree(visible, path)
                gone = path

    def _prepare(self, entry: Entry) -> None:
        match entry:
            case Directory():
                self._make_directory(entry.path)
            case File() if not _is_single_blob(entry):
                self._require_state().writer.preallocate(entry)
            case _:
                pass

    def _make_directory(self, path: str) -> None:
        parent, name = self._require_state().site.get_directories().open_parent(path)
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
    """Whether the file is written in one step; others are made first, and dressed at the end."""
    return len(file.blobs) == 1


def _foreign_files_message(root: Path, comparison: VolumeComparison) -> str:
    count = len(comparison.unexpected)
    examples = ", ".join(repr(path) for path in comparison.unexpected[:3])
    return (
        f"{root}: the volume holds {count} files that differ from the snapshot or are not in it "
        f"({examples}): they may be newer work. Remove them or mount an empty volume to restore the "
        "snapshot, or make the volume's files the next generation with `reconcile-mirror import "
        f"--from-directory {root} --replace`"
    )
