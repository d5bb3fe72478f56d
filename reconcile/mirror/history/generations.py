"""Reads which generations a prefix holds; nothing here writes, and no claim is needed.

Which generation somebody means: by its number, or by a time.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from msgspec import Struct

from reconcile.mirror.errors import (
    DamagedError,
    MissingObjectError,
    SettingsError,
    UnknownFormatError,
)
from reconcile.mirror.head import read_head
from reconcile.mirror.model import Generation, ManifestRef, Tree
from reconcile.mirror.protocol import Found
from reconcile.mirror.snapshot import keys, manifest
from reconcile.mirror.snapshot.chain import assemble
from reconcile.mirror.snapshot.encoding import SECOND, parse_stamp, stamp_text
from reconcile.mirror.snapshot.gc import Record, decode_record
from reconcile.mirror.snapshot.head import Header, parse_header
from reconcile.mirror.snapshot.retention import committed, generation_of
from reconcile.mirror.snapshot.strict_json import parse_object
from reconcile.mirror.store.port import Listed, Store

_HEAD_OF_MANIFEST: Final = 64 << 10
"""Bytes in which the first line of a manifest ends, even if it stands on the longest chain."""


class Kept(Struct, frozen=True):
    """A record of garbage collection, where it lies, and the store's own time of it."""

    listed: Listed
    record: Record


class Past(Struct, frozen=True):
    """What a prefix holds.

    Attributes:
        found: HEAD.
        headers: Of all manifests that could be read, by key.
        sizes: Of these manifests in bytes, by key.
        records: What earlier garbage collections left.
        troubles: Objects that could not be read as what they must be, by key, with the reason.
    """

    found: Found
    headers: Mapping[str, Header]
    sizes: Mapping[str, int]
    records: tuple[Kept, ...]
    troubles: Mapping[str, str]

    def generations(self) -> dict[int, Generation]:
        """Return the committed generations by number, newest first; not the empty one."""
        current = self.found.head.generation
        remembered = (ref for kept in self.records for ref in kept.record.history)
        refs = committed(current, self.headers, remembered).values()
        found = {ref.generation: generation_of(ref, self.headers[ref.key]) for ref in refs}
        if current.number:
            found[current.number] = current
        return dict(sorted(found.items(), reverse=True))

    def unproven(self) -> dict[int, Generation]:
        """Return what may have been committed but is cut off from HEAD, by number, newest first.

        That is so where a manifest after it is damaged or missing. Of two with one number only one
        can have been committed, so neither is named.
        """
        current = self.found.head.generation
        proven = self.generations()
        last = current.chain[-1].key if current.chain else ""
        if not self.troubles and (not last or last in self.headers):
            return {}
        found: dict[int, list[Generation]] = {}
        for key, header in self.headers.items():
            if header.generation < current.number and header.generation not in proven:
                ref = ref_of(key, self.sizes[key])
                found.setdefault(ref.generation, []).append(generation_of(ref, header))
        return {
            number: both[0]
            for number, both in sorted(found.items(), reverse=True)
            if len(both) == 1
        }

    def history(self) -> tuple[ManifestRef, ...]:
        """Return the last manifest of each committed generation."""
        return tuple(each.chain[-1] for each in self.generations().values())


def ref_of(key: str, size: int) -> ManifestRef:
    """Return the reference to a manifest of this key and size in bytes."""
    generation = keys.manifest_generation(key) or 0
    return ManifestRef(generation, key, key.partition("-")[2].partition(".")[0], size)


def require_head(store: Store) -> Found:
    """Read HEAD.

    Raises:
        DamagedError: There is none, or it is none of ours.
        UnknownFormatError: Another version wrote it.
        StoreError: It could not be read.
    """
    found = read_head(store)
    if found is None:
        raise DamagedError(
            "there is no HEAD, so nothing was ever committed here: is --prefix right?"
        )
    return found


ReadHeader: TypeAlias = Callable[[Listed], Header]
"""Reads the header of a manifest; raises MissingObjectError, DamagedError or ValueError."""


def read_past(store: Store, read_header: ReadHeader | None = None) -> Past:
    """Read HEAD, the first line of each manifest, and what garbage collection has noted.

    Args:
        store: The session's prefix.
        read_header: How to read headers; without it the beginning of each object is read, whose
            digest nobody can check.

    Raises:
        DamagedError: There is no HEAD, or it is none of ours.
        UnknownFormatError: Another version wrote HEAD.
        StoreError: Something could not be asked for.
    """
    found = require_head(store)
    reader = _Reader(store, read_header or QuickHeaders(store).read)
    for listed in store.list(keys.MANIFESTS):
        reader.header(listed)
    for listed in store.list(keys.GC):
        reader.record(listed)
    return Past(found, reader.headers, reader.sizes, tuple(reader.records), reader.troubles)


