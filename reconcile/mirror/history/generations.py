"""Reads which generations a prefix holds, and selects one by its number or by a time.

Nothing here writes, and no claim is needed.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
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
from reconcile.mirror.snapshot import keys
from reconcile.mirror.snapshot.chain import replay_chain
from reconcile.mirror.snapshot.encoding import SECOND, format_timestamp, parse_timestamp
from reconcile.mirror.snapshot.gc import MAX_RECORD, GcRecord, decode_gc_record
from reconcile.mirror.snapshot.head import ManifestHeader, parse_header
from reconcile.mirror.snapshot.manifest import iter_lines
from reconcile.mirror.snapshot.retention import build_generation, find_committed
from reconcile.mirror.snapshot.strict_json import parse_object
from reconcile.mirror.store.port import ListedObject, Store

_MAX_HEADER_SIZE: Final = 64 << 10
"""Bytes that contain the first line of a manifest, even with the longest chain."""


class StoredGcRecord(Struct, frozen=True):
    """A record of garbage collection, with its key and the store's own time of it."""

    listed: ListedObject
    record: GcRecord


class GenerationIndex(Struct, frozen=True):
    """The contents of a prefix.

    Attributes:
        head_version: HEAD.
        headers: The headers of all readable manifests, by key.
        sizes: The sizes of these manifests in bytes, by key.
        records: The records of earlier garbage collections.
        unreadable: The reasons why manifests and records could not be read, by key.
    """

    head_version: HeadVersion
    headers: Mapping[str, ManifestHeader]
    sizes: Mapping[str, int]
    records: tuple[StoredGcRecord, ...]
    unreadable: Mapping[str, str]

    def generations(self) -> dict[int, Generation]:
        """Return the committed generations by number, newest first, without the empty one."""
        current = self.head_version.head.generation
        recorded = (ref for stored in self.records for ref in stored.record.history)
        refs = find_committed(current, self.headers, recorded).values()
        committed = {ref.generation: build_generation(ref, self.headers[ref.key]) for ref in refs}
        if current.number:
            committed[current.number] = current
        return dict(sorted(committed.items(), reverse=True))

    def unreachable(self) -> dict[int, Generation]:
        """Return generations that may be committed but are not reachable, by number, newest first.

        HEAD does not lead to a generation if a manifest after it is damaged or missing. If two have
        the same number, only one of them can have been committed, so neither is returned.
        """
        current = self.head_version.head.generation
        committed = self.generations()
        last = current.chain[-1].key if current.chain else ""
        if not self.unreadable and (not last or last in self.headers):
            return {}
        candidates: dict[int, list[Generation]] = {}
        for key, header in self.headers.items():
            if header.generation < current.number and header.generation not in committed:
                ref = build_manifest_ref(key, self.sizes[key])
                candidates.setdefault(ref.generation, []).append(build_generation(ref, header))
        return {
            number: generations[0]
            for number, generations in sorted(candidates.items(), reverse=True)
            if len(generations) == 1
        }

    def last_manifests(self) -> tuple[ManifestRef, ...]:
        """Return the last manifest of each committed generation."""
        return tuple(generation.chain[-1] for generation in self.generations().values())


def build_manifest_ref(key: str, size: int) -> ManifestRef:
    """Return the reference to a manifest with this key and size in bytes."""
    generation = keys.manifest_generation(key) or 0
    return ManifestRef(generation, key, key.partition("-")[2].partition(".")[0], size)


def require_head(store: Store) -> HeadVersion:
    """Read HEAD.

    Raises:
        DamagedError: It does not exist, or is malformed.
        UnknownFormatError: It has another version of the format.
        StoreError: It could not be read.
    """

    def read() -> HeadVersion:
        version = read_head(store)
        if version is None:
            raise DamagedError(
                "there is no HEAD, so nothing was ever committed here: check --prefix"
            )
        return version

    return store.retry(read)


HeaderReader: TypeAlias = Callable[[ListedObject], ManifestHeader]
"""Reads the header of a manifest; raises MissingObjectError, DamagedError or ValueError."""


def read_generation_index(
    store: Store, header_reader: HeaderReader | None = None
) -> GenerationIndex:
    """Read HEAD, the header of each manifest, and the records of garbage collection.

    Args:
        store: The session's prefix.
        header_reader: How to read headers. The default reads the beginning of each object, whose
            digest cannot be checked.

    Raises:
        DamagedError: HEAD does not exist, or is malformed.
        UnknownFormatError: HEAD has another version of the format.
        StoreError: The store could not be read.
    """
    version = require_head(store)
    reader = _IndexReader(store, header_reader or PartialHeaderReader(store).read)
    for listed in store.list(keys.MANIFESTS):
        reader.read_header(listed)
    for listed in store.list(keys.GC):
        reader.read_record(listed)
    return GenerationIndex(
        version, reader.headers, reader.sizes, tuple(reader.records), reader.unreadable
    )


