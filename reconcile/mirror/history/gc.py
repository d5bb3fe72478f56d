"""Garbage collection: marks what nothing needs, and a grace time later deletes what is marked.

It is safe beside writers, other collections and its own death at any point:

- What any kept generation, any manifest that may be young, or any manifest beyond HEAD needs is
  never deleted. A record of what is kept is written before the first delete.
- An object is deleted only if an earlier record names it and it was not written again since.
- Before the last look a notice says what will be deleted, and writers heed it: see `notices`.

Who wants to delete proves first, on a scratch object of its own, that it may and that it works.

The scratch object also tells what time it is by the store's own clock.

One look at a whole prefix: what is there, and what of it is needed.
"""

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

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
from reconcile.mirror.snapshot.retention import RetentionPolicy, select_generations_to_keep
from reconcile.mirror.store.conditional import (
    ConditionalWriteSupport,
    probe_conditional_writes,
    require_conditional_writes,
)
from reconcile.mirror.store.port import ListedObject, Store

PROBE_PREFIX = "probe/"


def check_store_guarantees(store: Store) -> None:
    """Prove that conditional writes are honoured, and that what is deleted is gone.

    Raises:
        DeniedError: The key may not delete.
        StoreError: The store ignores conditional writes, or does not delete.
    """
    verdict: ConditionalWriteSupport = probe_conditional_writes(
        store, f"{PROBE_PREFIX}{uuid.uuid4()}"
    )
    require_conditional_writes(verdict, single_writer=False)
    key = _write_scratch_object(store)
    store.delete([key])
    try:
        store.get(key)
    except MissingObjectError:
        return
    raise StoreError(
        f"the store says that it has deleted {key}, which is there still: nothing is collected on "
        "a store like that"
    )


