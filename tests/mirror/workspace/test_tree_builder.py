"""Descendants of a directory are found by path components, not by text prefixes."""

import pytest

from reconcile.mirror.backup.tree_builder import DescendantFilter


@pytest.mark.parametrize(
    ("roots", "inside"),
    [
        ([], set()),
        (["a"], {"a/b", "a/b/c"}),
        (["a/b"], {"a/b/c"}),
        ([""], {"a", "a/b", "a/b/c", "a-b", "a-b/c"}),
        (["a", "a-b"], {"a/b", "a/b/c", "a-b/c"}),
    ],
)
def test_paths_below_roots_are_recognized(roots, inside):
    below = DescendantFilter(roots)
    paths = ["a", "a-b", "a-b/c", "a/b", "a/b/c"]
    assert {path for path in paths if path in below} == inside
