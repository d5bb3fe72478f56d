"""If there are more entries than the limit, each directory gets its share."""

import os
from pathlib import Path

import pytest

from reconcile.mirror.workspace import fair_share
from reconcile.mirror.workspace import walk as walking
from reconcile.mirror.workspace.excludes import Excludes
from reconcile.mirror.workspace.fair_share import WalkLimits, walk_within
from reconcile.mirror.workspace.walk import WalkCancelledError, never_cancelled

NOTHING = Excludes([])


def fill(folder: Path, count: int, start: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(start, start + count):
        (folder / f"{number:03}").touch()


def taken(root: Path, limit: int, previous=(), excludes=NOTHING):
    """The paths that are added, and what was skipped."""
    seen, skipped = walk_within(
        root, excludes, WalkLimits(limit, lambda: previous), never_cancelled
    )
    return [one.path for one in seen], skipped


def below(paths, *folders):
    return [sum(path.startswith(f"{folder}/") for path in paths) for folder in folders]


def test_within_the_limit_everything_is_added_without_previous_paths(tmp_path):
    fill(tmp_path / "a", 5)

    def previous_paths():
        raise AssertionError

    limits = WalkLimits(6, previous_paths)
    seen, skipped = walk_within(tmp_path, NOTHING, limits, never_cancelled)
    assert (len(seen), skipped.over_limit) == (6, 0)


@pytest.mark.parametrize("flood", ["a-flood", "z-flood"])
def test_a_flood_of_files_displaces_nothing_else(tmp_path, flood):
    for number in range(30):
        fill(tmp_path / flood / f"{number}", 10)
    fill(tmp_path / "m/work/deep", 9)
    fill(tmp_path / "m/work", 9)
    paths, skipped = taken(tmp_path, 100)
    assert len(paths) == 100
    assert below(paths, "m") == [9 + 9 + 2]
    assert skipped.over_limit == 30 * 11 + 22 - 100


def test_shares_are_fair_at_each_level(tmp_path):
    for number in range(40):
        fill(tmp_path / "one/flood" / f"{number}", 10)
        fill(tmp_path / "two" / f"{number}", 10)
    fill(tmp_path / "one/work", 20)
    paths, _ = taken(tmp_path, 300)
    assert below(paths, "one/work") == [20]
    one, two = below(paths, "one", "two")
    assert abs(one - two) <= 51
    assert one + two + 2 == len(paths) == 300


def test_every_entry_is_added_with_its_parent(tmp_path):
    for number in range(20):
        fill(tmp_path / f"{number}/in/it", 3)
    for limit in range(1, 60):
        paths = set(taken(tmp_path, limit)[0])
        assert len(paths) == limit
        assert {path.rpartition("/")[0] for path in paths} <= paths | {""}


def test_entries_of_the_last_snapshot_come_first_within_a_directory(tmp_path):
    fill(tmp_path / "d", 30)
    previous = {"d", "d/029", "d/007"}
    assert taken(tmp_path, 4, previous)[0] == ["d", "d/000", "d/007", "d/029"]


def test_the_same_entries_are_added_again_while_the_flood_grows(tmp_path):
    for number in range(20):
        fill(tmp_path / "flood" / f"{number:02}", 10)
    first, _ = taken(tmp_path, 60)
    for number in range(3):
        fill(tmp_path / "flood" / f"0{number:02}", 5)
    again, _ = taken(tmp_path, 60, set(first))
    assert again == first


def test_new_work_is_added_although_an_old_flood_fills_the_limit(tmp_path):
    for number in range(20):
        fill(tmp_path / "flood" / f"{number:02}", 10)
    previous, _ = taken(tmp_path, 60)
    assert len(previous) == 60
    fill(tmp_path / "work", 5)
    paths, _ = taken(tmp_path, 60, set(previous))
    assert below(paths, "work") == [5]


def test_the_first_entries_of_a_large_directory_are_added_last(tmp_path, monkeypatch):
    monkeypatch.setattr(walking, "LARGE_DIRECTORY", 10)
    monkeypatch.setattr(fair_share, "LARGE_DIRECTORY", 10)
    fill(tmp_path / "crowd", 50)
    (tmp_path / "crowd/in").mkdir()
    fill(tmp_path / "work", 8)
    paths, skipped = taken(tmp_path, 20, {"crowd", "crowd/049"})
    expected = ["crowd", *(f"crowd/{number:03}" for number in (*range(9), 49)), "work"]
    assert paths == expected + [f"work/{number:03}" for number in range(8)]
    assert skipped.over_limit == 51 - 10


def test_large_directories_share_the_remaining_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(walking, "LARGE_DIRECTORY", 10)
    for name in "abc":
        fill(tmp_path / name, 50)
    paths, skipped = taken(tmp_path, 63)
    assert below(paths, "a", "b", "c") == [20, 20, 20]
    assert skipped.over_limit == 90
    assert taken(tmp_path, 3)[1].over_limit == 150


def test_long_paths_count_for_more(tmp_path):
    for name in ("a" * 200, "b" * 200, "é" * 100, "ok"):
        (tmp_path / name).touch()
    assert taken(tmp_path, 4)[0] == ["a" * 200, "b" * 200]
    assert len(taken(tmp_path, 9)[0]) == 4


def repository(folder: Path, count: int) -> None:
    for name in ("objects/aa", "refs/heads"):
        (folder / name).mkdir(parents=True)
    for name in ("HEAD", "packed-refs"):
        (folder / name).touch()
    fill(folder / "objects/aa", count)


def test_a_repository_is_added_completely_or_not_at_all(tmp_path):
    repository(tmp_path / "small/.git", 5)
    repository(tmp_path / "large/.git", 90)
    fill(tmp_path / "large/src", 5)
    paths, skipped = taken(tmp_path, 60)
    assert below(paths, "small/.git", "large/.git", "large/src") == [11, 0, 5]
    assert "large/.git" in paths
    assert skipped.unknown == ["large/.git"]
    assert skipped.over_limit


def test_packed_refs_and_objects_are_listed_after_the_refs(tmp_path):
    git = tmp_path / "repo/.git"
    repository(git, 0)
    (git / "refs/heads/main").touch()
    fill(tmp_path / "flood", 200)
    order = []

    class Watching(Excludes):
        def is_excluded(self, path, name, *, directory):
            order.append(path)
            return super().is_excluded(path, name, directory=directory)

    taken(tmp_path, 100, excludes=Watching([]))
    again = order[len(order) - order[::-1].index("repo/.git/HEAD") :]
    assert again.index("repo/.git/refs/heads/main") < again.index("repo/.git/packed-refs")
    assert again.index("repo/.git/packed-refs") < again.index("repo/.git/objects/aa")


def test_excluded_entries_are_not_over_the_limit(tmp_path):
    fill(tmp_path / "a", 30)
    fill(tmp_path / "b/skip", 30)
    paths, skipped = taken(tmp_path, 10, excludes=Excludes(["skip"]))
    assert len(paths) == 10
    assert skipped.over_limit == 32 - 10


def test_very_deep_trees_get_their_share(tmp_path):
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(100):
        os.mkdir("d", dir_fd=here)
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(here)
    fill(tmp_path / "work", 10)
    paths, skipped = taken(tmp_path, 60)
    assert below(paths, "work", "d") == [10, 48]
    assert skipped.over_limit == 1


def test_the_fair_walk_is_cancelled(tmp_path):
    fill(tmp_path / "a", 10)
    turns = iter([False, False, True])
    with pytest.raises(WalkCancelledError):
        walk_within(tmp_path, NOTHING, WalkLimits(5, tuple), lambda: next(turns))
