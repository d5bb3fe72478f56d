"""Garbage collection against a model: any order of commits, failures, collections and waiting."""

import hashlib
import zlib
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from reconcile.mirror.model import (
    Directory,
    File,
    Generation,
    LooseBlobs,
    PackedBlob,
    SnapshotTree,
    Writer,
)
from reconcile.mirror.snapshot import chain, keys
from reconcile.mirror.snapshot.gc import (
    GarbageMark,
    GcRecord,
    GracePeriods,
    decode_gc_record,
    encode_gc_record,
    find_deletable,
    find_garbage,
    find_roots,
    iter_referenced_keys,
)
from reconcile.mirror.snapshot.manifest import decode_manifest
from reconcile.mirror.snapshot.pack import PackWriter
from reconcile.mirror.snapshot.retention import (
    RetentionPolicy,
    build_generation,
    find_committed,
    select_generations_to_keep,
)
from reconcile.mirror.store.port import ListedObject
from tests.mirror.snapshot.manifest_builders import next_manifest
from tests.mirror.snapshot.random_trees import object_keys, sha

WRITER = Writer("uid", 1, "pod")
GRACE = 100.0
SKEW = 10.0


@dataclass
class Session:
    """The objects of one session, each with the store's time, and its committed generations."""

    now: float = 1000.0
    objects: dict[str, tuple[bytes, float]] = field(default_factory=dict)
    generation: Generation = field(default_factory=lambda: Generation(0, 0, ()))
    tree: SnapshotTree = field(default_factory=SnapshotTree)
    history: dict[int, tuple[Generation, SnapshotTree]] = field(default_factory=dict)
    records: int = 0

    def put(self, key, body):
        self.objects[key] = (body, self.now)

    def listing(self):
        return [
            ListedObject(key, len(body), at) for key, (body, at) in sorted(self.objects.items())
        ]

    def write(self, names, write):
        """Upload a generation without a commit."""
        packs = PackWriter(chain.next_pack_number(self.tree))
        for name in names:
            packs.add(sha(f"small {name}"), f"small {name}".encode())
        [pack] = packs.finish() or [None]
        entries = {f"l{n}": self._large(f"l{n}", n) for n in names if n % 2}
        found = dict(self.tree.packs)
        if pack:
            self.put(keys.pack_key(pack.build_pack().digest), bytes(pack.body))
            found[pack.number] = pack.build_pack()
            for name in names:
                digest = sha(f"small {name}")
                place = PackedBlob(pack.number, pack.offsets[digest])
                entries[f"s{name}"] = File(f"s{name}", 0, 0, len(f"small {name}"), (digest,), place)
        kept_entries = {p: e for p, e in self.tree.entries.items() if zlib.crc32(p.encode()) % 3}
        entries = dict(sorted({**kept_entries, **entries}.items()))
        stamp = chain.CommitInfo(int(self.now * 10**9), WRITER)
        how = write if self.generation.chain else next_manifest
        written = how(self.generation, stamp, self.tree, SnapshotTree(entries, found))
        self.put(written.ref.key, written.body)
        return written

    def _large(self, path, number):
        digest = sha(f"large {number}")
        self.put(keys.blob_key(digest), f"large {number}".encode())
        return File(path, 0, 0, 5, (digest,), LooseBlobs())

    def commit(self, names, write):
        written = self.write(names, write)
        self.generation, self.tree = written.generation, written.tree
        self.history[self.generation.number] = (written.generation, written.tree)

    def live(self, policy, ages):
        """Return the live keys, the last manifests and the numbers of the kept generations."""
        manifests = {
            k: decode_manifest(b)
            for k, (b, _) in self.objects.items()
            if k.startswith("manifests/")
        }
        headers = {key: manifest.header for key, manifest in manifests.items()}
        records = [decode_gc_record(b) for k, (b, _) in self.objects.items() if k.startswith("gc/")]
        remembered = [ref for record in records for ref in record.history]
        known = find_committed(self.generation, headers, remembered)
        generations = [build_generation(ref, headers[key]) for key, ref in known.items()]
        assert {g.number: g for g in generations}.items() <= {
            number: generation for number, (generation, _) in self.history.items()
        }.items()
        numbers = select_generations_to_keep(generations, policy)
        chosen = [g for g in generations if g.number in numbers]
        counting = find_roots(self.listing(), chosen, ages)
        waiting, live = list(counting), set()
        while waiting:
            key = waiting.pop()
            if key not in live:
                live.add(key)
                waiting += iter_referenced_keys(manifests[key]) if key in manifests else ()
        return live, [known[g.chain[-1].key] for g in chosen], numbers

    def collect(self, policy):
        """Delete what older records allow, then write a new record."""
        ages = GracePeriods(self.now, GRACE, SKEW)
        live, history, numbers = self.live(policy, ages)
        for key in [key for key in self.objects if key.startswith("gc/")]:
            body, written = self.objects[key]
            for dead in find_deletable(
                GarbageMark(written, decode_gc_record(body).dead), self.listing(), live, ages
            ):
                del self.objects[dead]
        self.records += 1
        record = GcRecord(int(self.now), tuple(history), find_garbage(self.listing(), live))
        self.put(f"gc/{self.records}.json", encode_gc_record(record))
        return numbers

    def assert_whole(self, number):
        generation, tree = self.history[number]
        found = chain.replay_chain((ref, self.objects[ref.key][0]) for ref in generation.chain)
        assert found.entries == tree.entries
        for key in object_keys(found):
            assert key in self.objects, f"generation {number} lacks {key}"


