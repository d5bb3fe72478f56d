from hypothesis import given
from hypothesis import strategies as st

from reconcile.mirror.model import File, LooseBlobs, Pack, PackedBlob, SnapshotTree
from reconcile.mirror.snapshot.keys import pack_key
from reconcile.mirror.snapshot.repack import (
    DEFAULT_REPACK_POLICY,
    NEVER_REPACK,
    BlobMove,
    RepackPolicy,
    apply_blob_moves,
    count_live_bytes,
    plan_blob_moves,
)
from tests.mirror.snapshot import random_trees
from tests.mirror.snapshot.random_trees import PACK_SIZE, object_keys, pack, sha


def small(path, number, offset, size=512):
    return File(path, 0, 0, size, (sha(path),), PackedBlob(number, offset))


def tree(*files):
    return SnapshotTree({each.path: each for each in files}, {1: pack(1), 2: pack(2)})


def test_members_are_counted_once_with_their_headers_and_padding():
    copy = File("z", 0, 0, 100, (sha("a"),), PackedBlob(1, 512))
    found = count_live_bytes(tree(small("a", 1, 512, 100), small("b", 1, 2048, 512), copy))
    assert found == {1: 2048, 2: 0}


def test_a_sparse_pack_is_repacked():
    full = [small(f"f{n}", 2, 512 + 1024 * n) for n in range(30)]
    found = plan_blob_moves(
        tree(small("a", 1, 4096), small("b", 1, 512), *full), RepackPolicy(min_freed_bytes=1)
    )
    assert found == (BlobMove(sha("b"), pack(1), 512, 512), BlobMove(sha("a"), pack(1), 4096, 512))


def test_nothing_is_moved_if_too_little_would_be_freed():
    assert (
        plan_blob_moves(tree(small("a", 1, 512)), RepackPolicy(min_freed_bytes=2 * PACK_SIZE)) == ()
    )
    assert plan_blob_moves(SnapshotTree()) == ()


def test_a_moved_blob_is_in_its_new_pack_and_the_old_one_is_not_needed():
    before = tree(small("a", 1, 512), File("c", 0, 0, 5, (sha("c"),), LooseBlobs()))
    after = apply_blob_moves(before, {sha("a"): PackedBlob(3, 512)}, [pack(3)])
    assert after.entries["a"].location == PackedBlob(3, 512)
    assert after.entries["c"] is before.entries["c"]
    assert pack_key(pack(1).digest) not in object_keys(after)


def single(number, size):
    """Return a file and its pack of that size, which has no other member."""
    path = f"f{number:03}"
    return (
        File(path, 0, 0, size - 3 * 512, (sha(path),), PackedBlob(number, 512)),
        Pack(number, sha(f"single {number}"), size),
    )


def many(*sizes):
    found = [single(number, size) for number, size in enumerate(sizes, 1)]
    files = {file.path: file for file, _ in found}
    return SnapshotTree(files, {pack.number: pack for _, pack in found})


def numbers(found):
    return [move.pack.number for move in found]


def test_small_packs_are_repacked_above_the_maximum():
    assert plan_blob_moves(many(*[2048] * DEFAULT_REPACK_POLICY.max_small_packs)) == ()
    assert numbers(
        plan_blob_moves(many(*[2048] * 33, DEFAULT_REPACK_POLICY.small_pack_size, 8 << 20))
    ) == [*range(1, 34)]


def test_unneeded_small_packs_do_not_count():
    found = many(*[2048] * 40)
    few = {path: file for path, file in found.entries.items() if file.location.pack <= 32}
    assert plan_blob_moves(SnapshotTree(few, found.packs)) == ()


def test_a_repack_reads_the_smallest_packs_within_its_limits():
    sizes = [900 << 10, 2048, 800 << 10, 4096]
    some = RepackPolicy(max_small_packs=1, max_read_bytes=(800 << 10) + 8192)
    assert numbers(plan_blob_moves(many(*sizes), some)) == [2, 3, 4]
    assert numbers(plan_blob_moves(many(*sizes), RepackPolicy(max_small_packs=1, max_packs=2))) == [
        2,
        4,
    ]


def test_sparse_packs_wait_until_they_waste_enough_together():
    packs = {number: Pack(number, sha(f"sparse {number}"), 8 << 20) for number in range(1, 10)}
    files = [small(f"f{number}", number, 512) for number in packs]
    found = {file.path: file for file in files}
    assert plan_blob_moves(SnapshotTree(dict(list(found.items())[:8]), packs)) == ()
    assert numbers(plan_blob_moves(SnapshotTree(found, packs))) == [*range(1, 9)]


@given(random_trees.trees())
def test_the_policy_never_repack_moves_nothing(tree):
    assert plan_blob_moves(tree, NEVER_REPACK) == ()


@given(random_trees.trees(), st.integers(0, 3))
def test_moves_are_needed_unique_and_in_order(before, most):
    found = plan_blob_moves(before, RepackPolicy(max_small_packs=most, min_freed_bytes=0))
    assert [*found] == sorted({*found}, key=lambda move: (move.pack.number, move.offset))
    places = {(e.location.pack, e.location.offset) for e in before.entries.values() if packed(e)}
    assert {(move.pack.number, move.offset) for move in found} <= places


def packed(entry):
    return isinstance(entry, File) and isinstance(entry.location, PackedBlob)


@given(random_trees.trees())
def test_moving_changes_only_locations(before):
    found = plan_blob_moves(before, RepackPolicy(min_freed_bytes=0, max_small_packs=0))
    after = apply_blob_moves(
        before, {move.digest: PackedBlob(9, move.offset) for move in found}, [pack(9)]
    )
    assert after.entries.keys() == before.entries.keys()
    for path, entry in after.entries.items():
        was = before.entries[path]
        if isinstance(entry, File):
            assert (entry.blobs, entry.size, entry.mode) == (was.blobs, was.size, was.mode)
        else:
            assert entry is was
