"""Bursts are told by walks that follow each other."""

import pytest
from msgspec.structs import replace

from reconcile.mirror.tree.quiet import CALM, COARSE, TICK, Burst, Pulse, burst, fresh_for, pulse
from reconcile.mirror.tree.seen import Seen

T = 1_700_000_000_000_000_001
FILE = Seen("a", 0o100644, 5, T, T, 77, 1, 1)


@pytest.mark.parametrize(
    ("age", "wait"), [(0, TICK), (TICK - 1, 1), (TICK, 0), (10 * TICK, 0), (-1, 0), (-(10**12), 0)]
)
def test_a_file_is_fresh_for_one_tick_of_the_kernel(age: int, wait: int):
    assert fresh_for(T, T + age) == wait


def test_times_in_whole_seconds_are_taken_for_coarse_ones():
    assert fresh_for(T - 1, T - 1 + TICK) == COARSE - TICK


def test_an_unchanged_workspace_needs_no_commit():
    walk = pulse([FILE])
    assert burst(walk, walk, walk, T) is Burst.NONE
    assert burst(Pulse(), Pulse(), pulse([]), T) is Burst.NONE


@pytest.mark.parametrize(
    "after",
    [
        [replace(FILE, ctime=T + 5)],
        [replace(FILE, size=6)],
        [replace(FILE, inode=78)],
        [FILE, replace(FILE, path="b")],
        [],
    ],
)
def test_every_change_shows_in_the_pulse(after):
    assert pulse(after) != pulse([FILE])


def test_a_burst_ends_when_nothing_changes_any_more_for_a_while():
    committed, before = pulse([]), pulse([FILE])
    now = pulse([FILE, replace(FILE, path="b")])
    assert burst(committed, before, now, T + 10 * CALM) is Burst.GOING_ON
    assert burst(committed, now, now, T + CALM - 1) is Burst.GOING_ON
    assert burst(committed, now, now, T + CALM) is Burst.ENDED


def test_a_clock_that_is_ahead_keeps_no_burst_alive():
    now = pulse([FILE])
    assert burst(Pulse(), now, now, T - 10**12) is Burst.ENDED
