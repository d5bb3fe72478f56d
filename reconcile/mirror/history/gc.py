"""Garbage collection: marks objects that nothing needs, and deletes them after a grace period.

It is safe while writers and other collections run, and if it is killed at any point:

- An object is never deleted if a kept generation, a manifest that may be young, or a manifest with
  a higher generation than HEAD needs it. A record of what is kept is written before the first
  delete.
- An object is deleted only if an earlier record names it and it was not written again since.
- Before its last scan it writes a delete intent, which writers obey: see `snapshot.gc`.

Before it deletes, it checks with scratch objects of its own that it may delete, and that deletes
and conditional writes work. A scratch object also gives the time of the store's clock.
"""

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from reconcile.mirror.clock import Clock, Stopwatch
from reconcile.mirror.errors import DamagedError, MissingObjectError, StoreError
from reconcile.mirror.history.generations import (
    GenerationIndex,
    StoredGcRecord,
    build_manifest_ref,
    read_generation_index,
)
from reconcile.mirror.model import Generation, ManifestRef
from reconcile.mirror.snapshot import keys
from reconcile.mirror.snapshot.chain import read_manifest
from reconcile.mirror.snapshot.encoding import SECOND, format_timestamp
from reconcile.mirror.snapshot.gc import (
    DELETE_INTENTS,
    INTENT_RETENTION,
    MAX_CLOCK_SKEW,
    DeleteIntent,
    GarbageMark,
    GcRecord,
    GracePeriods,
    encode_delete_intent,
    encode_gc_record,
    find_deletable,
    find_garbage,
    find_roots,
    iter_referenced_keys,
)
from reconcile.mirror.snapshot.head import ManifestHeader
from reconcile.mirror.snapshot.manifest import SnapshotManifest
from reconcile.mirror.snapshot.retention import RetentionPolicy, select_generations_to_keep
from reconcile.mirror.store.conditional import (
    ConditionalWriteSupport,
    probe_conditional_writes,
    require_conditional_writes,
)
from reconcile.mirror.store.port import ListedObject, Store

PROBE_PREFIX = "probe/"


def check_store_guarantees(store: Store) -> None:
    """Check that the store honours conditional writes and that deleted objects are gone.

    Raises:
        DeniedError: The key may not delete.
        StoreError: The store ignores conditional writes, or does not delete.
    """
    support: ConditionalWriteSupport = probe_conditional_writes(
        store, f"{PROBE_PREFIX}{uuid.uuid4()}"
    )
    require_conditional_writes(support, single_writer=False)
    key = _write_scratch_object(store)
    store.delete([key])
    try:
        store.get(key)
    except MissingObjectError:
        return
    raise StoreError(
        f"the store confirmed that it deleted {key}, but the object still exists: garbage "
        "collection needs a store whose deletes take effect immediately"
    )


def read_store_time(store: Store) -> float:
    """Return the store's own time in seconds since 1970: that of an object that is written now.

    Raises:
        StoreError: It could not be written or listed.
    """
    key = _write_scratch_object(store)
    modified = [listed.modified for listed in store.list(key) if listed.key == key]
    store.delete([key])
    if not modified:
        raise StoreError(f"{key} was written but is not listed: listings must be up to date")
    return modified[0]


def _write_scratch_object(store: Store) -> str:
    key = f"{PROBE_PREFIX}{uuid.uuid4()}"
    body = key.encode()
    store.put(key, [body], hashlib.sha256(body).hexdigest())
    return key


class LiveSet(Struct, frozen=True):
    """The objects of a prefix at one time, and which of them are needed.

    Attributes:
        index: HEAD, headers, records.
        kept: The generations to keep, newest first.
        expired: The generations that the policy does not keep.
        listing: All manifests, packs and blobs.
        live_keys: The keys of all objects that are needed.
    """

    index: GenerationIndex
    kept: tuple[Generation, ...]
    expired: tuple[Generation, ...]
    listing: tuple[ListedObject, ...]
    live_keys: frozenset[str]

    def last_manifests(self) -> tuple[ManifestRef, ...]:
        """Return the last manifests of the generations to keep."""
        return tuple(generation.chain[-1] for generation in self.kept)


