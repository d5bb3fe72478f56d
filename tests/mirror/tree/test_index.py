"""The index knows what has not changed, and forgets whatever it cannot trust."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.mirror.errors import MirrorError
from reconcile.mirror.tree.index import Index
from reconcile.mirror.tree.walk import Seen

NOW = 1_700_000_100_000_000_001
OLD = 1_700_000_000_123_456_789
FILE = Seen("a/b", 0o100644, 5, OLD, OLD, 77, 1, 1)
DIGEST = "ab" * 32


def saved(tmp_path: Path, *rows: tuple[Seen, tuple[str, ...]], now: int = NOW) -> Index:
    index = Index()
    for seen, blobs in rows:
        index.put(seen, blobs)
    index.save(tmp_path / "index", [seen for seen, _ in rows], now)
    return Index.load(tmp_path / "index")


def test_digests_survive_a_restart(tmp_path: Path):
    large = replace(FILE, path="large\n\udcff", size=20 << 20, inode=(1 << 64) - 1)
    empty = replace(FILE, path="empty", size=0)
    blobs = (DIGEST, "cd" * 32, DIGEST)
    index = saved(tmp_path, (FILE, (DIGEST,)), (empty, ()), (large, blobs))
    assert index.blobs(FILE) == (DIGEST,)
    assert index.blobs(empty) == ()
    assert index.blobs(large) == blobs
    assert len(index) == 3


@pytest.mark.parametrize(
    "change", [{"size": 6}, {"mtime": OLD + 1}, {"ctime": OLD + 1}, {"inode": 78}, {"path": "a/c"}]
)
def test_whatever_differs_must_be_hashed_again(tmp_path: Path, change):
    other = replace(FILE, **change)
    assert saved(tmp_path, (FILE, (DIGEST,))).blobs(other) is None
    index = Index()
    index.put(FILE, (DIGEST,))
    assert index.blobs(other) is None


def test_what_was_hashed_last_counts_and_what_the_walk_did_not_see_is_forgotten(tmp_path: Path):
    index = saved(tmp_path, (FILE, (DIGEST,)), (replace(FILE, path="gone"), (DIGEST,)))
    newer = replace(FILE, size=6)
    index.put(newer, ("ef" * 32,))
    assert index.blobs(FILE) is None
    index.save(tmp_path / "index", [newer, replace(FILE, path="unhashed")], NOW)
    for known in (index, Index.load(tmp_path / "index")):
        assert known.blobs(newer) == ("ef" * 32,)
        assert len(known) == 1


def test_a_file_that_changed_in_this_very_tick_is_not_remembered(tmp_path: Path):
    for age, kept in ((0, False), (1_000_000, False), (30_000_000, True), (-5, True)):
        racy = replace(FILE, ctime=NOW - age)
        assert (saved(tmp_path, (racy, (DIGEST,))).blobs(racy) is not None) is kept
    whole = replace(FILE, ctime=NOW // 10**9 * 10**9)
    assert saved(tmp_path, (whole, (DIGEST,)), now=NOW + 10**9).blobs(whole) is None


def test_an_empty_index_is_saved_and_read(tmp_path: Path):
    assert len(saved(tmp_path)) == 0
    assert (tmp_path / "index").exists()


def test_no_index_is_an_empty_one(tmp_path: Path):
    assert len(Index.load(tmp_path / "missing")) == 0
    assert len(Index.load(tmp_path)) == 0


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_damaged_index_is_forgotten_whole(tmp_path_factory, at: int, change: int):
    folder = tmp_path_factory.mktemp("index")
    saved(folder, (FILE, (DIGEST,)))
    data = bytearray((folder / "index").read_bytes())
    data[at % len(data)] ^= change
    (folder / "index").write_bytes(data)
    assert len(Index.load(folder / "index")) == 0
    (folder / "index").write_bytes(bytes(data)[: at % len(data)])
    assert len(Index.load(folder / "index")) == 0


def test_a_state_directory_that_cannot_be_written_is_an_error(tmp_path: Path):
    with pytest.raises(MirrorError, match="check the state volume"):
        Index().save(tmp_path / "missing/index", [], NOW)
