"""Finds changes that the times of a file do not show: writes through a shared mapping.

The kernel sets a file's times at the first write to a page of a mapping, and not again before it
has written that page to the disk, which takes about 35 seconds. So the content of a file may differ
from what was read for so long after its `mtime`. Such files are read a second time after that, a
bounded number of bytes at a time, and once more before the pod ends.
"""

import math
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import compress
from typing import Final

from reconcile.mirror.clock import Clock
from reconcile.mirror.concurrency import Deadline
from reconcile.mirror.index import Index
from reconcile.mirror.model import Entry, File, HardLink
from reconcile.mirror.snapshot.encoding import SECOND
from reconcile.mirror.snapshot.keys import CHUNK
from reconcile.mirror.workspace.dirfd import DirectoryHandles
from reconcile.mirror.workspace.reader import (
    FileChangedError,
    FileUnreadableError,
    compute_blob_digest,
    read_chunks,
)
from reconcile.mirror.workspace.walk import FileStat

WINDOW: Final = 60 * SECOND
"""Nanoseconds after a file's `mtime` for which its content may change without a new one."""

PAGE: Final = 4096
"""Bytes of a page; programs seldom map smaller files."""

_HISTORY: Final = 3 * WINDOW
"""How long before its start a process takes files for suspect."""

MAX_FILES_PER_SCAN: Final = 1000
MAX_BYTES_PER_SCAN: Final = 64 << 20
MAX_BYTES_AT_END: Final = 256 << 20
"""Larger files are never read again."""

MAX_BYTES_IN_ONE_PASS: Final = 16 << 20
MAX_FILES_IN_ONE_PASS: Final = 64


class Rechecker:
    """Remembers which files have been read after their window."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._first = self._checked = clock.time_ns() - _HISTORY
        self._is_finished = False

    def select(self, stats: Sequence[FileStat], *, everything: bool) -> list[FileStat]:
        """Return the files to read again now, and count them as done.

        Args:
            stats: A scan.
            everything: Whether this is the last chance: the newest files that may have changed
                since the process began; no files the second time.
        """
        if everything:
            return [] if self._is_finished else self._select_last(stats)
        end = self._clock.time_ns() - WINDOW
        due = [file for file in stats if self._checked < file.mtime <= end and _has_content(file)]
        due.sort(key=lambda file: file.mtime)
        chosen = list(_first(due, MAX_BYTES_PER_SCAN))
        self._checked = chosen[-1].mtime if len(chosen) < len(due) else max(end, self._checked)
        return chosen

    def _select_last(self, stats: Sequence[FileStat]) -> list[FileStat]:
        self._is_finished = True
        suspects = [file for file in stats if file.mtime > self._first and _has_content(file)]
        suspects.sort(key=lambda file: file.mtime, reverse=True)
        return list(_first(suspects, MAX_BYTES_AT_END))


def select_for_one_pass(files: Sequence[FileStat]) -> list[FileStat]:
    """Return the files to read again in a process that makes one pass: all, or none if many.

    It has to load the committed tree for that, and to read a part would prove nothing.
    """
    if len(files) > MAX_FILES_IN_ONE_PASS:
        return []
    small = [file for file in files if PAGE <= file.size <= MAX_BYTES_IN_ONE_PASS]
    return small if sum(file.size for file in small) <= MAX_BYTES_IN_ONE_PASS else []


def _has_content(file: FileStat) -> bool:
    return 0 < file.size <= MAX_BYTES_AT_END and stat.S_ISREG(file.mode)


def _first(files: Sequence[FileStat], max_bytes: int) -> Iterator[FileStat]:
    """Yield the first files within the limits, at least one."""
    size = 0
    for number, file in enumerate(files):
        size += file.size
        if number and (size > max_bytes or number >= MAX_FILES_PER_SCAN):
            return
        yield file


def find_silent_changes(
    directories: DirectoryHandles,
    files: Sequence[FileStat],
    entries: Mapping[str, Entry],
    deadline: Deadline,
) -> set[str]:
    """Return the paths whose content differs from their entry, until the deadline.

    Half of the time until the deadline is left for what is known to have changed.
    """
    end = deadline.remaining() / 2
    changed = set()
    for file in files:
        if deadline.expired() or (not math.isinf(end) and deadline.remaining() < end):
            break
        if not _is_equal(directories, file, entries):
            changed.add(file.path)
    return changed


def _is_equal(directories: DirectoryHandles, file: FileStat, entries: Mapping[str, Entry]) -> bool:
    entry = entries.get(file.path)
    if isinstance(entry, HardLink):
        entry = entries.get(entry.target)
    if not isinstance(entry, File):
        return True
    try:
        chunks = read_chunks(directories, file, CHUNK)
        return all(
            compute_blob_digest(data) == digest
            for data, digest in zip(chunks, entry.blobs, strict=False)
        )
    except (FileChangedError, FileUnreadableError):
        return True  # The next scan finds a change; what cannot be read keeps its version.


def select_unchanged(index: Index, files: Iterable[FileStat]) -> list[FileStat]:
    """Return those of some files that have not changed by their times, in the order of paths."""
    ordered = sorted(files, key=lambda file: file.path)
    return list(compress(ordered, index.unchanged_flags(ordered)))