def read_tree(store: Store, generation: Generation) -> Tree:
    """Read the tree of a generation.

    Raises:
        DamagedError: A manifest is missing, altered or malformed; names it.
        UnknownFormatError: Another version wrote one.
        StoreError: One could not be read.
    """
    return assemble((ref, read_object(store, ref.key)) for ref in generation.chain)


def read_object(store: Store, key: str) -> bytes:
    """Read an object that is needed; DamagedError, which names it, if it is missing."""
    try:
        return store.get(key).body
    except MissingObjectError:
        raise DamagedError(f"{key} is missing though it is needed") from None


class QuickHeaders:
    """Reads no more of a manifest than its first line."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def read(self, listed: Listed) -> Header:
        """Read a header; ValueError or DamagedError where it is malformed."""
        size = min(listed.size, _HEAD_OF_MANIFEST)
        line = _first_line(self._store.get_range(listed.key, 0, size) if size else b"")
        header = parse_header(parse_object(line))
        if header.generation != keys.manifest_generation(listed.key):
            raise ValueError(f"it says generation {header.generation}")
        return header


class _Reader:
    def __init__(self, store: Store, read_header: ReadHeader) -> None:
        self._store = store
        self._read_header = read_header
        self.headers: dict[str, Header] = {}
        self.sizes: dict[str, int] = {}
        self.records: list[Kept] = []
        self.troubles: dict[str, str] = {}

    def header(self, listed: Listed) -> None:
        try:
            _check_name(listed.key)
            self.headers[listed.key] = self._read_header(listed)
            self.sizes[listed.key] = listed.size
        except MissingObjectError:
            return  # Somebody collects garbage at this moment.
        except (DamagedError, UnknownFormatError, ValueError) as error:
            self.troubles[listed.key] = str(error)

    def record(self, listed: Listed) -> None:
        try:
            data = self._store.get(listed.key).body
            self.records.append(Kept(listed, decode_record(data)))
        except MissingObjectError:
            return
        except (DamagedError, UnknownFormatError) as error:
            self.troubles[listed.key] = str(error)


def _check_name(key: str) -> None:
    if keys.manifest_generation(key) is None:
        raise ValueError("its name is none that a manifest has")


def _first_line(start: bytes) -> bytes:
    for line in manifest.lines(start):
        return line
    raise ValueError("there is no header")


_DIGITS: Final = 12
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def choose(store: Store, at: str) -> Generation:
    """Return the generation that `at` means: a number, a time, or nothing for the current one.

    By its number also one is found that a damaged manifest cuts off from HEAD.

    A time means the last generation that was committed then or before. It is in RFC 3339; without
    an offset it is UTC.

    Raises:
        SettingsError: It is neither, or there is no such generation; says which there are.
        DamagedError: There is no HEAD, or it is damaged.
        StoreError: The store could not be read.
    """
    current = require_head(store).head.generation
    if not at:
        return current
    moment = None if _is_number(at) else _parse(at)
    if moment is None and int(at) == current.number:
        return current
    past = read_past(store)
    there = past.generations()
    if moment is None:
        chosen = there.get(int(at)) or past.unproven().get(int(at))
    else:
        chosen = next((each for each in there.values() if each.time <= moment), None)
    if chosen is None:
        raise _unknown(at, there, past.troubles)
    return chosen


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _DIGITS


def _parse(text: str) -> int:
    with suppress(ValueError):
        return parse_stamp(text)  # As `log` shows it, with all nine decimals.
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(
            f"--at is {text!r}: write the number of a generation or a time such as "
            "2026-01-31T12:00:00Z"
        ) from None
    known = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (known - _EPOCH) // timedelta(microseconds=1) * (SECOND // 1_000_000)


def _unknown(
    at: str, there: dict[int, Generation], troubles: object
) -> SettingsError | DamagedError:
    if troubles:
        return DamagedError(
            f"no generation is known for {at!r}, but some manifests cannot be read: run "
            "`reconcile-mirror verify --all`"
        )
    if not there:
        return SettingsError(f"there is no generation for {at!r}: nothing was committed yet")
    newest, oldest = max(there), min(there)
    return SettingsError(
        f"there is no generation for {at!r}: kept are {len(there)} from {oldest} "
        f"({stamp_text(there[oldest].time)}) to {newest} ({stamp_text(there[newest].time)}); "
        "`reconcile-mirror log` lists them"
    )
