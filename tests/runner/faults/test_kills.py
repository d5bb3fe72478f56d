"""Programs of a session's pods are killed at random points; a prompt is never delivered twice."""

from collections import Counter

import pytest

from tests.runner.faults.kills import POLICIES, ROUND, Moment, Victim, run_round, schedule

SEED = 20261201
ROUNDS = 4
"""60 points in all; `make soak` has many more."""


@pytest.mark.s3
@pytest.mark.parametrize("seed", range(SEED, SEED + ROUNDS))
def test_after_a_kill_no_prompt_is_lost_or_delivered_twice(s3_server, tmp_path, seed):
    done = run_round(s3_server, tmp_path, seed, ROUND)
    assert done.killed.total() == ROUND
    assert {victim for victim, _ in done.killed} == {victim.value for victim in Victim}
    assert 0 < done.with_work <= done.generations


def test_points_are_spread_over_all_that_may_be_killed_and_follow_from_the_seed():
    points = schedule(SEED, 69)
    assert points == schedule(SEED, 69)
    assert points != schedule(SEED + 1, 69)
    kinds = Counter((point.victim, point.moment) for point in points)
    assert set(kinds.values()) == {3}
    assert {victim for victim, _ in kinds} == set(Victim)
    assert {moment for _, moment in kinds} == set(Moment)
    assert {int(point.share * 3) for point in points} == set(range(3))
    assert {seed % len(POLICIES) for seed in range(SEED, SEED + ROUNDS)} == {0, 1}