def read_generation_tree(store: Store, generation: Generation) -> SnapshotTree:
    """Read the tree of a generation.

    Raises:
        DamagedError: A manifest is missing, altered or malformed; names it.
        UnknownFormatError: A manifest has another version of the format.
        StoreError: The store could not be read.
    """

    def read() -> SnapshotTree:
        return replay_chain(
            (ref, read_object(store, ref.key, ref.size)) for ref in generation.chain
        )

    return store.retry(read)


def read_object(store: Store, key: str, limit: int) -> bytes:
    """Read an object that is needed, of at most `limit` bytes.

    Raises:
        DamagedError: It is missing or larger; names it.
        StoreError: It could not be read.
    """
    try:
        return store.get(key, limit).body
    except MissingObjectError:
        raise DamagedError(f"{key} is missing though it is needed") from None


def read_range(store: Store, key: str, offset: int, size: int) -> bytes:
    """Read a part of an object that is needed; DamagedError, which names it, if it is missing."""
    try:
        return store.get_range(key, offset, size)
    except MissingObjectError:
        raise DamagedError(f"{key} is missing though it is needed") from None


class PartialHeaderReader:
    """Reads only the first line of a manifest."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def read(self, listed: ListedObject) -> ManifestHeader:
        """Read a header; DamagedError if it is malformed."""
        return self._store.retry(partial(self._read_once, listed))

    def _read_once(self, listed: ListedObject) -> ManifestHeader:
        size = min(listed.size, _MAX_HEADER_SIZE)
        start = self._store.get_range(listed.key, 0, size) if size else b""
        try:
            header = parse_header(parse_object(_first_line(start)))
        except ValueError as error:
            raise DamagedError(str(error)) from None
        if header.generation != keys.manifest_generation(listed.key):
            raise DamagedError(f"it says generation {header.generation}")
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
            return  # A garbage collection deletes objects at the same time.
        except (DamagedError, UnknownFormatError, ValueError) as error:
            self.unreadable[listed.key] = str(error)

    def read_record(self, listed: ListedObject) -> None:
        try:
            record = self._store.retry(partial(_read_record, self._store, listed.key))
            self.records.append(StoredGcRecord(listed, record))
        except MissingObjectError:
            return
        except (DamagedError, UnknownFormatError) as error:
            self.unreadable[listed.key] = str(error)


def _read_record(store: Store, key: str) -> GcRecord:
    return decode_gc_record(store.get(key, MAX_RECORD).body)


def _check_name(key: str) -> None:
    if keys.manifest_generation(key) is None:
        raise ValueError("its key is not that of a manifest")


def _first_line(start: bytes) -> bytes:
    for line in iter_lines(start):
        return line
    raise ValueError("there is no header")


_MAX_DIGITS: Final = 12
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def select_generation(store: Store, at: str) -> Generation:
    """Return the generation that `at` selects: by number, by time, or the current one if empty.

    A number also selects a generation that is not reachable from HEAD because of a damaged
    manifest. A time, in RFC 3339, or UTC without an offset, selects the last generation that was
    committed at that time or before.

    Raises:
        SettingsError: It is neither, or there is no such generation; says which exist.
        DamagedError: HEAD does not exist or is damaged, or unreadable manifests may hide it.
        StoreError: The store could not be read.
    """
    current = require_head(store).head.generation
    if not at:
        return current
    moment = None if _is_number(at) else _parse_time(at)
    if moment is None and int(at) == current.number:
        return current
    index = read_generation_index(store)
    committed = index.generations()
    if moment is None:
        chosen = committed.get(int(at)) or index.unreachable().get(int(at))
    else:
        chosen = next((each for each in committed.values() if each.time <= moment), None)
    if chosen is None:
        raise _unknown_generation_error(at, committed, index.unreadable)
    return chosen


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS


def _parse_time(text: str) -> int:
    with suppress(ValueError):
        return parse_timestamp(text)  # As `log` prints it, with all nine decimals.
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(
            f"--at is {text!r}: give the number of a generation or a time such as "
            "2026-01-31T12:00:00Z"
        ) from None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1) * (SECOND // 1_000_000)


def _unknown_generation_error(
    at: str, generations: dict[int, Generation], unreadable: object
) -> SettingsError | DamagedError:
    if unreadable:
        return DamagedError(
            f"there is no generation for {at!r}, but some manifests cannot be read: run "
            "`reconcile-mirror verify --all`"
        )
    if not generations:
        return SettingsError(f"there is no generation for {at!r}: nothing was committed yet")
    newest, oldest = max(generations), min(generations)
    return SettingsError(
        f"there is no generation for {at!r}: there are {len(generations)}, from {oldest} "
        f"({format_timestamp(generations[oldest].time)}) to {newest} "
        f"({format_timestamp(generations[newest].time)}); `reconcile-mirror log` lists them"
    )