class LiveSetScanner:
    """Scans a prefix, repeatedly if needed; reads each manifest once, since it never changes."""

    def __init__(self, store: Store, retention: RetentionPolicy) -> None:
        self._store = store
        self._retention = retention
        self._manifests: dict[str, tuple[ManifestHeader, frozenset[str]]] = {}

    def scan(self, grace_periods: GracePeriods) -> LiveSet:
        """List and read everything.

        The objects are listed before HEAD is read. A generation that is committed in between needs
        no listed object except those that the generation of HEAD needs.

        Raises:
            DamagedError: An object is damaged or missing, so it is unknown what is needed.
            UnknownFormatError: HEAD has another version of the format.
            StoreError: The store could not be read.
        """
        listing = tuple(
            listed
            for prefix in (keys.BLOBS, keys.PACKS, keys.MANIFESTS)
            for listed in self._store.list(prefix)
        )
        index = read_generation_index(self._store, self._read_header)
        _require_readable(index)
        committed = index.generations()
        numbers = select_generations_to_keep(committed.values(), self._retention)
        kept = tuple(each for number, each in committed.items() if number in numbers)
        expired = tuple(each for number, each in committed.items() if number not in numbers)
        roots = self._find_roots(index, listing, kept, grace_periods)
        live_keys = roots.union(*map(self._needed_keys, roots))
        return LiveSet(index, kept, expired, listing, live_keys)

    def _find_roots(
        self,
        index: GenerationIndex,
        listing: Iterable[ListedObject],
        kept: Iterable[Generation],
        grace_periods: GracePeriods,
    ) -> frozenset[str]:
        """Add manifests of generations after HEAD, however old: HEAD may be about to name them."""
        number = index.head_version.head.generation.number
        uncommitted = {key for key, header in index.headers.items() if header.generation > number}
        roots = find_roots(listing, kept, grace_periods) | uncommitted
        return roots | _find_chain_manifests(roots, index.headers)

    def _needed_keys(self, key: str) -> frozenset[str]:
        if key not in self._manifests:
            raise DamagedError(f"{key} is missing, but a kept generation needs it")
        return self._manifests[key][1]

    def _read_header(self, listed: ListedObject) -> ManifestHeader:
        key = listed.key
        if key not in self._manifests:
            manifest = self._store.retry(lambda: self._read_manifest(listed))
            self._manifests[key] = manifest.header, frozenset(iter_referenced_keys(manifest))
        return self._manifests[key][0]

    def _read_manifest(self, listed: ListedObject) -> SnapshotManifest:
        data = self._store.get(listed.key, min(listed.size, keys.MAX_MANIFEST)).body
        return read_manifest(build_manifest_ref(listed.key, len(data)), data)


def _find_chain_manifests(
    roots: Iterable[str], headers: Mapping[str, ManifestHeader]
) -> frozenset[str]:
    """Return the manifests in the chains of others."""
    return frozenset(ref.key for key in roots if key in headers for ref in headers[key].chain)


def _require_readable(index: GenerationIndex) -> None:
    if not index.unreadable:
        return
    key, reason = next(iter(sorted(index.unreadable.items())))
    raise DamagedError(
        f"{len(index.unreadable)} objects cannot be read, such as {key}: {reason}. Nothing is "
        "deleted while it is unknown what is needed: run `reconcile-mirror verify --all`"
    )


MIN_GRACE: Final = 3600.0
"""Seconds for which writers rely on objects that they have stored but not committed."""

_DELETE_BATCH_SIZE: Final = 1000
_DELETE_WINDOW: Final = 60.0
"""Seconds after a delete intent within which a delete may begin."""


