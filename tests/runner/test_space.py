"""How much of a workspace is used, and which of several clones must stop."""

import os

import pytest

from reconcile.runner.space import Space, measure_folder

MIB = 1 << 20


def write(path, size):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))


@pytest.fixture
def clock():
    class Clock:
        time = 0.0

        def __call__(self):
            return self.time

    return Clock()


def test_a_folder_counts_with_all_that_is_below_it(tmp_path):
    write(tmp_path / "a/b/c", MIB)
    write(tmp_path / "d", MIB)
    assert 2 * MIB <= measure_folder(tmp_path) < 2.1 * MIB


def test_a_file_with_two_names_counts_once_and_a_link_is_not_followed(tmp_path):
    write(tmp_path / "a/one", MIB)
    (tmp_path / "a/two").hardlink_to(tmp_path / "a/one")
    (tmp_path / "a/loop").symlink_to(tmp_path / "a")
    assert measure_folder(tmp_path / "a") < 1.1 * MIB


def test_a_folder_that_is_gone_is_empty(tmp_path):
    assert measure_folder(tmp_path / "absent") == 0


def test_without_a_limit_nothing_is_measured(tmp_path, clock):
    write(tmp_path / "clone/a", MIB)
    space = Space(tmp_path, 0, clock)
    space.prepare()
    assert space.find_excess(tmp_path / "clone") == ""
    assert space.find_final_excess(tmp_path / "clone") == ""


def test_a_clone_is_measured_from_time_to_time(tmp_path, clock):
    space = Space(tmp_path, MIB, clock)
    space.prepare()
    assert space.find_excess(tmp_path / "clone") == ""
    write(tmp_path / "clone/a", 2 * MIB)
    assert space.find_excess(tmp_path / "clone") == ""
    clock.time = 1.5
    assert "needs more than the 0.0 GiB" in space.find_excess(tmp_path / "clone")


def test_a_clone_that_is_removed_counts_no_more(tmp_path, clock):
    space = Space(tmp_path, 3 * MIB, clock)
    space.prepare()
    first, second = tmp_path / "first", tmp_path / "second"
    write(first / "a", 2 * MIB)
    assert space.find_excess(first) == ""
    space.forget(first)
    write(second / "a", 2 * MIB + MIB // 2)
    assert space.find_final_excess(second) == ""


def test_the_largest_of_several_clones_stops(tmp_path, clock):
    space = Space(tmp_path, 3 * MIB, clock)
    space.prepare()
    small, large = tmp_path / "small", tmp_path / "large"
    write(small / "a", MIB)
    write(large / "a", 2 * MIB + MIB // 2)
    assert space.find_excess(small) == ""
    assert space.find_final_excess(large) != ""
    assert space.find_final_excess(small) == ""
