"""A file has settled when a further write is sure to change its times."""

import pytest

from reconcile.mirror.workspace.reader import COARSE_TICK, TICK, time_until_settled

T = 1_700_000_000_000_000_001


@pytest.mark.parametrize(
    ("age", "wait"), [(0, TICK), (TICK - 1, 1), (TICK, 0), (10 * TICK, 0), (-1, 0), (-(10**12), 0)]
)
def test_a_file_settles_after_one_tick_of_the_kernel(age: int, wait: int):
    assert time_until_settled(T, T + age) == wait


def test_times_in_whole_seconds_are_treated_as_coarse():
    assert time_until_settled(T - 1, T - 1 + TICK) == COARSE_TICK - TICK
