"""A file is taken when no further write could look like the one that was seen."""

import pytest

from reconcile.mirror.workspace.reader import COARSE_TICK, TICK, time_until_settled

T = 1_700_000_000_000_000_001


@pytest.mark.parametrize(
    ("age", "wait"), [(0, TICK), (TICK - 1, 1), (TICK, 0), (10 * TICK, 0), (-1, 0), (-(10**12), 0)]
)
def test_a_file_is_fresh_for_one_tick_of_the_kernel(age: int, wait: int):
    assert time_until_settled(T, T + age) == wait


def test_times_in_whole_seconds_are_taken_for_coarse_ones():
    assert time_until_settled(T - 1, T - 1 + TICK) == COARSE_TICK - TICK
