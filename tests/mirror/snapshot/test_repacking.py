from hypothesis import given

from reconcile.mirror.model import Alone, File, Packed, Tree
from reconcile.mirror.snapshot.keys import pack_key
from reconcile.mirror.snapshot.places import object_keys
from reconcile.mirror.snapshot.repacking import Move, live_bytes, moved, moves
from tests.mirror.snapshot import trees
from tests.mirror.snapshot.trees import PACK_SIZE, pack, sha


def small(path, number, offset, size=512):
    return File(path, 0, 0, size, (sha(path),), Packed(number, offset))


def tree(*files):
    return Tree({each.path: each for each in files}, {1: pack(1), 2: pack(2)})


def test_members_are_counted_once_with_their_headers_and_padding():
    copy = File("z", 0, 0, 100, (sha("a"),), Packed(1, 512))
    found = live_bytes(tree(small("a", 1, 512, 100), small("b", 1, 2048, 512), copy))
    assert found == {1: 2048, 2: 0}


def test_a_pack_with_little_that_is_needed_is_packed_anew():
    full = [small(f"f{n}", 2, 512 + 1024 * n) for n in range(30)]
    found = moves(tree(small("a", 1, 4096), small("b", 1, 512), *full), least_freed=1)
    assert found == (Move(sha("b"), pack(1), 512, 512), Move(sha("a"), pack(1), 4096, 512))


def test_nothing_is_moved_where_too_little_would_be_freed():
    assert moves(tree(small("a", 1, 512)), least_freed=2 * PACK_SIZE) == ()
    assert moves(Tree()) == ()


def test_what_was_moved_is_read_from_its_new_pack_and_the_old_one_is_not_needed():
    before = tree(small("a", 1, 512), File("c", 0, 0, 5, (sha("c"),), Alone()))
    after = moved(before, {sha("a"): Packed(3, 512)}, [pack(3)])
    assert after.entries["a"].place == Packed(3, 512)
    assert after.entries["c"] is before.entries["c"]
    assert pack_key(pack(1).digest) not in object_keys(after)


@given(trees.trees())
def test_moving_changes_nothing_but_places(before):
    found = moves(before, least_freed=0)
    after = moved(before, {move.digest: Packed(9, move.offset) for move in found}, [pack(9)])
    assert after.entries.keys() == before.entries.keys()
    for path, entry in after.entries.items():
        was = before.entries[path]
        if isinstance(entry, File):
            assert (entry.blobs, entry.size, entry.mode) == (was.blobs, was.size, was.mode)
        else:
            assert entry is was
