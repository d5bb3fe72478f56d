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

from reconcile.mirror.clock import Clock, Since
from reconcile.mirror.errors import DamagedError, MissingObjectError, StoreError
from reconcile.mirror.history.generations import Kept, Past, read_past, ref_of
from reconcile.mirror.model import Generation, ManifestRef
from reconcile.mirror.snapshot import keys
from reconcile.mirror.snapshot.chain import read_manifest
from reconcile.mirror.snapshot.encoding import SECOND, stamp_text
from reconcile.mirror.snapshot.gc import (
    KEPT,
    SKEW,
    SWEEP,
    Ages,
    Mark,
    Notice,
    Record,
    encode_notice,
    encode_record,
    needs,
    roots,
    sweep,
    unneeded,
)
from reconcile.mirror.snapshot.head import Header
from reconcile.mirror.snapshot.retention import Policy, kept
from reconcile.mirror.store.conditional import Verdict, demand, probe
from reconcile.mirror.store.port import Listed, Store

PROBE = "probe/"


def prove(store: Store) -> None:
    """Prove that conditional writes are honoured, and that what is deleted is gone.

    Raises:
        DeniedError: The key may not delete.
        StoreError: The store ignores conditional writes, or does not delete.
    """
    verdict: Verdict = probe(store, f"{PROBE}{uuid.uuid4()}")
    demand(verdict, single_writer=False)
    key = _scratch(store)
    store.delete([key])
    try:
        store.get(key)
    except MissingObjectError:
        return
    raise StoreError(
        f"the store says that it has deleted {key}, which is there still: nothing is collected on "
        "a store like that"
    )


def store_time(store: Store) -> float:
    """Return the store's own time in seconds since 1970, told by an object that is written now.

    Raises:
        StoreError: It could not be written or listed.
    """
    key = _scratch(store)
    modified = [listed.modified for listed in store.list(key) if listed.key == key]
    store.delete([key])
    if not modified:
        raise StoreError(f"{key} was written but is not listed: listings must be up to date")
    return modified[0]


def _scratch(store: Store) -> str:
    key = f"{PROBE}{uuid.uuid4()}"
    body = key.encode()
    store.put(key, [body], hashlib.sha256(body).hexdigest())
    return key


class Look(Struct, frozen=True):
    """What was found.

    Attributes:
        past: HEAD, headers, records.
        kept: The generations to keep, newest first.
        leaving: Those that the policy lets go.
        listing: All objects of the session.
        live: The keys of all that is needed.
    """

    past: Past
    kept: tuple[Generation, ...]
    leaving: tuple[Generation, ...]
    listing: tuple[Listed, ...]
    live: frozenset[str]

    def history(self) -> tuple[ManifestRef, ...]:
        """Return the last manifests of the generations to keep."""
        return tuple(each.chain[-1] for each in self.kept)


class Reach:
    """Looks as often as is asked; a manifest is read once, and whole, since it never changes."""

    def __init__(self, store: Store, policy: Policy) -> None:
        self._store = store
        self._policy = policy
        self._read: dict[str, tuple[Header, frozenset[str]]] = {}

    def look(self, ages: Ages) -> Look:
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
        past = read_past(self._store, self._header)
        _demand_whole(past)
        there = past.generations()
        numbers = kept(there.values(), self._policy)
        keeping = tuple(each for number, each in there.items() if number in numbers)
        leaving = tuple(each for number, each in there.items() if number not in numbers)
        counting = self._roots(past, listing, keeping, ages)
        live = frozenset(counting).union(*(self._needed(key) for key in counting))
        return Look(past, keeping, leaving, listing, live)

    def _roots(
        self, past: Past, listing: Iterable[Listed], keeping: Iterable[Generation], ages: Ages
    ) -> frozenset[str]:
        """Also count manifests beyond HEAD, however old: HEAD may be about to name them."""
        number = past.found.head.generation.number
        beyond = {key for key, header in past.headers.items() if header.generation > number}
        found = roots(listing, keeping, ages) | beyond
        return found | _chains(found, past.headers)

    def _needed(self, key: str) -> frozenset[str]:
        if key not in self._read:
            raise DamagedError(f"{key} is missing though a generation that is kept needs it")
        return self._read[key][1]

    def _header(self, listed: Listed) -> Header:
        key = listed.key
        if key not in self._read:
            data = self._store.get(key).body
            manifest = read_manifest(ref_of(key, len(data)), data)
            self._read[key] = manifest.header, frozenset(needs(manifest))
        return self._read[key][0]


def _chains(found: Iterable[str], headers: Mapping[str, Header]) -> frozenset[str]:
    """Return the manifests that others stand upon."""
    return frozenset(ref.key for key in found if key in headers for ref in headers[key].chain)


def _demand_whole(past: Past) -> None:
    if not past.troubles:
        return
    key, reason = next(iter(sorted(past.troubles.items())))
    raise DamagedError(
        f"{len(past.troubles)} objects cannot be read, such as {key}: {reason}. Nothing is deleted "
        "while it is not clear what is needed: `reconcile-mirror verify --all` says more"
    )


MIN_GRACE: Final = 3600.0
"""Seconds: writers rely so long on what they have stored but not committed."""

_BATCH: Final = 1000
_DELETE_WITHIN: Final = 60.0
"""Seconds after a notice in which a delete may still begin."""


class Rules(Struct, frozen=True):
    """What to keep, and for how long things must have been unneeded; times are in seconds."""

    policy: Policy
    grace: float
    skew: float = SKEW

    def ages(self, now: float) -> Ages:
        """Return what is young at that time."""
        return Ages(now, self.grace, self.skew)


