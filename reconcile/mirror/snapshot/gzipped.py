"""Lines into gzip and back, a little at a time and never more than a limit."""

import zlib
from collections.abc import Iterable, Iterator
from typing import Final

MAX_LINE: Final = 16 << 20
"""Bytes of one line: a file of more than a tebibyte in chunks has fewer."""

MAX_DECODED: Final = 1 << 30
"""Bytes of all lines of a manifest: about four million entries."""

MAGIC: Final = b"\x1f\x8b"
_GZIP: Final = 31
# Higher levels take twice the time for a twentieth of the bytes: most of them are digests.
_LEVEL: Final = 3
_PIECE: Final = 1 << 18
_FEED: Final = 1 << 16


def compress(lines: Iterable[bytes]) -> bytes:
    """Return all lines in one gzip member; equal lines give equal bytes."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    out: list[bytes] = []
    waiting: list[bytes] = []
    size = 0
    for line in lines:
        waiting.append(line)
        size += len(line)
        if size >= _PIECE:
            out.append(packer.compress(b"".join(waiting)))
            waiting.clear()
            size = 0
    out.append(packer.compress(b"".join(waiting)))
    out.append(packer.flush())
    return b"".join(out)


def lines(data: bytes, limit: int = MAX_DECODED) -> Iterator[bytes]:
    """Yield the lines of gzip'd or plain text without their ends.

    Raises:
        ValueError: It is no whole gzip member, has more than `limit` bytes when decoded or too
            long a line, or does not end with a line's end. The lines before that are yielded.
    """
    rest = b""
    for piece in _pieces(data, limit):
        found = (rest + piece).split(b"\n")
        rest = found.pop()
        yield from found
        if len(rest) > MAX_LINE:
            raise ValueError(f"is longer than {MAX_LINE} bytes")
    if rest:
        raise ValueError("has no end")


def _pieces(data: bytes, limit: int) -> Iterator[bytes]:
    total = 0
    for piece in _unzipped(data) if data.startswith(MAGIC) else _plain(data):
        total += len(piece)
        if total > limit:
            raise ValueError(f"comes after more than {limit} bytes, which is too much")
        yield piece


def _plain(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), _PIECE):
        yield data[start : start + _PIECE]


def _unzipped(data: bytes) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(_GZIP)
    waiting, at = b"", 0
    try:
        while not unpacker.eof:
            if not waiting:
                waiting, at = data[at : at + _FEED], at + _FEED
            piece = unpacker.decompress(waiting, _PIECE)
            waiting = unpacker.unconsumed_tail
            yield piece
            if at >= len(data) and not piece and not unpacker.eof:
                raise ValueError("is cut off: its gzip has no end")
    except zlib.error:
        raise ValueError("cannot be unpacked: its gzip is damaged") from None
    if unpacker.unused_data or at < len(data):
        raise ValueError("is followed by bytes that belong to no line")
