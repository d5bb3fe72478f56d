"""Manifests: a base holds a whole tree, a delta what has changed since the generation before.

Gzip'd JSON lines: the header, then packs, then paths that are gone, then entries, each in order.
Reading is strict: what it accepts can be restored without a second look.
"""

from collections.abc import Iterator, Mapping
from heapq import merge
from itertools import chain as chained

from msgspec import Struct

from reconcile.mirror.errors import DamagedError, UnknownFormatError
from reconcile.mirror.model import Entry, File, Pack, Packed, Tree
from reconcile.mirror.snapshot import gzipped, writing
from reconcile.mirror.snapshot.differences import compare
from reconcile.mirror.snapshot.entries import Gone, Line, parse_line
from reconcile.mirror.snapshot.fitting import check_entry, check_fit, in_order
from reconcile.mirror.snapshot.header import Header, check_header, header_line, parse_header
from reconcile.mirror.snapshot.strict_json import parse_object


class Manifest(Struct, frozen=True):
    """What a manifest says; in a base nothing is gone and the entries are the whole tree."""

    header: Header
    entries: Mapping[str, Entry]
    gone: tuple[str, ...]
    packs: tuple[Pack, ...]


def encode_base(header: Header, tree: Tree) -> bytes:
    """Write a whole tree, with the packs that it needs.

    Raises:
        ValueError: The header is that of a delta, or no reader would accept the tree.
    """
    if not header.is_base:
        raise ValueError("a base has no chain before it")
    check_header(header)
    packs = needed_packs(tree)
    return gzipped.compress(
        chained(
            (header_line(header),),
            map(writing.pack_line, packs.values()),
            map(writing.entry_line, _fitting(tree.entries, packs)),
        )
    )


def encode_delta(header: Header, before: Tree, after: Tree) -> bytes:
    """Write what leads from one tree to the next, with the packs that are new.

    Raises:
        ValueError: The header is that of a base, or no reader would accept the tree.
    """
    if header.is_base:
        raise ValueError("a delta stands upon a chain")
    check_header(header)
    for _ in _fitting(after.entries, after.packs):
        pass
    found = compare(before, after)
    packs = (pack for number, pack in sorted(after.packs.items()) if number not in before.packs)
    changed = merge(found.added, found.changed, key=lambda entry: entry.path)
    return gzipped.compress(
        chained(
            (header_line(header),),
            map(writing.pack_line, packs),
            map(writing.gone_line, found.gone),
            map(writing.entry_line, changed),
        )
    )


def needed_packs(tree: Tree) -> dict[int, Pack]:
    """Return the packs that entries of a tree lie in, in the order of numbers."""
    numbers = {
        entry.place.pack
        for entry in tree.entries.values()
        if type(entry) is File and type(entry.place) is Packed
    }
    return {number: pack for number, pack in sorted(tree.packs.items()) if number in numbers}


def decode(data: bytes, limit: int = gzipped.MAX_DECODED) -> Manifest:
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
    reader = _Reader()
    try:
        for line in gzipped.lines(data, limit):
            reader.take(line)
        return reader.manifest()
    except UnknownFormatError:
        raise
    except (ValueError, DamagedError) as error:
        raise DamagedError(f"line {reader.line}: {error}") from None


def _fitting(entries: Mapping[str, Entry], packs: Mapping[int, Pack]) -> Iterator[Entry]:
    """Yield entries that a reader would accept; ValueError at the first that it would not."""
    for entry in in_order(entries.values()):
        try:
            check_entry(entry)
            check_fit(entry, entries, packs)
        except ValueError as error:
            raise ValueError(f"{entry.path!r} {error}") from None
        yield entry


class _Reader:
    """Takes a manifest's lines one by one; `line` is the number of the next."""

    def __init__(self) -> None:
        self.line = 1
        self._header: Header | None = None
        self._packs: dict[int, Pack] = {}
        self._gone: dict[str, None] = {}
        self._entries: dict[str, Entry] = {}
        self._last = ""

    def take(self, line: bytes) -> None:
        """Take one line; ValueError, DamagedError or UnknownFormatError if it is malformed."""
        if self._header is None:
            self._header = parse_header(parse_object(line))
        else:
            self._add(self._header, parse_line(line))
        self.line += 1

    def manifest(self) -> Manifest:
        """Return what all lines say together; ValueError if there was none."""
        if self._header is None:
            raise ValueError("there is no header")
        packs = tuple(self._packs.values())
        return Manifest(self._header, self._entries, tuple(self._gone), packs)

    def _add(self, header: Header, line: Line) -> None:
        match line:
            case Pack():
                self._add_pack(line)
            case Gone():
                self._add_gone(header, line)
            case _:
                self._add_entry(header, line)

    def _add_pack(self, pack: Pack) -> None:
        if self._gone or self._entries:
            raise ValueError("is a pack after entries")
        if self._packs and pack.number <= next(reversed(self._packs)):
            raise ValueError(f"is pack {pack.number}, which comes twice or too late")
        self._packs[pack.number] = pack

    def _add_gone(self, header: Header, gone: Gone) -> None:
        if header.is_base or self._entries:
            raise ValueError("takes an entry away in a base or after entries")
        self._advance(gone.path)
        self._gone[gone.path] = None

    def _add_entry(self, header: Header, entry: Entry) -> None:
        if not self._entries:
            self._last = ""
        self._advance(entry.path)
        if entry.path in self._gone:
            raise ValueError(f"is an entry for {entry.path!r}, which is gone")
        if header.is_base:
            check_fit(entry, self._entries, self._packs)
        self._entries[entry.path] = entry

    def _advance(self, path: str) -> None:
        if path <= self._last:
            raise ValueError(f"is {path!r}, which comes twice or too late")
        self._last = path