class Collected(Struct, frozen=True):
    """What a collection did, or would do.

    Attributes:
        kept: Numbers of the generations that stay, newest first.
        leaving: Numbers of those that the policy lets go; their objects go later.
        unneeded: What nothing needs now; marked for later, but for what was deleted.
        deleted: What was deleted, or would be.
    """

    kept: tuple[int, ...]
    leaving: tuple[int, ...]
    unneeded: tuple[Listed, ...]
    deleted: tuple[Listed, ...]


def preview(store: Store, rules: Rules, clock: Clock) -> Collected:
    """Say what a collection would do now; only reads.

    Ages are told by this machine's clock. Raises as `Reach.look`.
    """
    ages = rules.ages(clock.time_ns() / SECOND)
    look = Reach(store, rules.policy).look(ages)
    return _collected(look, _due(look, ages))


class Collector:
    """Collects the garbage of one session."""

    def __init__(self, store: Store, rules: Rules, clock: Clock) -> None:
        self._store = store
        self._rules = rules
        self._clock = clock
        self._reach = Reach(store, rules.policy)

    def collect(self) -> Collected:
        """Delete what is due, and mark what may be due next time.

        Raises:
            DeniedError: The key may not delete.
            DamagedError: Something is damaged or missing, so nobody can say what is needed.
            UnknownFormatError: Another version has written here.
            StoreError: The store could not be asked, or is not fit for deletes.
        """
        prove(self._store)
        ages = self._ages()
        look = self._reach.look(ages)
        self._record(look)
        deleted: list[Listed] = []
        for due in _batches(_due(look, ages)):
            deleted += self._sweep(due)
        self._tidy(ages, deleted)
        return _collected(look, tuple(deleted))

    def _ages(self) -> Ages:
        return self._rules.ages(store_time(self._store))

    def _record(self, look: Look) -> None:
        """Remember what is kept, and mark what is not; nothing new needs no new record."""
        dead = unneeded(look.listing, look.live)
        known = {
            (each.key, each.modified) for kept in look.past.records for each in kept.record.dead
        }
        told = {ref.key for kept in look.past.records for ref in kept.record.history}
        history = {ref.key for ref in look.history()}
        if history <= told and {(each.key, each.modified) for each in dead} <= known:
            return
        record = Record(self._clock.time_ns(), look.history(), dead)
        self._put(keys.GC, encode_record(record))

    def _sweep(self, due: Sequence[Listed]) -> list[Listed]:
        """Announce deletes, look once more, and delete what is due still."""
        began = Since(self._clock)
        names = tuple(each.key for each in due)
        self._put(SWEEP, encode_notice(Notice(self._clock.time_ns(), names)))
        ages = self._ages()
        look = self._reach.look(ages)
        announced = set(names)
        still = [each for each in _due(look, ages) if each.key in announced]
        if began.seconds() > _DELETE_WITHIN:
            return []
        self._store.delete([each.key for each in still])
        return still

    def _tidy(self, ages: Ages, deleted: Sequence[Listed]) -> None:
        """Take away old notices and scratch objects, and records of which nothing is left."""
        look = self._reach.look(ages)
        old = Ages(ages.now, max(KEPT, ages.grace), ages.skew)
        stale = [each.key for each in self._store.list(SWEEP) if not old.is_young(each.modified)]
        stale += [each.key for each in self._store.list(PROBE) if not ages.is_young(each.modified)]
        self._store.delete([*stale, *_spent(look, {each.key for each in deleted})])

    def _put(self, prefix: str, body: bytes) -> None:
        """Write an object under a name that nobody else gives."""
        time = stamp_text(self._clock.time_ns())
        key = f"{prefix}{time}-{uuid.uuid4().hex[:16]}.json"
        self._store.put(key, [body], hashlib.sha256(body).hexdigest())


def _due(look: Look, ages: Ages) -> tuple[Listed, ...]:
    """Return what may be deleted now, manifests first: what they need must not go before them."""
    marks = (Mark(kept.listed.modified, kept.record.dead) for kept in look.past.records)
    names = {key for mark in marks for key in sweep(mark, look.listing, look.live, ages)}
    return tuple(sorted((each for each in look.listing if each.key in names), key=_manifests_first))


def _manifests_first(listed: Listed) -> tuple[bool, str]:
    return not listed.key.startswith(keys.MANIFESTS), listed.key


def _batches(due: Sequence[Listed]) -> Iterator[Sequence[Listed]]:
    for start in range(0, len(due), _BATCH):
        yield due[start : start + _BATCH]


def _spent(look: Look, gone: set[str]) -> list[str]:
    """Return records that another one makes needless: nothing that they mark waits for them.

    The newest stays. An older one goes if all that it marks is gone, needed or written again, and
    what it remembers is remembered by the newest.
    """
    records = sorted(look.past.records, key=_age)
    there = {(each.key, each.modified) for each in look.listing if each.key not in gone}
    return [
        kept.listed.key
        for kept in records[:-1]
        if not any(
            (each.key, each.modified) in there and each.key not in look.live
            for each in kept.record.dead
        )
        and _remembers(records[-1], kept, look)
    ]


def _remembers(newest: Kept, kept: Kept, look: Look) -> bool:
    known = {ref.key for ref in newest.record.history}
    return all(ref.key in known or ref.key not in look.past.headers for ref in kept.record.history)


def _age(kept: Kept) -> tuple[float, str]:
    return kept.listed.modified, kept.listed.key


def _collected(look: Look, deleted: tuple[Listed, ...]) -> Collected:
    return Collected(
        tuple(each.number for each in look.kept),
        tuple(each.number for each in look.leaving),
        unneeded(look.listing, look.live),
        deleted,
    )
