"""Small blobs into packs: plain ustar files whose members are named by the digest of their bytes.

Equal blobs in equal order give equal bytes: members have no owner, time or mode of their own.
"""

import hashlib
from typing import Final

from msgspec import Struct

from reconcile.mirror.model import Pack
from reconcile.mirror.snapshot.keys import CHUNK

BLOCK: Final = 512
END: Final = bytes(2 * BLOCK)
"""What closes a tar file: two empty blocks."""

TARGET: Final = 8 << 20
"""A pack is closed once it has so many bytes; it has less than one blob more."""

JOINED: Final = 1 << 16
"""Up to this size a copy is cheaper than three pieces."""

_FIXED: Final = (b"0000644\0", b"0000000\0", b"0000000\0")
_MTIME: Final = b"00000000000\0"
_AFTER: Final = b"0" + bytes(100) + b"ustar\00000" + bytes(64) + b"0000000\0" + b"0000000\0"
_TAIL: Final = _AFTER + bytes(BLOCK - 156 - len(_AFTER))
_NAME_REST: Final = bytes(100 - 64) + b"".join(_FIXED)
# The header's sum counts its own field as eight blanks.
_SUM: Final = sum(_NAME_REST) + sum(_MTIME) + sum(_TAIL) + 8 * ord(" ")


class FinishedPack(Struct, frozen=True):
    """A pack to be stored: its bytes in `parts`; `offsets` says where each blob's data begins."""

    number: int
    digest: str
    size: int
    parts: list[bytes]
    offsets: dict[str, int]

    @property
    def pack(self) -> Pack:
        """What manifests say of it."""
        return Pack(self.number, self.digest, self.size)


def member_header(digest: str, size: int) -> bytes:
    """Return the one header that a member with this name and size has."""
    name = digest.encode()
    length = b"%011o\0" % size
    checksum = _SUM + sum(name) + sum(length)
    return b"".join((name, _NAME_REST, length, _MTIME, b"%06o\0 " % checksum, _TAIL))


def padding(size: int) -> bytes:
    """Return the zeros that follow the data of a member of this size."""
    return bytes(-size % BLOCK)


class PackWriter:
    """Takes blobs one by one and gives packs as they become full; keeps at most one in memory.

    Not for several threads at once.
    """

    def __init__(self, first: int, target: int = TARGET) -> None:
        """Begin; packs are numbered from `first` on and closed at `target` bytes."""
        self._number = first
        self._target = target
        self._begin()

    def add(self, digest: str, data: bytes) -> list[FinishedPack]:
        """Put one blob into the open pack, once; return that pack if it is full now.

        Args:
            digest: The SHA-256 of `data`, which is trusted: what reads packs checks it.
            data: At least one byte and at most 8 MiB.

        Raises:
            ValueError: The blob is empty or too large for a pack.
        """
        if not 0 < len(data) <= CHUNK:
            raise ValueError(f"a blob of {len(data)} bytes does not belong into a pack")
        if digest not in self._offsets:
            self._offsets[digest] = self._size + BLOCK
            header = member_header(digest, len(data))
            if len(data) <= JOINED:
                self._append(b"".join((header, data, padding(len(data)))))
            else:
                self._append(header)
                self._append(data)
                self._append(padding(len(data)))
        return self.finish() if self._size >= self._target else []

    def finish(self) -> list[FinishedPack]:
        """Close the open pack and return it, if there is anything in it."""
        if not self._offsets:
            return []
        self._append(END)
        digest = self._hash.hexdigest()
        pack = FinishedPack(self._number, digest, self._size, self._parts, self._offsets)
        self._number += 1
        self._begin()
        return [pack]

    def _begin(self) -> None:
        self._parts: list[bytes] = []
        self._offsets: dict[str, int] = {}
        self._size = 0
        self._hash = hashlib.sha256()

    def _append(self, piece: bytes) -> None:
        self._parts.append(piece)
        self._hash.update(piece)
        self._size += len(piece)
