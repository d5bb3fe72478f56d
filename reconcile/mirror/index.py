"""The index: stats of all entries at the last commit, so that unchanged files are not read.

It consists of the sorted paths and of an array of numbers: 100,000 entries take 8 MB of memory, and
comparing arrays shows whether anything has changed.
"""

import io
import os
from array import array
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Final

from reconcile.mirror.errors import WorkspaceError
from reconcile.mirror.local_state import StateDirectory
from reconcile.mirror.model import Entry
from reconcile.mirror.workspace.walk import FileStat

_MAGIC: Final = b"reconcile-mirror-index/1\n"
_COLUMNS: Final = ("size", "mtime", "ctime", "inode", "device", "mode", "links")
COLUMN_COUNT: Final = len(_COLUMNS)
"""Numbers for each entry."""

_SIGN_BIT: Final = 1 << 63
_NO_CTIME: Final = -1
"""A ctime that no file has: an entry with it is read again."""

_NO_PATH: Final = (-1, "")


class Index:
    """The paths of a generation in order, with the result of `lstat` for each.

    Args:
        manifest_digest: The digest of the generation's last manifest.
        encoded_paths: The paths as bytes, separated by NUL: one text needs a third of the memory of
            many, and as bytes no character makes it four times as long.
        numbers: The columns, entry after entry.
    """

    def __init__(self, manifest_digest: str, encoded_paths: bytes, numbers: "array[int]") -> None:
        self.manifest_digest = manifest_digest
        self.encoded_paths = encoded_paths
        self.numbers = numbers

    def __len__(self) -> int:
        return len(self.numbers) // COLUMN_COUNT

    def matches(self, stats: Sequence[FileStat]) -> bool:
        """Say whether the workspace is exactly as it was."""
        if len(stats) != len(self):
            return False
        return _numbers(stats) == self.numbers and encode_paths(stats) == self.encoded_paths

    def unchanged_flags(self, stats: Sequence[FileStat]) -> bytearray:
        """Return a 1 for each unchanged entry, a 0 for every other."""
        flags = bytearray(len(stats))
        numbers, indexed = _numbers(stats), enumerate(self.paths())
        place, path = next(indexed, _NO_PATH)
        for position, stat in enumerate(stats):
            while place >= 0 and path < stat.path:
                place, path = next(indexed, _NO_PATH)
            if place >= 0 and path == stat.path:
                flags[position] = _row(numbers, position) == _row(self.numbers, place)
        return flags

    def stale_paths(self) -> frozenset[str]:
        """Return the paths that the last pass could not store as they were."""
        ctimes = self.numbers[_COLUMNS.index("ctime") :: COLUMN_COUNT]
        if _NO_CTIME not in ctimes:
            return frozenset()
        pairs = zip(self.paths(), ctimes, strict=True)
        return frozenset(path for path, ctime in pairs if ctime == _NO_CTIME)

    def without(self, paths: Container[str]) -> "Index":
        """Return an index in which these paths have changed."""
        numbers = self.numbers[:]
        for position, path in enumerate(self.paths()):
            if path in paths:
                numbers[position * COLUMN_COUNT + _COLUMNS.index("ctime")] = _NO_CTIME
        return Index(self.manifest_digest, self.encoded_paths, numbers)

    def paths(self) -> Iterator[str]:
        """Return the paths in order."""
        names = self.encoded_paths.split(b"\0") if len(self) else []
        return (name.decode("utf-8", "surrogateescape") for name in names)


def build_index(
    manifest_digest: str, stats: Sequence[FileStat], uncommitted: Iterable[int] = ()
) -> Index:
    """Return the index of a scan.

    Args:
        manifest_digest: The digest of the generation's last manifest; empty for generation 0.
        stats: The scan, in the order of paths.
        uncommitted: Positions of entries that the generation lacks or has in another version.
    """
    numbers = _numbers(stats)
    for position in uncommitted:
        numbers[position * COLUMN_COUNT + _COLUMNS.index("ctime")] = _NO_CTIME
    return Index(manifest_digest, encode_paths(stats), numbers)


def save_index(state: StateDirectory, index: Index) -> None:
    """Save the index for the next start; WorkspaceError if that fails."""
    head = b"%b %d %d\n" % (
        index.manifest_digest.encode() or b"-",
        len(index),
        len(index.encoded_paths),
    )
    state.write(state.index_path, _MAGIC, head, memoryview(index.numbers), index.encoded_paths)


def load_index(state: StateDirectory) -> Index | None:
    """Read the saved index; None if there is none, or it is damaged or cannot be read.

    Without it all files are read again.
    """
    try:
        data = state.read(state.index_path)
        return _parse(data) if data is not None and data.startswith(_MAGIC) else None
    except (WorkspaceError, ValueError):
        return None


def _parse(data: bytes) -> Index:
    start = data.index(b"\n", len(_MAGIC)) + 1
    generation, count, length = data[len(_MAGIC) : start].split()
    middle = start + int(count) * COLUMN_COUNT * 8
    if len(data) != middle + int(length):
        raise ValueError("it is truncated")
    numbers = array("q")
    numbers.frombytes(memoryview(data)[start:middle])
    text = data[middle:]
    if text.count(b"\0") != max(int(count) - 1, 0):
        raise ValueError("it has another number of paths")
    return Index("" if generation == b"-" else generation.decode(), text, numbers)


def encode_paths(entries: Iterable[FileStat | Entry]) -> bytes:
    """Return the paths as an index has them."""
    text = io.BytesIO()
    for entry in entries:
        text.write(entry.path.encode("utf-8", "surrogateescape"))
        text.write(b"\0")
    return text.getvalue()[:-1]


def _numbers(stats: Iterable[FileStat]) -> "array[int]":
    numbers = array("q")
    for stat in stats:
        row = (stat.size, stat.mtime, stat.ctime, stat.inode, stat.device, stat.mode, stat.links)
        _extend_row(numbers, row)
    return numbers


def _row(numbers: "array[int]", position: int) -> "array[int]":
    return numbers[position * COLUMN_COUNT : (position + 1) * COLUMN_COUNT]


def append_row(numbers: "array[int]", status: os.stat_result) -> None:
    """Append the columns of one entry."""
    row = (
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
        status.st_dev,
        status.st_mode,
        status.st_nlink,
    )
    _extend_row(numbers, row)


def _extend_row(numbers: "array[int]", row: tuple[int, ...]) -> None:
    try:
        numbers.extend(row)
    except OverflowError:
        # A file system with inode numbers of 64 bits.
        del numbers[len(numbers) // COLUMN_COUNT * COLUMN_COUNT :]
        numbers.extend(map(_to_signed, row))


def _to_signed(number: int) -> int:
    return (number + _SIGN_BIT) % (2 * _SIGN_BIT) - _SIGN_BIT
