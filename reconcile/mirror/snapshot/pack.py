"""Small blobs into packs: plain ustar files whose members are named by the digest of their bytes.

Equal blobs in equal order give equal bytes: members have no owner, time or mode of their own.

Packs read back: nothing is taken from one that is not exactly what a PackWriter writes.
"""

import hashlib
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from reconcile.mirror.errors import DamagedError
from reconcile.mirror.model import Pack
from reconcile.mirror.snapshot.keys import CHUNK, is_digest, pack_key

BLOCK: Final = 512
END: Final = bytes(2 * BLOCK)
"""What closes a tar file: two empty blocks."""

_ZEROS: Final = bytes(BLOCK)

TARGET: Final = 8 << 20
"""A pack is closed once it has so many bytes; it has less than one blob more."""

SIZE: Final = slice(124, 136)
"""Where a header has the size."""

_FIXED: Final = (b"0000644\0", b"0000000\0", b"0000000\0")
_MTIME: Final = b"00000000000\0"
_AFTER: Final = b"0" + bytes(100) + b"ustar\00000" + bytes(64) + b"0000000\0" + b"0000000\0"
_TAIL: Final = _AFTER + bytes(BLOCK - 156 - len(_AFTER))
_NAME_REST: Final = bytes(100 - 64) + b"".join(_FIXED)
# The header's sum counts its own field as eight blanks.
_SUM: Final = sum(_NAME_REST) + sum(_MTIME) + sum(_TAIL) + 8 * ord(" ")


class FinishedPack(Struct, frozen=True):
    """A pack to be stored: all its bytes; `offsets` says where each blob's data begins."""

    number: int
    body: bytearray
    offsets: dict[str, int]

    def described(self) -> Pack:
        """Return what manifests say of it; this hashes its bytes, so call it once."""
        return Pack(self.number, hashlib.sha256(self.body).hexdigest(), len(self.body))


def member_header(digest: str, size: int) -> bytes:
    """Return the one header that a member with this name and size has."""
    name = digest.encode()
    length = size_field(size)
    checksum = _SUM + sum(name) + sum(length)
    return b"".join((name, _NAME_REST, length, _MTIME, b"%06o\0 " % checksum, _TAIL))


def size_field(size: int) -> bytes:
    """Return what stands at `SIZE` in the header of a member."""
    return b"%011o\0" % size


def padding(size: int) -> bytes:
    """Return the zeros that follow the data of a member of this size."""
    return _ZEROS[: -size % BLOCK]


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
            body = self._body
            body += member_header(digest, len(data))
            self._offsets[digest] = len(body)
            body += data
            body += padding(len(data))
        return self.finish() if len(self._body) >= self._target else []

    def finish(self) -> list[FinishedPack]:
        """Close the open pack and return it, if there is anything in it."""
        if not self._offsets:
            return []
        self._body += END
        pack = FinishedPack(self._number, self._body, self._offsets)
        self._number += 1
        self._begin()
        return [pack]

    def _begin(self) -> None:
        self._body = bytearray()
        self._offsets: dict[str, int] = {}


class Member(Struct, frozen=True):
    """A blob in a pack: its data begins at `offset`."""

    digest: str
    offset: int
    size: int


def verify_pack(pack: Pack, data: bytes) -> None:
    """Raise DamagedError, which names the object, unless these are the bytes of the pack."""
    digest = hashlib.sha256(data).hexdigest()
    if len(data) != pack.size or digest != pack.digest:
        raise DamagedError(
            f"{pack_key(pack.digest)} is damaged: it has {len(data)} bytes with the SHA-256 "
            f"{digest}, not {pack.size} bytes"
        )


def members(data: bytes) -> Iterator[Member]:
    """Yield what a pack holds, each checked by its own digest.

    Raises:
        DamagedError: At the first byte that no PackWriter would have put there; says where.
    """
    at, end = 0, len(data) - len(END)
    while at < end:
        member = _member(data, at)
        extract(data, member)
        yield member
        at = member.offset + member.size + -member.size % BLOCK
    if at != end or data[end:] != END:
        raise DamagedError(f"the pack does not end as a pack does at byte {at}")


def read_member(data: bytes | memoryview, member: Member) -> memoryview:
    """Return what stands at a member's place under its name and size, without a copy.

    Whether these are its bytes tells their digest, or that of the whole pack.

    Raises:
        DamagedError: Something else stands there; says where.
    """
    offset, size = member.offset, member.size
    view = memoryview(data)
    header = bytes(view[max(offset - BLOCK, 0) : offset])
    found = view[offset : offset + size]
    # Making the whole header to compare would take as long as hashing a small member.
    if (
        not header.startswith(member.digest.encode() + b"\0")
        or header[SIZE] != size_field(size)
        or len(found) != size
    ):
        raise DamagedError(f"the pack has no blob {member.digest} of {size} bytes at byte {offset}")
    return found


def extract(data: bytes, member: Member) -> bytes:
    """Return a member's bytes, checked by their own digest.

    Args:
        data: A pack's bytes, or a part of them in which `member.offset` is counted.
        member: Which one; the header that stands before its data must name it.

    Raises:
        DamagedError: Something else is there; says where.
    """
    found = read_member(data, member)
    start, end = member.offset, member.offset + member.size
    before = data[start - BLOCK : start]
    after = data[end : end + -member.size % BLOCK]
    if before != member_header(member.digest, member.size):
        raise DamagedError(f"the header of blob {member.digest} at byte {start} is not its own")
    if after != padding(member.size) or hashlib.sha256(found).hexdigest() != member.digest:
        raise DamagedError(
            f"the bytes of blob {member.digest} at byte {member.offset} are not its own"
        )
    return bytes(found)


def _member(data: bytes, at: int) -> Member:
    name = data[at : at + 64].decode("ascii", "replace")
    length = data[at + 124 : at + 135]
    if not is_digest(name) or not length.isdigit() or not set(length) <= set(b"01234567"):
        raise DamagedError(f"the pack has no member at byte {at}")
    return Member(name, at + BLOCK, int(length, 8))
