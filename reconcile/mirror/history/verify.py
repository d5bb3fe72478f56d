"""Reads every object that generations need and checks it by its digest.

Which generations a `verify` is about, and what it finds.
"""

import hashlib
import threading
from collections import defaultdict
from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from reconcile.mirror.concurrency import Job, Lanes, Limit
from reconcile.mirror.errors import DamagedError, UnknownFormatError
from reconcile.mirror.history.generations import choose, read_object, read_past, read_tree
from reconcile.mirror.model import File, Generation, Pack, Packed, Tree
from reconcile.mirror.snapshot.keys import blob_key, pack_key
from reconcile.mirror.snapshot.pack import Member, read_member, verify_pack
from reconcile.mirror.store.port import Store
from reconcile.mirror.wiring import Opened


class Damage(Struct, frozen=True):
    """An object that is missing, altered or malformed, and what that takes away.

    `paths` are those that cannot be restored, in order; none where a manifest is damaged, which
    takes all of its generations.
    """

    key: str
    reason: str
    generations: tuple[int, ...]
    paths: tuple[str, ...]


class Verified(Struct, frozen=True):
    """What was read, and what of it is damaged."""

    generations: tuple[int, ...]
    objects: int
    size: int
    damages: tuple[Damage, ...]


class Verifier:
    """Looks at generations one by one, and at each object once."""

    def __init__(self, store: Store, lanes: Lanes, limit: Limit) -> None:
        self._store = store
        self._lanes = lanes
        self._limit = limit
        self._lock = threading.Lock()
        self._packs: dict[str, Pack] = {}
        self._members: dict[str, dict[Member, set[str]]] = defaultdict(lambda: defaultdict(set))
        self._blobs: dict[str, set[str]] = defaultdict(set)
        self._needed: dict[str, set[int]] = defaultdict(set)
        self._found: dict[str, tuple[str, set[str]]] = {}
        self._objects = 0
        self._size = 0

    def verify(self, generations: Iterable[Generation]) -> Verified:
        """Read all; StoreError if the store could not be asked."""
        numbers = [self._learn(each) for each in generations]
        for pack in self._packs.values():
            self._lanes.run(self._pack(pack), self._limit)
        for digest in self._blobs:
            self._lanes.run(self._blob(digest), self._limit)
        self._lanes.drain(self._limit)
        damages = (
            Damage(key, reason, tuple(sorted(self._needed[key])), tuple(sorted(paths)))
            for key, (reason, paths) in sorted(self._found.items())
        )
        return Verified(tuple(numbers), self._objects, self._size, tuple(damages))

    def _learn(self, generation: Generation) -> int:
        for ref in generation.chain:
            if not self._needed[ref.key]:
                self._objects += 1
                self._size += ref.size
            self._needed[ref.key].add(generation.number)
        try:
            self._note(generation.number, read_tree(self._store, generation))
        except (DamagedError, UnknownFormatError) as error:
            self._found[_named(str(error), generation)] = (str(error), set())
        return generation.number

    def _note(self, number: int, tree: Tree) -> None:
        for pack in tree.packs.values():
            self._packs[pack.digest] = pack
            self._needed[pack_key(pack.digest)].add(number)
        for entry in tree.entries.values():
            if isinstance(entry, File):
                self._note_file(number, entry, tree)

    def _note_file(self, number: int, file: File, tree: Tree) -> None:
        if isinstance(file.place, Packed):
            digest = tree.packs[file.place.pack].digest
            member = Member(file.blobs[0], file.place.offset, file.size)
            self._members[digest][member].add(file.path)
            return
        for blob in file.blobs:
            self._blobs[blob].add(file.path)
            self._needed[blob_key(blob)].add(number)

    def _pack(self, pack: Pack) -> Job:
        def look() -> None:
            key = pack_key(pack.digest)
            members = self._members[pack.digest]
            everything = set[str]().union(*members.values())
            try:
                data = read_object(self._store, key)
                self._count(data)
                verify_pack(pack, data)
            except DamagedError as error:
                self._blame(key, str(error), everything)
                return
            self._look_inside(key, data, members)

        return look

    def _look_inside(self, key: str, data: bytes, members: dict[Member, set[str]]) -> None:
        for member, paths in members.items():
            try:
                found = read_member(data, member)
                _check_digest(key, found, member.digest)
            except DamagedError as error:
                self._blame(key, str(error), paths)

    def _blob(self, digest: str) -> Job:
        def look() -> None:
            key = blob_key(digest)
            try:
                data = read_object(self._store, key)
                self._count(data)
                _check_digest(key, data, digest)
            except DamagedError as error:
                self._blame(key, str(error), self._blobs[digest])

        return look

    def _count(self, data: bytes) -> None:
        with self._lock:
            self._objects += 1
            self._size += len(data)

    def _blame(self, key: str, reason: str, paths: set[str]) -> None:
        with self._lock:
            first, known = self._found.get(key, (reason, set()))
            self._found[key] = (first, known | paths)


def _check_digest(key: str, data: bytes | memoryview, digest: str) -> None:
    found = hashlib.sha256(data).hexdigest()
    if found != digest:
        raise DamagedError(f"{key} was altered: what is blob {digest} has the SHA-256 {found}")


def _named(reason: str, generation: Generation) -> str:
    """Return the manifest that an error speaks of."""
    for ref in generation.chain:
        if ref.key in reason:
            return ref.key
    return generation.chain[-1].key


def check(means: Opened, at: str, *, everything: bool) -> Verified:
    """Verify the generation that `at` means, or all.

    With all also what cannot be read as a manifest or record counts as damaged. Raises as `choose`.
    """
    verifier = Verifier(means.store, means.lanes, Limit(means.clock))
    if not everything:
        chosen = choose(means.store, at)
        return verifier.verify([chosen] if chosen.number else [])
    past = read_past(means.store)
    found = verifier.verify(past.generations().values())
    known = {damage.key for damage in found.damages}
    more = (
        Damage(key, reason, (), ())
        for key, reason in sorted(past.troubles.items())
        if key not in known
    )
    return replace(found, damages=(*found.damages, *more))
