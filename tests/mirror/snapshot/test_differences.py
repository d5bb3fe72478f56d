from hypothesis import given
from msgspec.structs import replace

from reconcile.mirror.model import Alone, File, Packed, Tree
from reconcile.mirror.snapshot.differences import compare
from reconcile.mirror.snapshot.keys import blob_key, pack_key
from reconcile.mirror.snapshot.places import Places, object_keys, places
from tests.mirror.snapshot import trees
from tests.mirror.snapshot.trees import pack, sha

A, B, C = sha("a"), sha("b"), sha("c")
PACKED = File("p", 0o644, 0, 9, (A,), Packed(1, 512))
ALONE = File("q", 0o644, 0, 9 << 20, (B, C), Alone())
TREE = Tree({"p": PACKED, "q": ALONE}, {1: pack(1), 2: pack(2)})


@given(trees.trees())
def test_a_tree_does_not_differ_from_itself(tree):
    assert not compare(tree, Tree(dict(tree.entries), {}))


@given(trees.trees(), trees.trees())
def test_differences_lead_from_one_tree_to_the_other(before, after):
    found = compare(before, after)
    entries = {path: entry for path, entry in before.entries.items() if path not in found.gone}
    assert not {entry.path for entry in found.added} & before.entries.keys()
    assert {entry.path for entry in found.changed} <= before.entries.keys()
    entries |= {entry.path: entry for entry in (*found.added, *found.changed)}
    assert entries == after.entries
    assert bool(found) == (before.entries != after.entries)


def test_a_new_mode_a_new_name_and_a_copy_need_no_new_object():
    known = places(TREE)
    assert known.find((A,)) == Packed(1, 512)
    assert known.find((B, C)) == Alone()
    assert known.find((B,)) == Alone()
    assert known.find(()) == Alone()
    renamed = replace(PACKED, path="z", mode=0o600, mtime=5)
    assert object_keys(Tree({"z": renamed}, TREE.packs)) <= object_keys(TREE)


def test_a_grown_file_needs_its_new_chunk_alone():
    assert places(TREE).find((B, sha("new"))) is None
    grown = replace(ALONE, size=17 << 20, blobs=(B, sha("new"), sha("more")))
    after = Tree({**TREE.entries, "q": grown}, TREE.packs)
    assert object_keys(after) - object_keys(TREE) == {blob_key(sha("new")), blob_key(sha("more"))}


def test_a_chunk_that_is_only_in_a_pack_must_be_stored_alone():
    assert places(TREE).find((A, B)) is None
    assert Places({}, frozenset()).find((A,)) is None


def test_only_packs_that_something_lies_in_are_needed():
    assert object_keys(TREE) == {pack_key(pack(1).digest), blob_key(B), blob_key(C)}
