"""Remembers which bytes a file had when it was hashed, so that what is the same is not read again.

The file lies in the mirror's own state directory. Whatever is wrong with it, it is forgotten: that
costs one reading of the tree. Layout: 8 bytes of magic, the SHA-256 of the rest, the number of
files and of digests, four columns of 64-bit numbers, one of 32-bit counts, digests, paths.
"""

import hashlib
import os
import sys
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

from reconcile.mirror.errors import MirrorError
from reconcile.mirror.tree.quiet import fresh_for
from reconcile.mirror.tree.walk import Seen

_MAGIC = b"rmindex1" if sys.byteorder == "little" else b"rmindexB"
_DIGEST = 32
_HEAD = len(_MAGIC) + hashlib.sha256().digest_size


class Index:
    """Digests by path; in memory about 150 bytes a file."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._columns = [array("q") for _ in range(4)]
        self._first = array("I", [0])
        self._digests = b""
        self._new: dict[str, tuple[Seen, tuple[str, ...]]] = {}

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; empty where there is nothing, or nothing that can be trusted."""
        index = cls()
        try:
            data = path.read_bytes()
        except OSError:
            return index
        body = data[_HEAD:]
        if data[:_HEAD] == _head(body):
            index._unpack(body)
        return index

    def blobs(self, seen: Seen) -> tuple[str, ...] | None:
        """Return the digests of a file that is as it was when they were made, else None."""
        new = self._new.get(seen.path)
        if new is not None:
            return new[1] if _key(new[0]) == _key(seen) else None
        row = self._rows.get(seen.path)
        if row is None or tuple(column[row] for column in self._columns) != _key(seen):
            return None
        return tuple(self._of(row))

    def put(self, seen: Seen, blobs: tuple[str, ...]) -> None:
        """Remember the digests of what was read as `seen`."""
        self._new[seen.path] = (seen, blobs)

    def save(self, path: Path, seen: Iterable[Seen], now: int) -> None:
        """Write what is known of the files that a walk has just seen, all others are forgotten.

        As git has it with its index, a file that has changed in this very tick is not remembered: a
        further change might not show in its times.

        Args:
            path: the file, replaced in one step.
            seen: the walk.
            now: nanoseconds since 1970.

        Raises:
            MirrorError: the state directory cannot be written.
        """
        kept = [
            (entry, blobs)
            for entry in seen
            if (blobs := self.blobs(entry)) is not None and not fresh_for(entry.ctime, now)
        ]
        body = _pack(kept)
        aside = path.with_name(f"{path.name}.new")
        try:
            aside.write_bytes(_head(body) + body)
            aside.replace(path)
        except OSError as error:
            raise MirrorError(
                f"{path}: the index cannot be written: {error.strerror}: check the state volume"
            ) from error
        self._new.clear()
        self._unpack(body)

    def __len__(self) -> int:
        return len(self._rows.keys() | self._new.keys())

    def _of(self, row: int) -> Iterator[str]:
        for number in range(self._first[row], self._first[row + 1]):
            yield self._digests[number * _DIGEST : (number + 1) * _DIGEST].hex()

    def _unpack(self, body: bytes) -> None:
        counts = array("q", body[:16])
        files, digests = counts
        at = 16
        self._columns = [array("q") for _ in range(4)]
        for column in self._columns:
            column.frombytes(body[at : at + 8 * files])
            at += 8 * files
        self._first = array("I", body[at : at + 4 * (files + 1)])
        at += 4 * (files + 1)
        self._digests = body[at : at + _DIGEST * digests]
        at += _DIGEST * digests
        paths = os.fsdecode(body[at:]).split("\0") if files else []
        self._rows = dict(zip(paths, range(files), strict=True))


def _head(body: bytes) -> bytes:
    return _MAGIC + hashlib.sha256(body).digest()


def _pack(kept: list[tuple[Seen, tuple[str, ...]]]) -> bytes:
    keys = [_key(seen) for seen, _ in kept]
    columns = [array("q", [key[number] for key in keys]) for number in range(4)]
    first = array("I", [0])
    for _, blobs in kept:
        first.append(first[-1] + len(blobs))
    return b"".join(
        (
            array("q", (len(kept), first[-1])).tobytes(),
            *(column.tobytes() for column in columns),
            first.tobytes(),
            bytes.fromhex("".join(digest for _, blobs in kept for digest in blobs)),
            b"\0".join(os.fsencode(seen.path) for seen, _ in kept),
        )
    )


def _key(seen: Seen) -> tuple[int, int, int, int]:
    inode = seen.inode if seen.inode < 1 << 63 else seen.inode - (1 << 64)
    return seen.size, seen.mtime, seen.ctime, inode
