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
from reconcile.mirror.workspace.walk import Seen

_MAGIC: Final = b"reconcile-mirror-index/1\n"
_COLUMNS: Final = ("size", "mtime", "ctime", "inode", "device", "mode", "links")
WIDTH: Final = len(_COLUMNS)
"""Numbers of one entry."""

_SIGN: Final = 1 << 63
_NEVER: Final = -1
"""A ctime that no file has: what is remembered with it is read again."""

_NOTHING: Final = (-1, "")


class Index:
    """Paths in order with what `lstat` said; `generation` is the digest of its last manifest.

    Args:
        generation: See above.
        text: The paths as bytes, a NUL after each but the last: one text needs a third of the
            memory, and as bytes no name makes it four times as long.
        numbers: The columns, entry after entry.
    """

    def __init__(self, generation: str, text: bytes, numbers: "array[int]") -> None:
        self.generation = generation
        self.text = text
        self.numbers = numbers

    def __len__(self) -> int:
        return len(self.numbers) // WIDTH

    def same(self, seen: Sequence[Seen]) -> bool:
        """Tell whether the tree is exactly what it was."""
        if len(seen) != len(self):
            return False
        return _numbers(seen) == self.numbers and text_of(seen) == self.text

    def unchanged(self, seen: Sequence[Seen]) -> bytearray:
        """Return a 1 for each entry that is as it was, a 0 for every other."""
        flags = bytearray(len(seen))
        numbers, known = _numbers(seen), enumerate(self.paths())
        place, path = next(known, _NOTHING)
        for position, one in enumerate(seen):
            while place >= 0 and path < one.path:
                place, path = next(known, _NOTHING)
            if place >= 0 and path == one.path:
                now = numbers[position * WIDTH : (position + 1) * WIDTH]
                flags[position] = now == self.numbers[place * WIDTH : (place + 1) * WIDTH]
        return flags

    def paths(self) -> Iterator[str]:
        """Give the paths in order."""
        names = self.text.split(b"\0") if len(self) else []
        return (name.decode("utf-8", "surrogateescape") for name in names)


def index_of(generation: str, seen: Sequence[Seen], unsettled: Iterable[int] = ()) -> Index:
    """Remember a walk.

    Args:
        generation: The digest of the manifest that holds it; empty for generation 0.
        seen: The walk, in the order of paths.
        unsettled: Positions in it of what the generation does not hold as it was seen.
    """
    numbers = _numbers(seen)
    for position in unsettled:
        numbers[position * WIDTH + _COLUMNS.index("ctime")] = _NEVER
    return Index(generation, text_of(seen), numbers)


def save_index(state: StateDirectory, index: Index) -> None:
    """Keep it for the next start; WorkspaceError if that fails."""
    head = b"%b %d %d\n" % (index.generation.encode() or b"-", len(index), len(index.text))
    state.write(state.index, _MAGIC, head, memoryview(index.numbers), index.text)


def load_index(state: StateDirectory) -> Index | None:
    """Read what was kept; None if there is none, or none that can be used.

    Raises:
        WorkspaceError: It is there and cannot be read.
    """
    data = state.read(state.index)
    if data is None or not data.startswith(_MAGIC):
        return None
    try:
        return _parse(data)
    except ValueError:
        return None


def _parse(data: bytes) -> Index:
    start = data.index(b"\n", len(_MAGIC)) + 1
    generation, count, length = data[len(_MAGIC) : start].split()
    middle = start + int(count) * WIDTH * 8
    if len(data) != middle + int(length):
        raise ValueError("it is cut off")
    numbers = array("q")
    numbers.frombytes(memoryview(data)[start:middle])
    text = data[middle:]
    if text.count(b"\0") != max(int(count) - 1, 0):
        raise ValueError("its paths do not fit")
    return Index("" if generation == b"-" else generation.decode(), text, numbers)


def text_of(seen: Iterable[Seen | Entry]) -> bytes:
    """Return the paths as an index keeps them."""
    text = io.BytesIO()
    for one in seen:
        text.write(one.path.encode("utf-8", "surrogateescape"))
        text.write(b"\0")
    return text.getvalue()[:-1]


def _numbers(seen: Iterable[Seen]) -> "array[int]":
    numbers = array("q")
    for one in seen:
        row = (one.size, one.mtime, one.ctime, one.inode, one.device, one.mode, one.links)
        _append(numbers, row)
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
    _append(numbers, row)


def _append(numbers: "array[int]", row: tuple[int, ...]) -> None:
    try:
        numbers.extend(row)
    except OverflowError:
        # A file system whose inode numbers have 64 bits.
        del numbers[len(numbers) // WIDTH * WIDTH :]
        numbers.extend(map(_signed, row))


def _signed(number: int) -> int:
    return (number + _SIGN) % (2 * _SIGN) - _SIGN
