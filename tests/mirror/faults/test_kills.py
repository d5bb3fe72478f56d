"""The program is killed at random points; the next pod always gets one committed generation."""

from collections import Counter

import pytest

from tests.mirror.faults.kills import Deed, Moment, Trial, schedule

SEED = 20260131
PARTS = 2
POINTS = 15
"""In each part; `make soak` has many more."""


@pytest.mark.s3
@pytest.mark.parametrize("part", range(PARTS))
def test_after_a_kill_the_next_pod_gets_the_last_generation_or_the_new_one(real, part):
    trial = Trial(real, SEED + part)
    for point in schedule(SEED + part, POINTS):
        trial.run(point)
    assert {deed for deed, _ in trial.killed} == {deed.value for deed in Deed}


def test_points_are_spread_over_all_that_may_be_killed_and_follow_from_the_seed():
    points = schedule(SEED, 60)
    assert points == schedule(SEED, 60)
    assert points != schedule(SEED + 1, 60)
    kinds = Counter((point.deed, point.moment) for point in points)
    assert set(kinds) == {(deed, moment) for deed in Deed for moment in Moment}
    assert max(kinds.values()) - min(kinds.values()) <= 1
    assert {int(point.share * 5) for point in points} == set(range(5))