WRITES = st.sampled_from(
    [next_manifest, chain.new_delta, lambda g, s, _, t: chain.new_base(g, s, t)]
)
names = st.lists(st.integers(0, 9), max_size=4, unique=True)
steps = st.one_of(
    st.tuples(st.just("commit"), names, WRITES),
    st.tuples(st.just("fail"), names, WRITES),
    st.tuples(st.just("wait"), st.sampled_from([1.0, 60.0, 300.0]), st.none()),
    st.tuples(st.just("collect"), st.builds(RetentionPolicy, *[st.integers(0, 3)] * 3), st.none()),
)


@given(st.lists(steps, max_size=25))
@settings(max_examples=150)
def test_no_kept_generation_ever_lacks_anything(todo):
    session = Session()
    for what, value, write in todo:
        match what:
            case "commit":
                session.commit(value, write)
            case "fail":
                session.write(value, write)
            case "wait":
                session.now += value
            case "collect":
                for number in session.collect(value):
                    session.assert_whole(number)
        if session.history:
            session.assert_whole(max(session.history))


def aged(session, policy):
    """Run two collections with enough time before each."""
    for _ in range(2):
        session.now += 10 * GRACE
        session.collect(policy)
    session.now += 10 * GRACE


def test_unneeded_objects_are_deleted_after_two_collections():
    session = Session()
    session.write([1, 2, 3], next_manifest)
    for number in range(4):
        session.now += 1
        session.commit([number], lambda g, s, _, t: chain.new_base(g, s, t))
    aged(session, RetentionPolicy(1, 0, 0))
    manifests = [key for key in session.objects if key.startswith("manifests/")]
    assert manifests == [session.generation.chain[-1].key]
    stored = {key for key in session.objects if key.startswith(("packs/", "blobs/"))}
    assert stored == object_keys(session.tree)


def test_generations_before_a_gap_are_still_committed():
    session = Session()
    for number in range(9):
        session.now = 3600.0 * (number // 3 + 1) + number
        session.commit([number], lambda g, s, _, t: chain.new_base(g, s, t))
    policy = RetentionPolicy(1, 9, 0)
    aged(session, policy)
    manifests = [key for key in session.objects if key.startswith("manifests/")]
    assert [keys.manifest_generation(key) for key in manifests] == [3, 6, 9]
    assert session.collect(policy) == {3, 6, 9}


LISTED = ListedObject(keys.blob_key(sha("dead")), 5, 0.0)
MARK = GarbageMark(1000.0, (LISTED,))


@pytest.mark.parametrize(
    ("now", "listing", "live", "swept"),
    [
        (1110.0, [LISTED], set(), (LISTED.key,)),
        (1109.9, [LISTED], set(), ()),
        (9999.0, [LISTED], {LISTED.key}, ()),
        (9999.0, [], set(), ()),
        (9999.0, [replace(LISTED, modified=1001.0)], set(), ()),
        (9999.0, [replace(LISTED, key=keys.blob_key(sha("new")))], set(), ()),
    ],
    ids=[
        "after the grace period",
        "within it",
        "needed again",
        "gone",
        "written again",
        "unmarked",
    ],
)
def test_only_objects_that_were_garbage_for_the_grace_period_are_deleted(now, listing, live, swept):
    assert find_deletable(MARK, listing, live, GracePeriods(now, GRACE, SKEW)) == swept


def test_objects_outside_the_format_are_never_marked():
    foreign_keys = [
        "HEAD",
        "gc/x.json",
        "notes.txt",
        "packs/readme",
        f"blobs/{sha('x')}.bak",
        "blobs/",
    ]
    assert find_garbage([ListedObject(key, 1, 0.0) for key in foreign_keys], set()) == ()


def test_a_young_manifest_is_a_root():
    key = keys.manifest_key(9, sha("m"))
    listing = [ListedObject(key, 1, 50.0), ListedObject(keys.pack_key(sha("p")), 1, 50.0)]
    assert find_roots(listing, [], GracePeriods(100.0, GRACE, SKEW)) == {key}
    assert find_roots(listing, [], GracePeriods(160.0, GRACE, SKEW)) == set()


def test_a_directory_needs_no_object():
    written = next_manifest(
        Generation(0, 0, ()),
        chain.CommitInfo(0, WRITER),
        SnapshotTree(),
        SnapshotTree({"d": Directory("d", 0, 0)}),
    )
    assert list(iter_referenced_keys(decode_manifest(written.body))) == []
    assert written.ref.digest == hashlib.sha256(written.body).hexdigest()
