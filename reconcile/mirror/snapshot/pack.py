"""Packs: plain ustar files of small blobs; each member is named by the digest of its bytes.

Equal blobs in equal order give equal bytes: all members have the same owner, time and mode. Reading
is strict: a pack must be exactly as a PackWriter writes it.
"""

import hashlib
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from reconcile.mirror.errors import DamagedError
from reconcile.mirror.model import Pack
from reconcile.mirror.snapshot.keys import CHUNK, is_digest, pack_key

TAR_BLOCK: Final = 512
TAR_END: Final = bytes(2 * TAR_BLOCK)
"""The end of a tar file: two empty blocks."""

_ZERO_BLOCK: Final = bytes(TAR_BLOCK)

TARGET_PACK_SIZE: Final = 8 << 20
"""A pack is finished when it has this many bytes; it exceeds them by less than one blob."""

SIZE_FIELD: Final = slice(124, 136)
"""The position of the size in a member's header."""

_MODE_AND_OWNER: Final = (b"0000644\0", b"0000000\0", b"0000000\0")
_MTIME: Final = b"00000000000\0"
_TYPE_AND_MAGIC: Final = (
    b"0" + bytes(100) + b"ustar\00000" + bytes(64) + b"0000000\0" + b"0000000\0"
)
_HEADER_TAIL: Final = _TYPE_AND_MAGIC + bytes(TAR_BLOCK - 156 - len(_TYPE_AND_MAGIC))
_NAME_REST: Final = bytes(100 - 64) + b"".join(_MODE_AND_OWNER)
# The checksum counts its own field as eight blanks.
_BASE_CHECKSUM: Final = sum(_NAME_REST) + sum(_MTIME) + sum(_HEADER_TAIL) + 8 * ord(" ")


class FinishedPack(Struct, frozen=True):
    """A pack to be stored; `body` has all its bytes, `offsets` where each blob's data begins."""

    number: int
    body: bytearray
    offsets: dict[str, int]

    def build_pack(self) -> Pack:
        """Return its description for manifests; this hashes its bytes, so call it once."""
        return Pack(self.number, hashlib.sha256(self.body).hexdigest(), len(self.body))


def member_header(digest: str, size: int) -> bytes:
    """Return the header of a member with this name and size."""
    name = digest.encode()
    length = size_field(size)
    checksum = _BASE_CHECKSUM + sum(name) + sum(length)
    return b"".join((name, _NAME_REST, length, _MTIME, b"%06o\0 " % checksum, _HEADER_TAIL))


def size_field(size: int) -> bytes:
    """Return the bytes at `SIZE_FIELD` in the header of a member of this size."""
    return b"%011o\0" % size


def member_padding(size: int) -> bytes:
    """Return the zeros that follow the data of a member of this size."""
    return _ZERO_BLOCK[: -size % TAR_BLOCK]


class PackWriter:
    """Collects blobs one by one and returns packs when they are full; holds at most one in memory.

    Not thread-safe.
    """

    def __init__(self, first_number: int, target_size: int = TARGET_PACK_SIZE) -> None:
        """Number packs from `first_number` on and finish them at `target_size` bytes."""
        self._number = first_number
        self._target = target_size
        self._start_pack()

    def add(self, digest: str, data: bytes) -> list[FinishedPack]:
        """Add a blob to the open pack unless it has it already; return the pack if it is full now.

        Args:
            digest: The SHA-256 of `data`; not checked here, but whenever a pack is read.
            data: At least one byte and at most 8 MiB.

        Raises:
            ValueError: The blob is empty or too large for a pack.
        """
        if not 0 < len(data) <= CHUNK:
            raise ValueError(f"a blob of {len(data)} bytes cannot be stored in a pack")
        if digest not in self._offsets:
            body = self._body
            body += member_header(digest, len(data))
            self._offsets[digest] = len(body)
            body += data
            body += member_padding(len(data))
        return self.finish() if len(self._body) >= self._target else []

    def finish(self) -> list[FinishedPack]:
        """Finish the open pack and return it, unless it is empty."""
        if not self._offsets:
            return []
        self._body += TAR_END
        pack = FinishedPack(self._number, self._body, self._offsets)
        self._number += 1
        self._start_pack()
        return [pack]

    def _start_pack(self) -> None:
        self._body = bytearray()
        self._offsets: dict[str, int] = {}


class PackMember(Struct, frozen=True):
    """A blob in a pack: its data begins at `offset`."""

    digest: str
    offset: int
    size: int


def verify_pack(pack: Pack, data: bytes) -> None:
    """Raise DamagedError, which names the object, unless `data` matches the pack's digest."""
    digest = hashlib.sha256(data).hexdigest()
    if len(data) != pack.size or digest != pack.digest:
        raise DamagedError(
            f"{pack_key(pack.digest)} is damaged: it has {len(data)} bytes with the SHA-256 "
            f"{digest}, not {pack.size} bytes"
        )


def iter_members(data: bytes) -> Iterator[PackMember]:
    """Yield the members of a pack, each checked by its digest.

    Raises:
        DamagedError: A byte is not as a PackWriter writes it; names the offset.
    """
    at, end = 0, len(data) - len(TAR_END)
    while at < end:
        member = _parse_member(data, at)
        extract_member(data, member)
        yield member
        at = member.offset + member.size + -member.size % TAR_BLOCK
    if at != end or data[end:] != TAR_END:
        raise DamagedError(f"the pack does not end with two empty blocks at byte {at}")


def read_member(data: bytes | memoryview, member: PackMember) -> memoryview:
    """Return a member's bytes without a copy, after a check of the name and size in its header.

    The caller checks the digest of the bytes, or that of the whole pack.

    Raises:
        DamagedError: There is not such a member at its offset; names the offset.
    """
    offset, size = member.offset, member.size
    view = memoryview(data)
    header = bytes(view[max(offset - TAR_BLOCK, 0) : offset])
    content = view[offset : offset + size]
    # Building the whole header for a comparison would take as long as hashing a small member.
    if (
        not header.startswith(member.digest.encode() + b"\0")
        or header[SIZE_FIELD] != size_field(size)
        or len(content) != size
    ):
        raise DamagedError(f"the pack has no blob {member.digest} of {size} bytes at byte {offset}")
    return content


def extract_member(data: bytes, member: PackMember) -> bytes:
    """Return a copy of a member's bytes, checked by their digest.

    Args:
        data: A pack's bytes, or a part of them to which `member.offset` is relative.
        member: The member; the header before its data must name it.

    Raises:
        DamagedError: There is not such a member at its offset; names the offset.
    """
    content = read_member(data, member)
    start, end = member.offset, member.offset + member.size
    before = data[start - TAR_BLOCK : start]
    after = data[end : end + -member.size % TAR_BLOCK]
    if before != member_header(member.digest, member.size):
        raise DamagedError(f"the header of blob {member.digest} at byte {start} is damaged")
    if after != member_padding(member.size) or hashlib.sha256(content).hexdigest() != member.digest:
        raise DamagedError(f"the bytes of blob {member.digest} at byte {start} are damaged")
    return bytes(content)


def _parse_member(data: bytes, at: int) -> PackMember:
    name = data[at : at + 64].decode("ascii", "replace")
    length = data[at + 124 : at + 135]
    if not is_digest(name) or not length.isdigit() or not set(length) <= set(b"01234567"):
        raise DamagedError(f"the pack has no member at byte {at}")
    return PackMember(name, at + TAR_BLOCK, int(length, 8))
