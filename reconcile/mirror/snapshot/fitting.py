"""How the entries of a tree must fit together, so that it can be restored without a second look."""

from collections.abc import Iterable, Iterator, Mapping
from typing import assert_never

from reconcile.mirror.model import (
    Alone,
    Directory,
    Entry,
    File,
    HardLink,
    Pack,
    Packed,
    Place,
    Symlink,
)
from reconcile.mirror.snapshot.encoding import check_path, check_target
from reconcile.mirror.snapshot.keys import CHUNK
from reconcile.mirror.snapshot.pack import BLOCK, END


def in_order(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Yield entries, each of which must come after the one before it; ValueError if it does not.

    Paths are compared character by character, as Python compares text. So a directory comes before
    what is below it, and no path comes twice.
    """
    last = ""
    for entry in entries:
        if entry.path <= last:
            raise ValueError(f"comes twice or too late: after {last!r}")
        last = entry.path
        yield entry


def check_entry(entry: Entry) -> None:
    """Raise ValueError, which says why, unless a reader would accept an entry by itself."""
    check_path(entry.path)
    match entry:
        case File():
            check_file(entry.size, len(entry.blobs), entry.place)
        case Symlink():
            check_target(entry.target)
        case Directory() | HardLink():
            pass
        case _:
            assert_never(entry)


def check_file(size: int, blobs: int, place: Place) -> None:
    """Raise ValueError unless a file of this size can have so many blobs in such a place."""
    match place:
        case Packed(_, offset):
            if blobs != 1 or not 0 < size <= CHUNK:
                raise ValueError("`blobs` must be one digest of 1 byte to 8 MiB in a pack")
            if offset < BLOCK or offset % BLOCK:
                raise ValueError("`at` is no place where a pack has data")
        case Alone():
            if blobs != -(-size // CHUNK):
                raise ValueError(f"`blobs` has {blobs} digests, which does not fit {size} bytes")
        case _:
            assert_never(place)


def check_fit(entry: Entry, entries: Mapping[str, Entry], packs: Mapping[int, Pack]) -> None:
    """Raise ValueError, which says why, unless an entry fits those before it.

    Args:
        entry: By itself it is well formed.
        entries: By path, at least those that come before it.
        packs: Those that the tree may need.
    """
    parent = entry.path.rpartition("/")[0]
    if parent and type(entries.get(parent)) is not Directory:
        raise ValueError(f"is below {parent!r}, which is no directory of the tree")
    match entry:
        case File():
            _check_place(entry.size, entry.place, packs)
        case HardLink(path, target):
            if target >= path or type(entries.get(target)) is not File:
                raise ValueError(f"is a link to {target!r}, which is no file before it")
        case Directory() | Symlink():
            pass
        case _:
            assert_never(entry)


def _check_place(size: int, place: Place, packs: Mapping[int, Pack]) -> None:
    match place:
        case Alone():
            pass
        case Packed(number, offset):
            pack = packs.get(number)
            if pack is None:
                raise ValueError(f"lies in pack {number}, which is not listed")
            if offset + size > pack.size - len(END):
                raise ValueError(f"lies outside of pack {number}, which has {pack.size} bytes")
        case _:
            assert_never(place)
