"""Exponential backoff with jitter."""

import pytest

from reconcile.runtime.backoff import Backoff

BACKOFF = Backoff(initial=2, maximum=10)


@pytest.mark.parametrize(("failures", "seconds"), [(1, 2), (2, 4), (3, 8), (4, 10), (5000, 10)])
def test_delays_double_up_to_the_maximum(failures, seconds):
    assert BACKOFF.delay(failures, 1.0) == seconds


@pytest.mark.parametrize(("jitter", "seconds"), [(0.0, 2.0), (0.5, 3.0), (1.0, 4.0)])
def test_jitter_shortens_a_delay_by_up_to_half(jitter, seconds):
    assert BACKOFF.delay(2, jitter) == seconds


@pytest.mark.parametrize(("minimum", "seconds"), [(0, 2), (1, 2), (7, 7), (70, 70)])
def test_a_minimum_lengthens_a_delay(minimum, seconds):
    assert BACKOFF.delay(1, 1.0, minimum) == seconds