class GcPolicy(Struct, frozen=True):
    """What to keep, and how long objects must have been unneeded; times are in seconds."""

    retention: RetentionPolicy
    grace: float
    skew: float = MAX_CLOCK_SKEW

    def grace_periods(self, now: float) -> GracePeriods:
        """Return the grace periods at the time `now`, in seconds since 1970."""
        return GracePeriods(now, self.grace, self.skew)


class GcResult(Struct, frozen=True):
    """What a collection did, or would do.

    Attributes:
        kept: Numbers of the kept generations, newest first.
        expired: Numbers of those that the policy does not keep; their objects are deleted later.
        unneeded: Objects that nothing needs now; marked for later, except those in `deleted`.
        deleted: Objects that were deleted, or would be.
    """

    kept: tuple[int, ...]
    expired: tuple[int, ...]
    unneeded: tuple[ListedObject, ...]
    deleted: tuple[ListedObject, ...]


def preview_gc(store: Store, policy: GcPolicy, clock: Clock) -> GcResult:
    """Return what a collection would do now; only reads.

    Ages are those of this machine's clock. Raises as `LiveSetScanner.scan`.
    """
    grace_periods = policy.grace_periods(clock.time_ns() / SECOND)
    live_set = LiveSetScanner(store, policy.retention).scan(grace_periods)
    return _build_result(live_set, _find_deletable(live_set, grace_periods))


class GarbageCollector:
    """Collects the garbage of one session."""

    def __init__(self, store: Store, policy: GcPolicy, clock: Clock) -> None:
        self._store = store
        self._policy = policy
        self._clock = clock
        self._scanner = LiveSetScanner(store, policy.retention)

    def collect(self) -> GcResult:
        """Delete the objects that are due, and mark the current garbage for a later collection.

        Raises:
            DeniedError: The key may not delete.
            DamagedError: An object is damaged or missing, so it is unknown what is needed.
            UnknownFormatError: HEAD has another version of the format.
            StoreError: The store could not be used, or lacks a guarantee that deletes need.
        """
        check_store_guarantees(self._store)
        grace_periods = self._grace_periods()
        live_set = self._scanner.scan(grace_periods)
        self._write_record(live_set)
        deleted: list[ListedObject] = []
        for due in _batches(_find_deletable(live_set, grace_periods)):
            deleted += self._delete_batch(due)
        self._remove_stale_files(grace_periods, deleted)
        return _build_result(live_set, tuple(deleted))

    def _grace_periods(self) -> GracePeriods:
        return self._policy.grace_periods(read_store_time(self._store))

    def _write_record(self, live_set: LiveSet) -> None:
        """Record what is kept and what is garbage, unless earlier records have all of it."""
        dead = find_garbage(live_set.listing, live_set.live_keys)
        records = [stored.record for stored in live_set.index.records]
        recorded_dead = {_object_version(listed) for record in records for listed in record.dead}
        recorded_history = {ref.key for record in records for ref in record.history}
        history = {ref.key for ref in live_set.last_manifests()}
        if history <= recorded_history and set(map(_object_version, dead)) <= recorded_dead:
            return
        record = GcRecord(self._clock.time_ns(), live_set.last_manifests(), dead)
        self._put_unique(keys.GC, encode_gc_record(record))

    def _delete_batch(self, due: Sequence[ListedObject]) -> list[ListedObject]:
        """Write a delete intent, scan again, and delete the objects that are still due."""
        since_intent = Stopwatch(self._clock)
        announced = {listed.key for listed in due}
        intent = DeleteIntent(self._clock.time_ns(), tuple(listed.key for listed in due))
        self._put_unique(DELETE_INTENTS, encode_delete_intent(intent))
        grace_periods = self._grace_periods()
        deletable = _find_deletable(self._scanner.scan(grace_periods), grace_periods)
        still_due = [listed for listed in deletable if listed.key in announced]
        if since_intent.elapsed() > _DELETE_WINDOW:
            return []
        self._store.delete([listed.key for listed in still_due])
        return still_due

    def _remove_stale_files(
        self, grace_periods: GracePeriods, deleted: Sequence[ListedObject]
    ) -> None:
        """Delete old delete intents and scratch objects, and records that are no longer needed."""
        live_set = self._scanner.scan(grace_periods)
        retention = max(INTENT_RETENTION, grace_periods.grace)
        stale = [
            *self._find_old(DELETE_INTENTS, replace(grace_periods, grace=retention)),
            *self._find_old(PROBE_PREFIX, grace_periods),
            *_find_obsolete_records(live_set, {listed.key for listed in deleted}),
        ]
        self._store.delete(stale)

    def _find_old(self, prefix: str, grace_periods: GracePeriods) -> list[str]:
        return [
            listed.key
            for listed in self._store.list(prefix)
            if not grace_periods.is_young(listed.modified)
        ]

    def _put_unique(self, prefix: str, body: bytes) -> None:
        """Write an object under a unique key."""
        time = format_timestamp(self._clock.time_ns())
        key = f"{prefix}{time}-{uuid.uuid4().hex[:16]}.json"
        self._store.put(key, [body], hashlib.sha256(body).hexdigest())


