"""Manifests: a base holds a whole tree, a delta what has changed since the generation before.

Gzip'd JSON lines: the header, then packs, then paths that are gone, then entries, each in order.
Reading is strict: what it accepts can be restored without a second look.

Lines into gzip and back, a little at a time and never more than a limit.

What one tree has that another has not.
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping
from heapq import merge
from itertools import chain as chained
from typing import Final

from msgspec import Struct

from reconcile.mirror.errors import DamagedError, UnknownFormatError
from reconcile.mirror.model import Entry, File, Pack, PackedBlob, SnapshotTree
from reconcile.mirror.snapshot import entries as writing
from reconcile.mirror.snapshot.entries import (
    ManifestLine,
    RemovedEntry,
    check_entry,
    check_order,
    check_references,
    parse_manifest_line,
)
from reconcile.mirror.snapshot.head import ManifestHeader, check_header, encode_header, parse_header
from reconcile.mirror.snapshot.strict_json import parse_object

MAX_LINE: Final = 16 << 20
"""Bytes of one line: a file of more than a tebibyte in chunks has fewer."""

MAX_DECODED: Final = 1 << 30
"""Bytes of all lines of a manifest: about four million entries."""

GZIP_MAGIC: Final = b"\x1f\x8b"
_GZIP_WBITS: Final = 31
# Higher levels take twice the time for a twentieth of the bytes: most of them are digests.
_COMPRESSION_LEVEL: Final = 3
_BUFFER_SIZE: Final = 1 << 18
_READ_SIZE: Final = 1 << 16


def compress_lines(lines: Iterable[bytes]) -> bytes:
    """Return all lines in one gzip member; equal lines give equal bytes."""
    packer = zlib.compressobj(_COMPRESSION_LEVEL, zlib.DEFLATED, _GZIP_WBITS)
    out: list[bytes] = []
    waiting: list[bytes] = []
    size = 0
    for line in lines:
        waiting.append(line)
        size += len(line)
        if size >= _BUFFER_SIZE:
            out.append(packer.compress(b"".join(waiting)))
            waiting.clear()
            size = 0
    out.append(packer.compress(b"".join(waiting)))
    out.append(packer.flush())
    return b"".join(out)


def iter_lines(data: bytes, limit: int = MAX_DECODED) -> Iterator[bytes]:
    """Yield the lines of gzip'd or plain text without their ends.

    Raises:
        ValueError: It is no whole gzip member, has more than `limit` bytes when decoded or too
            long a line, or does not end with a line's end. The lines before that are yielded.
    """
    rest = b""
    for piece in _iter_decoded(data, limit):
        found = (rest + piece).split(b"\n")
        rest = found.pop()
        yield from found
        if len(rest) > MAX_LINE:
            raise ValueError(f"is longer than {MAX_LINE} bytes")
    if rest:
        raise ValueError("has no end")


def _iter_decoded(data: bytes, limit: int) -> Iterator[bytes]:
    total = 0
    for piece in _iter_gunzipped(data) if data.startswith(GZIP_MAGIC) else _iter_plain(data):
        total += len(piece)
        if total > limit:
            raise ValueError(f"comes after more than {limit} bytes, which is too much")
        yield piece


def _iter_plain(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), _BUFFER_SIZE):
        yield data[start : start + _BUFFER_SIZE]


def _iter_gunzipped(data: bytes) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(_GZIP_WBITS)
    waiting, at = b"", 0
    try:
        while not unpacker.eof:
            if not waiting:
                waiting, at = data[at : at + _READ_SIZE], at + _READ_SIZE
            piece = unpacker.decompress(waiting, _BUFFER_SIZE)
            waiting = unpacker.unconsumed_tail
            yield piece
            if at >= len(data) and not piece and not unpacker.eof:
                raise ValueError("is cut off: its gzip has no end")
    except zlib.error:
        raise ValueError("cannot be unpacked: its gzip is damaged") from None
    if unpacker.unused_data or at < len(data):
        raise ValueError("is followed by bytes that belong to no line")


class TreeDiff(Struct, frozen=True):
    """What leads from one tree to another, each in the order of paths."""

    added: tuple[Entry, ...]
    changed: tuple[Entry, ...]
    removed: tuple[str, ...]

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.added or self.changed or self.removed)


def diff_trees(before: SnapshotTree, after: SnapshotTree) -> TreeDiff:
    """Return what leads from `before` to `after`; entries that both share cost next to nothing."""
    old, new = before.entries, after.entries
    added: list[Entry] = []
    changed: list[Entry] = []
    for path, entry in new.items():
        was = old.get(path)
        if was is entry:
            continue
        if was is None:
            added.append(entry)
        elif was != entry:
            changed.append(entry)
    gone = tuple(path for path in old if path not in new)
    return TreeDiff(tuple(added), tuple(changed), gone)


class SnapshotManifest(Struct, frozen=True):
    """What a manifest says; in a base nothing is gone and the entries are the whole tree."""

    header: ManifestHeader
    entries: Mapping[str, Entry]
    removed: tuple[str, ...]
    packs: tuple[Pack, ...]


def encode_base(header: ManifestHeader, tree: SnapshotTree) -> bytes:
    """Write a whole tree, with the packs that it needs.

    Raises:
        ValueError: The header is that of a delta, or no reader would accept the tree.
    """
    if not header.is_base:
        raise ValueError("a base has no chain before it")
    check_header(header)
    packs = find_needed_packs(tree)
    return compress_lines(
        chained(
            (encode_header(header),),
            map(writing.encode_pack, packs.values()),
            map(writing.encode_entry, _iter_checked(tree.entries, packs)),
        )
    )


def encode_delta(header: ManifestHeader, before: SnapshotTree, after: SnapshotTree) -> bytes:
    """Write what leads from one tree to the next, with the packs that are new.

    Raises:
        ValueError: The header is that of a base, or no reader would accept the tree.
    """
    if header.is_base:
        raise ValueError("a delta stands upon a chain")
    check_header(header)
    for _ in _iter_checked(after.entries, after.packs):
        pass
    found = diff_trees(before, after)
    packs = (pack for number, pack in sorted(after.packs.items()) if number not in before.packs)
    changed = merge(found.added, found.changed, key=lambda entry: entry.path)
    return compress_lines(
        chained(
            (encode_header(header),),
            map(writing.encode_pack, packs),
            map(writing.encode_removed, found.removed),
            map(writing.encode_entry, changed),
        )
    )


def find_needed_packs(tree: SnapshotTree) -> dict[int, Pack]:
    """Return the packs that entries of a tree lie in, in the order of numbers."""
    numbers = {
        entry.location.pack
        for entry in tree.entries.values()
        if type(entry) is File and type(entry.location) is PackedBlob
    }
    return {number: pack for number, pack in sorted(tree.packs.items()) if number in numbers}


def decode_manifest(data: bytes, limit: int = MAX_DECODED) -> SnapshotManifest:
    """Read a manifest.

    A base is judged whole; the entries of a delta by themselves, since what they stand upon is not
    here: `chain.assemble` judges the tree.

    Args:
        data: The object's bytes, or the lines that are packed in it.
        limit: Bytes that it may have when unpacked.

    Raises:
        UnknownFormatError: Another version wrote it.
        DamagedError: It is malformed; says in which line, and why.
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
    """Yield entries that a reader would accept; ValueError at the first that it would not."""
    for entry in check_order(entries.values()):
        try:
            check_entry(entry)
            check_references(entry, entries, packs)
        except ValueError as error:
            raise ValueError(f"{entry.path!r} {error}") from None
        yield entry


