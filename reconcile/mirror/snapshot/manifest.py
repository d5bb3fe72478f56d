"""Manifests: a base holds a whole tree, a delta the changes since the previous generation.

A manifest is gzip-compressed JSON lines: the header, then packs, then removed paths, then entries,
each in order. Decoding is incremental and limited in size, and strict: what it accepts can be
restored without a further check.
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping
from heapq import merge
from itertools import chain
from typing import Final

from msgspec import Struct

from reconcile.mirror.errors import DamagedError, UnknownFormatError
from reconcile.mirror.model import Entry, File, Pack, PackedBlob, SnapshotTree
from reconcile.mirror.snapshot.entries import (
    ManifestLine,
    RemovedEntry,
    check_entry,
    check_order,
    check_references,
    encode_entry,
    encode_pack,
    encode_removed,
    parse_manifest_line,
)
from reconcile.mirror.snapshot.head import ManifestHeader, check_header, encode_header, parse_header
from reconcile.mirror.snapshot.strict_json import parse_object

MAX_LINE: Final = 16 << 20
"""Maximum bytes of one line: a file of more than a tebibyte in chunks has fewer."""

MAX_DECODED: Final = 1 << 30
"""Maximum bytes of all lines of a manifest: about four million entries."""

GZIP_MAGIC: Final = b"\x1f\x8b"
_GZIP_WBITS: Final = 31
# Higher levels take twice the time to save a twentieth of the bytes: most bytes are digests.
_COMPRESSION_LEVEL: Final = 3
_BUFFER_SIZE: Final = 1 << 18
_READ_SIZE: Final = 1 << 16


def compress_lines(lines: Iterable[bytes]) -> bytes:
    """Compress all lines into one gzip member; equal lines give equal bytes.

    Raises:
        ValueError: There are more bytes than a reader accepts.
    """
    compressor = zlib.compressobj(_COMPRESSION_LEVEL, zlib.DEFLATED, _GZIP_WBITS)
    out: list[bytes] = []
    buffered: list[bytes] = []
    size = total = 0
    for line in lines:
        buffered.append(line)
        size += len(line)
        if size >= _BUFFER_SIZE:
            out.append(compressor.compress(b"".join(buffered)))
            buffered.clear()
            size, total = 0, total + size
            if total > MAX_DECODED:
                raise ValueError(f"its manifest would exceed {MAX_DECODED} bytes")
    out.append(compressor.compress(b"".join(buffered)))
    out.append(compressor.flush())
    return b"".join(out)


def iter_lines(data: bytes, limit: int = MAX_DECODED) -> Iterator[bytes]:
    """Yield the lines of gzip-compressed or plain text, without line ends.

    Raises:
        ValueError: It is not one whole gzip member, has more than `limit` bytes when decompressed,
            has a line that is too long, or does not end with a line end. The lines before that are
            yielded first.
    """
    rest = b""
    for piece in _iter_decoded(data, limit):
        lines = (rest + piece).split(b"\n")
        rest = lines.pop()
        yield from lines
        if len(rest) > MAX_LINE:
            raise ValueError(f"is longer than {MAX_LINE} bytes")
    if rest:
        raise ValueError("has no end")


def _iter_decoded(data: bytes, limit: int) -> Iterator[bytes]:
    total = 0
    for piece in _iter_gunzipped(data) if data.startswith(GZIP_MAGIC) else _iter_plain(data):
        total += len(piece)
        if total > limit:
            raise ValueError(f"exceeds the limit of {limit} bytes for all lines")
        yield piece


def _iter_plain(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), _BUFFER_SIZE):
        yield data[start : start + _BUFFER_SIZE]


def _iter_gunzipped(data: bytes) -> Iterator[bytes]:
    decompressor = zlib.decompressobj(_GZIP_WBITS)
    pending, at = b"", 0
    try:
        while not decompressor.eof:
            if not pending:
                pending, at = data[at : at + _READ_SIZE], at + _READ_SIZE
            piece = decompressor.decompress(pending, _BUFFER_SIZE)
            pending = decompressor.unconsumed_tail
            yield piece
            if at >= len(data) and not piece and not decompressor.eof:
                raise ValueError("is truncated: its gzip data has no end")
    except zlib.error:
        raise ValueError("cannot be decompressed: its gzip data is damaged") from None
    if decompressor.unused_data or at < len(data):
        raise ValueError("is followed by bytes after the end of the gzip data")


class TreeDiff(Struct, frozen=True):
    """The differences between two trees, each in the order of paths."""

    added: tuple[Entry, ...]
    changed: tuple[Entry, ...]
    removed: tuple[str, ...]

    def __bool__(self) -> bool:
        """Whether there is any difference."""
        return bool(self.added or self.changed or self.removed)


def diff_trees(before: SnapshotTree, after: SnapshotTree) -> TreeDiff:
    """Return the changes from `before` to `after`; entry objects that both share are fast."""
    old, new = before.entries, after.entries
    added: list[Entry] = []
    changed: list[Entry] = []
    for path, entry in new.items():
        previous = old.get(path)
        if previous is entry:
            continue
        if previous is None:
            added.append(entry)
        elif previous != entry:
            changed.append(entry)
    removed = tuple(path for path in old if path not in new)
    return TreeDiff(tuple(added), tuple(changed), removed)


class SnapshotManifest(Struct, frozen=True):
    """A decoded manifest; a base removes nothing, and its entries are the whole tree."""

    header: ManifestHeader
    entries: Mapping[str, Entry]
    removed: tuple[str, ...]
    packs: tuple[Pack, ...]


def encode_base(header: ManifestHeader, tree: SnapshotTree) -> bytes:
    """Encode a whole tree, with the packs that it needs.

    Raises:
        ValueError: The header is that of a delta, or the tree is not valid.
    """
    if not header.is_base:
        raise ValueError("the header of a base must have an empty chain")
    check_header(header)
    packs = find_needed_packs(tree)
    return compress_lines(
        chain(
            (encode_header(header),),
            map(encode_pack, packs.values()),
            map(encode_entry, _iter_checked(tree.entries, packs)),
        )
    )


def encode_delta(header: ManifestHeader, before: SnapshotTree, after: SnapshotTree) -> bytes:
    """Encode the changes from one tree to the next, with the packs that are new.

    Raises:
        ValueError: The header is that of a base, or the new tree is not valid.
    """
    if header.is_base:
        raise ValueError("the header of a delta must have a chain")
    check_header(header)
    for _ in _iter_checked(after.entries, after.packs):
        pass
    diff = diff_trees(before, after)
    packs = (pack for number, pack in sorted(after.packs.items()) if number not in before.packs)
    changed = merge(diff.added, diff.changed, key=lambda entry: entry.path)
    return compress_lines(
        chain(
            (encode_header(header),),
            map(encode_pack, packs),
            map(encode_removed, diff.removed),
            map(encode_entry, changed),
        )
    )


def find_needed_packs(tree: SnapshotTree) -> dict[int, Pack]:
    """Return the packs that hold blobs of a tree, in the order of numbers."""
    numbers = {
        entry.location.pack
        for entry in tree.entries.values()
        if type(entry) is File and type(entry.location) is PackedBlob
    }
    return {number: pack for number, pack in sorted(tree.packs.items()) if number in numbers}


def decode_manifest(data: bytes, limit: int = MAX_DECODED) -> SnapshotManifest:
    """Decode a manifest.

    The whole tree of a base is checked. The entries of a delta are checked by themselves, since its
    base is not available here: `chain.replay_chain` checks the tree.

    Args:
        data: The object's bytes, or its lines without compression.
        limit: Maximum bytes when decompressed.

    Raises:
        UnknownFormatError: It has another version of the format.
        DamagedError: It is malformed; names the line and the reason.
    """
    reader = _ManifestReader()
    try:
        for line in iter_lines(data, limit):
            reader.read_line(line)
        return reader.manifest()
    except UnknownFormatError:
        raise
    except (ValueError, DamagedError) as error:
        raise DamagedError(f"line {reader.line}: {error}") from None


def _iter_checked(entries: Mapping[str, Entry], packs: Mapping[int, Pack]) -> Iterator[Entry]:
    """Yield the entries; ValueError at the first that is not valid."""
    for entry in check_order(entries.values()):
        try:
            check_entry(entry)
            check_references(entry, entries, packs)
        except ValueError as error:
            raise ValueError(f"{entry.path!r} {error}") from None
        yield entry


class _ManifestReader:
    """Collects a manifest's lines one by one; `line` is the number of the next one."""

    def __init__(self) -> None:
        self.line = 1
        self._header: ManifestHeader | None = None
        self._packs: dict[int, Pack] = {}
        self._removed: dict[str, None] = {}
        self._entries: dict[str, Entry] = {}
        self._last_path = ""

    def read_line(self, line: bytes) -> None:
        """Add one line; ValueError, DamagedError or UnknownFormatError if it is malformed."""
        if self._header is None:
            self._header = parse_header(parse_object(line))
        else:
            self._add(self._header, parse_manifest_line(line))
        self.line += 1

    def manifest(self) -> SnapshotManifest:
        """Return the manifest of all lines; ValueError if there was none."""
        if self._header is None:
            raise ValueError("there is no header")
        packs = tuple(self._packs.values())
        return SnapshotManifest(self._header, self._entries, tuple(self._removed), packs)

    def _add(self, header: ManifestHeader, line: ManifestLine) -> None:
        match line:
            case Pack():
                self._add_pack(line)
            case RemovedEntry():
                self._add_removed(header, line)
            case _:
                self._add_entry(header, line)

    def _add_pack(self, pack: Pack) -> None:
        if self._removed or self._entries:
            raise ValueError("is a pack after entries")
        if self._packs and pack.number <= next(reversed(self._packs)):
            raise ValueError(f"is pack {pack.number}, which is a duplicate or out of order")
        self._packs[pack.number] = pack

    def _add_removed(self, header: ManifestHeader, entry: RemovedEntry) -> None:
        if header.is_base or self._entries:
            raise ValueError("removes an entry in a base or after entries")
        self._check_path_order(entry.path)
        self._removed[entry.path] = None

    def _add_entry(self, header: ManifestHeader, entry: Entry) -> None:
        if not self._entries:
            self._last_path = ""
        self._check_path_order(entry.path)
        if entry.path in self._removed:
            raise ValueError(f"is an entry for {entry.path!r}, which was removed")
        if header.is_base:
            check_references(entry, self._entries, self._packs)
        self._entries[entry.path] = entry

    def _check_path_order(self, path: str) -> None:
        if path <= self._last_path:
            raise ValueError(f"is {path!r}, which is a duplicate or out of order")
        self._last_path = path