def read_store_time(store: Store) -> float:
    """Return the store's own time in seconds since 1970, told by an object that is written now.

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
    """What was found.

    Attributes:
        index: HEAD, headers, records.
        kept: The generations to keep, newest first.
        expired: Those that the policy lets go.
        listing: All objects of the session.
        live_keys: The keys of all that is needed.
    """

    index: GenerationIndex
    kept: tuple[Generation, ...]
    expired: tuple[Generation, ...]
    listing: tuple[ListedObject, ...]
    live_keys: frozenset[str]

    def last_manifests(self) -> tuple[ManifestRef, ...]:
        """Return the last manifests of the generations to keep."""
        return tuple(each.chain[-1] for each in self.kept)


class LiveSetScanner:
    """Looks as often as is asked; a manifest is read once, and whole, since it never changes."""

    def __init__(self, store: Store, retention: RetentionPolicy) -> None:
        self._store = store
        self._retention = retention
        self._manifests: dict[str, tuple[ManifestHeader, frozenset[str]]] = {}

    def scan(self, grace_periods: GracePeriods) -> LiveSet:
        """Look at everything.

        The listing of objects comes first and HEAD after it: what is committed in between needs
        nothing that is older than the listing, but what HEAD's own generation needs.

        Raises:
            DamagedError: Something is damaged or missing, so nobody can say what is needed.
            UnknownFormatError: Another version wrote HEAD.
            StoreError: The store could not be read.
        """
        listing = tuple(
            listed
            for prefix in (keys.BLOBS, keys.PACKS, keys.MANIFESTS)
            for listed in self._store.list(prefix)
        )
        past = read_generation_index(self._store, self._read_header)
        _require_readable(past)
        there = past.generations()
        numbers = select_generations_to_keep(there.values(), self._retention)
        keeping = tuple(each for number, each in there.items() if number in numbers)
        leaving = tuple(each for number, each in there.items() if number not in numbers)
        counting = self._find_roots(past, listing, keeping, grace_periods)
        live = frozenset(counting).union(*(self._needed_keys(key) for key in counting))
        return LiveSet(past, keeping, leaving, listing, live)

    def _find_roots(
        self,
        index: GenerationIndex,
        listing: Iterable[ListedObject],
        kept: Iterable[Generation],
        grace_periods: GracePeriods,
    ) -> frozenset[str]:
        """Also count manifests beyond HEAD, however old: HEAD may be about to name them."""
        number = index.head_version.head.generation.number
        beyond = {key for key, header in index.headers.items() if header.generation > number}
        found = find_roots(listing, kept, grace_periods) | beyond
        return found | _find_chain_manifests(found, index.headers)

    def _needed_keys(self, key: str) -> frozenset[str]:
        if key not in self._manifests:
            raise DamagedError(f"{key} is missing though a generation that is kept needs it")
        return self._manifests[key][1]

    def _read_header(self, listed: ListedObject) -> ManifestHeader:
        key = listed.key
        if key not in self._manifests:
            data = self._store.get(key).body
            manifest = read_manifest(build_manifest_ref(key, len(data)), data)
            self._manifests[key] = manifest.header, frozenset(iter_referenced_keys(manifest))
        return self._manifests[key][0]


def _find_chain_manifests(
    roots: Iterable[str], headers: Mapping[str, ManifestHeader]
) -> frozenset[str]:
    """Return the manifests that others stand upon."""
    return frozenset(ref.key for key in roots if key in headers for ref in headers[key].chain)


def _require_readable(index: GenerationIndex) -> None:
    if not index.unreadable:
        return
    key, reason = next(iter(sorted(index.unreadable.items())))
    raise DamagedError(
        f"{len(index.unreadable)} objects cannot be read, such as {key}: {reason}. Nothing is deleted "
        "while it is not clear what is needed: `reconcile-mirror verify --all` says more"
    )


MIN_GRACE: Final = 3600.0
"""Seconds: writers rely so long on what they have stored but not committed."""

_DELETE_BATCH_SIZE: Final = 1000
_DELETE_WINDOW: Final = 60.0
"""Seconds after a notice in which a delete may still begin."""


class GcPolicy(Struct, frozen=True):
    """What to keep, and for how long things must have been unneeded; times are in seconds."""

    retention: RetentionPolicy
    grace: float
    skew: float = MAX_CLOCK_SKEW

    def grace_periods(self, now: float) -> GracePeriods:
        """Return what is young at that time."""
        return GracePeriods(now, self.grace, self.skew)


class GcResult(Struct, frozen=True):
    """What a collection did, or would do.

    Attributes:
        kept: Numbers of the generations that stay, newest first.
        expired: Numbers of those that the policy lets go; their objects go later.
        unneeded: What nothing needs now; marked for later, but for what was deleted.
        deleted: What was deleted, or would be.
    """

    kept: tuple[int, ...]
    expired: tuple[int, ...]
    unneeded: tuple[ListedObject, ...]
    deleted: tuple[ListedObject, ...]


def preview_gc(store: Store, policy: GcPolicy, clock: Clock) -> GcResult:
    """Say what a collection would do now; only reads.

    Ages are told by this machine's clock. Raises as `Reach.look`.
    """
    ages = policy.grace_periods(clock.time_ns() / SECOND)
    look = LiveSetScanner(store, policy.retention).scan(ages)
    return _build_result(look, _find_deletable(look, ages))


class GarbageCollector:
    """Collects the garbage of one session."""

    def __init__(self, store: Store, policy: GcPolicy, clock: Clock) -> None:
        self._store = store
        self._policy = policy
        self._clock = clock
        self._scanner = LiveSetScanner(store, policy.retention)

    def collect(self) -> GcResult:
        """Delete what is due, and mark what may be due next time.

        Raises:
            DeniedError: The key may not delete.
            DamagedError: Something is damaged or missing, so nobody can say what is needed.
            UnknownFormatError: Another version has written here.
            StoreError: The store could not be asked, or is not fit for deletes.
        """
        check_store_guarantees(self._store)
        ages = self._grace_periods()
        look = self._scanner.scan(ages)
        self._write_record(look)
        deleted: list[ListedObject] = []
        for due in _batches(_find_deletable(look, ages)):
            deleted += self._delete_batch(due)
        self._remove_stale_files(ages, deleted)
        return _build_result(look, tuple(deleted))

    def _grace_periods(self) -> GracePeriods:
        return self._policy.grace_periods(read_store_time(self._store))

    def _write_record(self, live_set: LiveSet) -> None:
        """Remember what is kept, and mark what is not; nothing new needs no new record."""
        dead = find_garbage(live_set.listing, live_set.live_keys)
        known = {
            (each.key, each.modified)
            for kept in live_set.index.records
            for each in kept.record.dead
        }
        told = {ref.key for kept in live_set.index.records for ref in kept.record.history}
        history = {ref.key for ref in live_set.last_manifests()}
        if history <= told and {(each.key, each.modified) for each in dead} <= known:
            return
        record = GcRecord(self._clock.time_ns(), live_set.last_manifests(), dead)
        self._put_unique(keys.GC, encode_gc_record(record))

    def _delete_batch(self, due: Sequence[ListedObject]) -> list[ListedObject]:
        """Announce deletes, look once more, and delete what is due still."""
        began = Stopwatch(self._clock)
        names = tuple(each.key for each in due)
        self._put_unique(
            DELETE_INTENTS, encode_delete_intent(DeleteIntent(self._clock.time_ns(), names))
        )
        ages = self._grace_periods()
        look = self._scanner.scan(ages)
        announced = set(names)
        still = [each for each in _find_deletable(look, ages) if each.key in announced]
        if began.elapsed() > _DELETE_WINDOW:
            return []
        self._store.delete([each.key for each in still])
        return still

    def _remove_stale_files(
        self, grace_periods: GracePeriods, deleted: Sequence[ListedObject]
    ) -> None:
        """Take away old notices and scratch objects, and records of which nothing is left."""
        look = self._scanner.scan(grace_periods)
        old = GracePeriods(
            grace_periods.now, max(INTENT_RETENTION, grace_periods.grace), grace_periods.skew
        )
        stale = [
            each.key for each in self._store.list(DELETE_INTENTS) if not old.is_young(each.modified)
        ]
        stale += [
            each.key
            for each in self._store.list(PROBE_PREFIX)
            if not grace_periods.is_young(each.modified)
        ]
        self._store.delete([*stale, *_find_obsolete_records(look, {each.key for each in deleted})])

    def _put_unique(self, prefix: str, body: bytes) -> None:
        """Write an object under a name that nobody else gives."""
        time = format_timestamp(self._clock.time_ns())
        key = f"{prefix}{time}-{uuid.uuid4().hex[:16]}.json"
        self._store.put(key, [body], hashlib.sha256(body).hexdigest())


def _find_deletable(live_set: LiveSet, grace_periods: GracePeriods) -> tuple[ListedObject, ...]:
    """Return what may be deleted now, manifests first: what they need must not go before them."""
    marks = (GarbageMark(kept.listed.modified, kept.record.dead) for kept in live_set.index.records)
    names = {
        key
        for mark in marks
        for key in find_deletable(mark, live_set.listing, live_set.live_keys, grace_periods)
    }
    return tuple(
        sorted((each for each in live_set.listing if each.key in names), key=_manifests_first)
    )


def _manifests_first(listed: ListedObject) -> tuple[bool, str]:
    return not listed.key.startswith(keys.MANIFESTS), listed.key


def _batches(due: Sequence[ListedObject]) -> Iterator[Sequence[ListedObject]]:
    for start in range(0, len(due), _DELETE_BATCH_SIZE):
        yield due[start : start + _DELETE_BATCH_SIZE]


def _find_obsolete_records(live_set: LiveSet, deleted: set[str]) -> list[str]:
    """Return records that another one makes needless: nothing that they mark waits for them.

    The newest stays. An older one goes if all that it marks is gone, needed or written again, and
    what it remembers is remembered by the newest.
    """
    records = sorted(live_set.index.records, key=_record_sort_key)
    there = {(each.key, each.modified) for each in live_set.listing if each.key not in deleted}
    return [
        kept.listed.key
        for kept in records[:-1]
        if not any(
            (each.key, each.modified) in there and each.key not in live_set.live_keys
            for each in kept.record.dead
        )
        and _is_history_covered(records[-1], kept, live_set)
    ]


def _is_history_covered(newest: StoredGcRecord, stored: StoredGcRecord, live_set: LiveSet) -> bool:
    known = {ref.key for ref in newest.record.history}
    return all(
        ref.key in known or ref.key not in live_set.index.headers for ref in stored.record.history
    )


def _record_sort_key(stored: StoredGcRecord) -> tuple[float, str]:
    return stored.listed.modified, stored.listed.key


def _build_result(live_set: LiveSet, deleted: tuple[ListedObject, ...]) -> GcResult:
    return GcResult(
        tuple(each.number for each in live_set.kept),
        tuple(each.number for each in live_set.expired),
        find_garbage(live_set.listing, live_set.live_keys),
        deleted,
    )