def _find_deletable(live_set: LiveSet, grace_periods: GracePeriods) -> tuple[ListedObject, ...]:
    """Return what may be deleted now, manifests first: they go before the objects they need."""
    marks = (
        GarbageMark(stored.listed.modified, stored.record.dead) for stored in live_set.index.records
    )
    deletable = {
        key
        for mark in marks
        for key in find_deletable(mark, live_set.listing, live_set.live_keys, grace_periods)
    }
    objects = (listed for listed in live_set.listing if listed.key in deletable)
    return tuple(sorted(objects, key=_manifests_first))


def _object_version(listed: ListedObject) -> tuple[str, float]:
    """Return what identifies an object as it was written at one time."""
    return listed.key, listed.modified


def _manifests_first(listed: ListedObject) -> tuple[bool, str]:
    return not listed.key.startswith(keys.MANIFESTS), listed.key


def _batches(due: Sequence[ListedObject]) -> Iterator[Sequence[ListedObject]]:
    for start in range(0, len(due), _DELETE_BATCH_SIZE):
        yield due[start : start + _DELETE_BATCH_SIZE]


def _find_obsolete_records(live_set: LiveSet, deleted: set[str]) -> list[str]:
    """Return the keys of records that are no longer needed.

    The newest record is always needed. An older one is not if every object that it marks is
    deleted, needed or written again, and the newest one names its generations too.
    """
    records = sorted(live_set.index.records, key=_record_sort_key)
    waiting = {
        _object_version(listed)
        for listed in live_set.listing
        if listed.key not in deleted and listed.key not in live_set.live_keys
    }
    return [
        stored.listed.key
        for stored in records[:-1]
        if waiting.isdisjoint(map(_object_version, stored.record.dead))
        and _is_history_covered(records[-1], stored, live_set)
    ]


def _is_history_covered(newest: StoredGcRecord, stored: StoredGcRecord, live_set: LiveSet) -> bool:
    covered = {ref.key for ref in newest.record.history}
    return all(
        ref.key in covered or ref.key not in live_set.index.headers for ref in stored.record.history
    )


def _record_sort_key(stored: StoredGcRecord) -> tuple[float, str]:
    return stored.listed.modified, stored.listed.key


def _build_result(live_set: LiveSet, deleted: tuple[ListedObject, ...]) -> GcResult:
    return GcResult(
        tuple(generation.number for generation in live_set.kept),
        tuple(generation.number for generation in live_set.expired),
        find_garbage(live_set.listing, live_set.live_keys),
        deleted,
    )
