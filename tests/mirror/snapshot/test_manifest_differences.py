from hypothesis import given

from reconcile.mirror.model import SnapshotTree
from reconcile.mirror.snapshot.manifest import diff_trees
from tests.mirror.snapshot import random_trees


@given(random_trees.trees())
def test_a_tree_does_not_differ_from_itself(tree):
    assert not diff_trees(tree, SnapshotTree(dict(tree.entries), {}))


@given(random_trees.trees(), random_trees.trees())
def test_differences_lead_from_one_tree_to_the_other(before, after):
    found = diff_trees(before, after)
    entries = {path: entry for path, entry in before.entries.items() if path not in found.removed}
    assert not {entry.path for entry in found.added} & before.entries.keys()
    assert {entry.path for entry in found.changed} <= before.entries.keys()
    entries |= {entry.path: entry for entry in (*found.added, *found.changed)}
    assert entries == after.entries
    assert bool(found) == (before.entries != after.entries)
