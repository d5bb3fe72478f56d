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
from reconcile.mirror.model import Generation, ManifestRef, SnapshotTree
from reconcile.mirror.protocol import HeadVersion
from reconcile.mirror.snapshot import keys, manifest
from reconcile.mirror.snapshot.chain import replay_chain
from reconcile.mirror.snapshot.encoding import SECOND, format_timestamp, parse_timestamp
from reconcile.mirror.snapshot.gc import GcRecord, decode_gc_record
from reconcile.mirror.snapshot.head import ManifestHeader, parse_header
from reconcile.mirror.snapshot.retention import build_generation, find_committed
from reconcile.mirror.snapshot.strict_json import parse_object
from reconcile.mirror.store.port import ListedObject, Store

_MAX_HEADER_SIZE: Final = 64 << 10
"""Bytes in which the first line of a manifest ends, even if it stands on the longest chain."""


class StoredGcRecord(Struct, frozen=True):
    """A record of garbage collection, where it lies, and the store's own time of it."""

    listed: ListedObject
    record: GcRecord


class GenerationIndex(Struct, frozen=True):
    """What a prefix holds.

    Attributes:
        head_version: HEAD.
        headers: Of all manifests that could be read, by key.
        sizes: Of these manifests in bytes, by key.
        records: What earlier garbage collections left.
        unreadable: Objects that could not be read as what they must be, by key, with the reason.
    """

    head_version: HeadVersion
    headers: Mapping[str, ManifestHeader]
    sizes: Mapping[str, int]
    records: tuple[StoredGcRecord, ...]
    unreadable: Mapping[str, str]

    def generations(self) -> dict[int, Generation]:
        """Return the committed generations by number, newest first; not the empty one."""
        current = self.head_version.head.generation
        remembered = (ref for kept in self.records for ref in kept.record.history)
        refs = find_committed(current, self.headers, remembered).values()
        found = {ref.generation: build_generation(ref, self.headers[ref.key]) for ref in refs}
        if current.number:
            found[current.number] = current
        return dict(sorted(found.items(), reverse=True))

    def unreachable(self) -> dict[int, Generation]:
        """Return what may have been committed but is cut off from HEAD, by number, newest first.

        That is so where a manifest after it is damaged or missing. Of two with one number only one
        can have been committed, so neither is named.
        """
        current = self.head_version.head.generation
        proven = self.generations()
        last = current.chain[-1].key if current.chain else ""
        if not self.unreadable and (not last or last in self.headers):
            return {}
        found: dict[int, list[Generation]] = {}
        for key, header in self.headers.items():
            if header.generation < current.number and header.generation not in proven:
                ref = build_manifest_ref(key, self.sizes[key])
                found.setdefault(ref.generation, []).append(build_generation(ref, header))
        return {
            number: both[0]
            for number, both in sorted(found.items(), reverse=True)
            if len(both) == 1
        }

    def last_manifests(self) -> tuple[ManifestRef, ...]:
        """Return the last manifest of each committed generation."""
        return tuple(each.chain[-1] for each in self.generations().values())


def build_manifest_ref(key: str, size: int) -> ManifestRef:
    """Return the reference to a manifest of this key and size in bytes."""
    generation = keys.manifest_generation(key) or 0
    return ManifestRef(generation, key, key.partition("-")[2].partition(".")[0], size)


def require_head(store: Store) -> HeadVersion:
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


HeaderReader: TypeAlias = Callable[[ListedObject], ManifestHeader]
"""Reads the header of a manifest; raises MissingObjectError, DamagedError or ValueError."""


def read_generation_index(
    store: Store, header_reader: HeaderReader | None = None
) -> GenerationIndex:
    """Read HEAD, the first line of each manifest, and what garbage collection has noted.

    Args:
        store: The session's prefix.
        header_reader: How to read headers; without it the beginning of each object is read, whose
            digest nobody can check.

    Raises:
        DamagedError: There is no HEAD, or it is none of ours.
        UnknownFormatError: Another version wrote HEAD.
        StoreError: Something could not be asked for.
    """
    found = require_head(store)
    reader = _IndexReader(store, header_reader or PartialHeaderReader(store).read)
    for listed in store.list(keys.MANIFESTS):
        reader.read_header(listed)
    for listed in store.list(keys.GC):
        reader.read_record(listed)
    return GenerationIndex(
        found, reader.headers, reader.sizes, tuple(reader.records), reader.unreadable
    )