class _ManifestReader:
    """Takes a manifest's lines one by one; `line` is the number of the next."""

    def __init__(self) -> None:
        self.line = 1
        self._header: ManifestHeader | None = None
        self._packs: dict[int, Pack] = {}
        self._removed: dict[str, None] = {}
        self._entries: dict[str, Entry] = {}
        self._last_path = ""

    def read_line(self, line: bytes) -> None:
        """Take one line; ValueError, DamagedError or UnknownFormatError if it is malformed."""
        if self._header is None:
            self._header = parse_header(parse_object(line))
        else:
            self._add(self._header, parse_manifest_line(line))
        self.line += 1

    def manifest(self) -> SnapshotManifest:
        """Return what all lines say together; ValueError if there was none."""
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
            raise ValueError(f"is pack {pack.number}, which comes twice or too late")
        self._packs[pack.number] = pack

    def _add_removed(self, header: ManifestHeader, entry: RemovedEntry) -> None:
        if header.is_base or self._entries:
            raise ValueError("takes an entry away in a base or after entries")
        self._check_path_order(entry.path)
        self._removed[entry.path] = None

    def _add_entry(self, header: ManifestHeader, entry: Entry) -> None:
        if not self._entries:
            self._last_path = ""
        self._check_path_order(entry.path)
        if entry.path in self._removed:
            raise ValueError(f"is an entry for {entry.path!r}, which is gone")
        if header.is_base:
            check_references(entry, self._entries, self._packs)
        self._entries[entry.path] = entry

    def _check_path_order(self, path: str) -> None:
        if path <= self._last_path:
            raise ValueError(f"is {path!r}, which comes twice or too late")
        self._last_path = path
