"""An index matches exactly the scan that it was built from."""

import errno
from array import array
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from reconcile.mirror.errors import WorkspaceError
from reconcile.mirror.index import build_index, load_index, save_index
from reconcile.mirror.local_state import StateDirectory
from reconcile.mirror.workspace.walk import FileStat

NUMBERS = st.integers(0, 2**63 - 1)
NAMES = st.text(st.characters(exclude_characters="\0/", codec="utf-8"), min_size=1) | st.just(
    "odd\udcff"
)
SEEN = st.builds(
    FileStat, NAMES, NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.integers(0, 2**64 - 1), NUMBERS, NUMBERS
)
WALKS = st.lists(SEEN, unique_by=lambda one: one.path).map(
    lambda seen: sorted(seen, key=lambda one: one.path)
)
ONE = FileStat("a", 0o100644, 1, 2, 3, 4, 5, 1)


@pytest.fixture
def state(tmp_path):
    return StateDirectory(tmp_path / "state")


@given(WALKS)
def test_a_saved_index_matches_the_same_scan(tmp_path_factory, seen):
    state = StateDirectory(tmp_path_factory.mktemp("state"))
    save_index(state, build_index("", seen))
    index = load_index(state)
    assert index.matches(seen)
    assert list(index.unchanged_flags(seen)) == [1] * len(seen)


@pytest.mark.parametrize(
    "field", ["path", "mode", "size", "mtime", "ctime", "inode", "device", "links"]
)
def test_a_difference_in_any_field_is_a_change(field):
    index = build_index("", [ONE])
    changed: dict[str, Any] = {field: "b" if field == "path" else 99}
    other = replace(ONE, **changed)
    assert not index.matches([other])
    assert list(index.unchanged_flags([other])) == [0]


def test_an_uncommitted_entry_is_never_unchanged():
    other = replace(ONE, path="b")
    index = build_index("", [ONE, other], uncommitted=[1])
    assert not index.matches([ONE, other])
    assert list(index.unchanged_flags([ONE, other])) == [1, 0]


def test_new_and_deleted_entries_do_not_affect_the_others():
    walk = [replace(ONE, path=name) for name in "abcde"]
    index = build_index("", [walk[0], walk[2], walk[4]])
    assert list(index.unchanged_flags(walk)) == [1, 0, 1, 0, 1]
    assert list(index.unchanged_flags(walk[2:3])) == [1]


@pytest.mark.parametrize("keep", [0, 10, 30, -1])
def test_a_truncated_index_is_ignored(state, keep):
    save_index(state, build_index("f" * 64, [ONE]))
    state.write(state.index_path, state.read(state.index_path)[:keep])
    assert load_index(state) is None


def test_a_missing_index_is_not_an_error(state):
    assert load_index(state) is None


def test_columns_have_64_bits():
    assert array("q").itemsize == 8


def test_what_does_not_exist_needs_no_removal_from_a_read_only_file_system(state, monkeypatch):
    def refuse(_path, **_options):
        raise OSError(errno.EROFS, "Read-only file system")

    state.write(state.shutdown_path, b"")
    monkeypatch.setattr(Path, "unlink", refuse)
    state.remove(state.index_path)
    with pytest.raises(WorkspaceError, match="Read-only"):
        state.remove(state.shutdown_path)