def read_generation_tree(store: Store, generation: Generation) -> SnapshotTree:
    """Read the tree of a generation.

    Raises:
        DamagedError: A manifest is missing, altered or malformed; names it.
        UnknownFormatError: Another version wrote one.
        StoreError: One could not be read.
    """
    return replay_chain((ref, read_object(store, ref.key)) for ref in generation.chain)


def read_object(store: Store, key: str) -> bytes:
    """Read an object that is needed; DamagedError, which names it, if it is missing."""
    try:
        return store.get(key).body
    except MissingObjectError:
        raise DamagedError(f"{key} is missing though it is needed") from None


class PartialHeaderReader:
    """Reads no more of a manifest than its first line."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def read(self, listed: ListedObject) -> ManifestHeader:
        """Read a header; ValueError or DamagedError where it is malformed."""
        size = min(listed.size, _MAX_HEADER_SIZE)
        line = _first_line(self._store.get_range(listed.key, 0, size) if size else b"")
        header = parse_header(parse_object(line))
        if header.generation != keys.manifest_generation(listed.key):
            raise ValueError(f"it says generation {header.generation}")
        return header


class _IndexReader:
    def __init__(self, store: Store, header_reader: HeaderReader) -> None:
        self._store = store
        self._header_reader = header_reader
        self.headers: dict[str, ManifestHeader] = {}
        self.sizes: dict[str, int] = {}
        self.records: list[StoredGcRecord] = []
        self.unreadable: dict[str, str] = {}

    def read_header(self, listed: ListedObject) -> None:
        try:
            _check_name(listed.key)
            self.headers[listed.key] = self._header_reader(listed)
            self.sizes[listed.key] = listed.size
        except MissingObjectError:
            return  # Somebody collects garbage at this moment.
        except (DamagedError, UnknownFormatError, ValueError) as error:
            self.unreadable[listed.key] = str(error)

    def read_record(self, listed: ListedObject) -> None:
        try:
            data = self._store.get(listed.key).body
            self.records.append(StoredGcRecord(listed, decode_gc_record(data)))
        except MissingObjectError:
            return
        except (DamagedError, UnknownFormatError) as error:
            self.unreadable[listed.key] = str(error)


def _check_name(key: str) -> None:
    if keys.manifest_generation(key) is None:
        raise ValueError("its name is none that a manifest has")


def _first_line(start: bytes) -> bytes:
    for line in manifest.iter_lines(start):
        return line
    raise ValueError("there is no header")


_MAX_DIGITS: Final = 12
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def select_generation(store: Store, at: str) -> Generation:
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
    moment = None if _is_number(at) else _parse_time(at)
    if moment is None and int(at) == current.number:
        return current
    past = read_generation_index(store)
    there = past.generations()
    if moment is None:
        chosen = there.get(int(at)) or past.unreachable().get(int(at))
    else:
        chosen = next((each for each in there.values() if each.time <= moment), None)
    if chosen is None:
        raise _unknown_generation_error(at, there, past.unreadable)
    return chosen


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS


def _parse_time(text: str) -> int:
    with suppress(ValueError):
        return parse_timestamp(text)  # As `log` shows it, with all nine decimals.
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(
            f"--at is {text!r}: write the number of a generation or a time such as "
            "2026-01-31T12:00:00Z"
        ) from None
    known = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (known - _EPOCH) // timedelta(microseconds=1) * (SECOND // 1_000_000)


def _unknown_generation_error(
    at: str, generations: dict[int, Generation], unreadable: object
) -> SettingsError | DamagedError:
    if unreadable:
        return DamagedError(
            f"no generation is known for {at!r}, but some manifests cannot be read: run "
            "`reconcile-mirror verify --all`"
        )
    if not generations:
        return SettingsError(f"there is no generation for {at!r}: nothing was committed yet")
    newest, oldest = max(generations), min(generations)
    return SettingsError(
        f"there is no generation for {at!r}: kept are {len(generations)} from {oldest} "
        f"({format_timestamp(generations[oldest].time)}) to {newest} ({format_timestamp(generations[newest].time)}); "
        "`reconcile-mirror log` lists them"
    )
