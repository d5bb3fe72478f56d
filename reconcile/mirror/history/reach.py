"""One look at a whole prefix: what is there, and what of it is needed."""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from reconcile.mirror.errors import DamagedError
from reconcile.mirror.history.generations import Past, read_past, ref_of
from reconcile.mirror.model import Generation, ManifestRef
from reconcile.mirror.snapshot import keys
from reconcile.mirror.snapshot.chain import read_manifest
from reconcile.mirror.snapshot.gc import Ages, needs, roots
from reconcile.mirror.snapshot.head import Header
from reconcile.mirror.snapshot.retention import Policy, kept
from reconcile.mirror.store.port import Listed, Store


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
