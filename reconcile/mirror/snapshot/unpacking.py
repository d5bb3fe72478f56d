"""Packs read back: nothing is taken from one that is not exactly what a PackWriter writes."""

import hashlib
from collections.abc import Iterator

from msgspec import Struct

from reconcile.mirror.errors import DamagedError
from reconcile.mirror.model import Pack
from reconcile.mirror.snapshot.keys import is_digest, pack_key
from reconcile.mirror.snapshot.pack import BLOCK, END, SIZE, member_header, padding, size_field


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
