"""The plan of an import: which key becomes which path. Keys are untrusted."""

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.mirror.import_export.git_repos import is_binary_diff, split_patch
from reconcile.mirror.import_export.platform_layout import (
    CONFLICT_SUFFIX,
    list_repositories,
    plan_import_layout,
)
from reconcile.mirror.snapshot.encoding import check_path
from reconcile.mirror.store.port import ListedObject


def _laid(*keys):
    return plan_import_layout(ListedObject(key, 1, 0.0) for key in keys)


def _paths(layout):
    return {mapping.listed.key: mapping.path for mapping in layout.files}


@pytest.mark.parametrize(
    "key", ["../a", "a/../b", "/a", "a//b", "./a", "a/.", "", "a\0b", "x" * 256, "a/", "\ud800"]
)
def test_a_key_that_is_not_a_path_is_refused_with_the_reason(key):
    layout = _laid(key, "good")
    assert _paths(layout) == {"good": "good"}
    assert layout.refused[key]


def test_an_object_of_a_directory_becomes_a_directory():
    layout = plan_import_layout([ListedObject("a/b/", 0, 0.0)])
    assert layout.directories == ("a/b",)
    assert layout.files == ()


def test_a_file_with_the_name_of_a_directory_is_renamed():
    layout = _laid("a", "a/b", f"a{CONFLICT_SUFFIX}")
    assert _paths(layout) == {
        "a/b": "a/b",
        f"a{CONFLICT_SUFFIX}": f"a{CONFLICT_SUFFIX}",
        "a": f"a{CONFLICT_SUFFIX}{CONFLICT_SUFFIX}",
    }
    assert layout.renamed == {"a": f"a{CONFLICT_SUFFIX}{CONFLICT_SUFFIX}"}


def test_a_file_whose_new_name_is_too_long_is_refused():
    name = "x" * 255
    assert list(_laid(name, f"{name}/b").refused) == [name]


KEYS = st.lists(st.text("ab/.~file\0\n", max_size=12), unique=True)


@given(KEYS)
def test_any_keys_give_a_consistent_tree_and_none_is_dropped(keys):
    layout = _laid(*keys)
    paths = [mapping.path for mapping in layout.files]
    assert len(set(paths)) == len(paths)
    directories = set(layout.directories)
    for path in (*paths, *layout.directories):
        check_path(path)
        above = posixpath.dirname(path)
        while above:
            directories.add(above)
            above = posixpath.dirname(above)
    assert not directories & set(paths)
    assert {*_paths(layout), *layout.refused} == set(keys)


def test_repositories_are_directories_with_files():
    paths = ["repo-state/b/x", "repo-state/a/y/z", "repo-state/loose", "repos/c/x"]
    assert list_repositories(paths) == ["a", "b"]


@given(st.lists(st.sampled_from([b"diff --git a/x b/x\n", b"+diff --git\n", b" x\n", b"-y\n"])))
def test_a_split_patch_has_all_its_lines(lines):
    patch = b"".join(lines)
    parts = split_patch(patch)
    assert b"".join(parts) == patch
    assert sum(part.startswith(b"diff --git ") for part in parts) == lines.count(
        b"diff --git a/x b/x\n"
    )


def test_a_binary_diff_without_bytes_is_recognized():
    assert is_binary_diff(b"diff --git a/x b/x\nBinary files a/x and b/x differ\n")
    assert not is_binary_diff(b"diff --git a/x b/x\n+Binary files a/x and b/x differ\n")
