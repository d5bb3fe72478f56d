"""What a workspace looked like when it was last committed, so that what is as it was is not read.

Kept as columns of numbers beside the sorted paths: 100,000 entries are 8 MB in memory, and
whether anything has changed at all is told by comparing arrays.
"""

import io
import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from reconcile.mirror.local_state import StateDirectory
from reconcile.mirror.model import Entry
from reconcile.mirror.workspace.walk import FileStat

_MAGIC: Final = b"reconcile-mirror-index/1\n"
_COLUMNS: Final = ("size", "mtime", "ctime", "inode", "device", "mode", "links")
COLUMN_COUNT: Final = len(_COLUMNS)
"""Numbers of one entry."""

_SIGN_BIT: Final = 1 << 63
_NO_CTIME: Final = -1
"""A ctime that no file has: what is remembered with it is read again."""

_NO_PATH: Final = (-1, "")


class Index:
    """Paths in order with what `lstat` said; `manifest_digest` is the digest of its last manifest.

    Args:
        manifest_digest: See above.
        encoded_paths: The paths as bytes, a NUL after each but the last: one text needs a third of the
            memory, and as bytes no name makes it four times as long.
        numbers: The columns, entry after entry.
    """

    def __init__(self, manifest_digest: str, encoded_paths: bytes, numbers: "array[int]") -> None:
        self.manifest_digest = manifest_digest
        self.encoded_paths = encoded_paths
        self.numbers = numbers

    def __len__(self) -> int:
        return len(self.numbers) // COLUMN_COUNT

    def matches(self, stats: Sequence[FileStat]) -> bool:
        """Tell whether the tree is exactly what it was."""
        if len(stats) != len(self):
            return False
        return _numbers(stats) == self.numbers and encode_paths(stats) == self.encoded_paths

    def unchanged_flags(self, stats: Sequence[FileStat]) -> bytearray:
        """Return a 1 for each entry that is as it was, a 0 for every other."""
        flags = bytearray(len(stats))
        numbers, known = _numbers(stats), enumerate(self.paths())
        place, path = next(known, _NO_PATH)
        for position, one in enumerate(stats):
            while place >= 0 and path < one.path:
                place, path = next(known, _NO_PATH)
            if place >= 0 and path == one.path:
                now = numbers[position * COLUMN_COUNT : (position + 1) * COLUMN_COUNT]
                flags[position] = (
                    now == self.numbers[place * COLUMN_COUNT : (place + 1) * COLUMN_COUNT]
                )
        return flags

    def paths(self) -> Iterator[str]:
        """Give the paths in order."""
        names = self.encoded_paths.split(b"\0") if len(self) else []
        return (name.decode("utf-8", "surrogateescape") for name in names)


def build_index(
    manifest_digest: str, stats: Sequence[FileStat], uncommitted: Iterable[int] = ()
) -> Index:
    """Remember a walk.

    Args:
        manifest_digest: The digest of the manifest that holds it; empty for generation 0.
        stats: The walk, in the order of paths.
        uncommitted: Positions in it of what the generation does not hold as it was seen.
    """
    numbers = _numbers(stats)
    for position in uncommitted:
        numbers[position * COLUMN_COUNT + _COLUMNS.index("ctime")] = _NO_CTIME
    return Index(manifest_digest, encode_paths(stats), numbers)


def save_index(state: StateDirectory, index: Index) -> None:
    """Keep it for the next start; WorkspaceError if that fails."""
    head = b"%b %d %d\n" % (
        index.manifest_digest.encode() or b"-",
        len(index),
        len(index.encoded_paths),
    )
    state.write(state.index_path, _MAGIC, head, memoryview(index.numbers), index.encoded_paths)


def load_index(state: StateDirectory) -> Index | None:
    """Read what was kept; None if there is none, or none that can be used.

    Raises:
        WorkspaceError: It is there and cannot be read.
    """
    data = state.read(state.index_path)
    if data is None or not data.startswith(_MAGIC):
        return None
    try:
        return _parse(data)
    except ValueError:
        return None


def _parse(data: bytes) -> Index:
    start = data.index(b"\n", len(_MAGIC)) + 1
    generation, count, length = data[len(_MAGIC) : start].split()
    middle = start + int(count) * COLUMN_COUNT * 8
    if len(data) != middle + int(length):
        raise ValueError("it is cut off")
    numbers = array("q")
    numbers.frombytes(memoryview(data)[start:middle])
    text = data[middle:]
    if text.count(b"\0") != max(int(count) - 1, 0):
        raise ValueError("its paths do not fit")
    return Index("" if generation == b"-" else generation.decode(), text, numbers)


def encode_paths(entries: Iterable[FileStat | Entry]) -> bytes:
    """Return the paths as an index keeps them."""
    text = io.BytesIO()
    for one in entries:
        text.write(one.path.encode("utf-8", "surrogateescape"))
        text.write(b"\0")
    return text.getvalue()[:-1]


def _numbers(stats: Iterable[FileStat]) -> "array[int]":
    numbers = array("q")
    for one in stats:
        row = (one.size, one.mtime, one.ctime, one.inode, one.device, one.mode, one.links)
        _extend_row(numbers, row)
    return numbers


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
        # A file system whose inode numbers have 64 bits.
        del numbers[len(numbers) // COLUMN_COUNT * COLUMN_COUNT :]
        numbers.extend(map(_to_signed, row))


def _to_signed(number: int) -> int:
    return (number + _SIGN_BIT) % (2 * _SIGN_BIT) - _SIGN_BIT
