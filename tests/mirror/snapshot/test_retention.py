from hypothesis import given
from hypothesis import strategies as st

from reconcile.mirror.model import Complete, Generation, Partial
from reconcile.mirror.snapshot.retention import (
    DAY,
    HOUR,
    RetentionPolicy,
    select_generations_to_keep,
)

ANY = st.integers(0, 5)
policies = st.builds(RetentionPolicy, ANY, ANY, ANY)
histories = st.lists(st.tuples(st.integers(0, 100 * HOUR), st.booleans()), max_size=30).map(
    lambda points: [at(n, time, whole=whole) for n, (time, whole) in enumerate(points, 1)]
)


def at(number, time, *, whole=True):
    return Generation(number, time, (), Complete() if whole else Partial(1, 1))


def every(count, period):
    return [at(number, number * period) for number in range(count)]


def test_the_last_ones_are_kept():
    assert select_generations_to_keep(every(9, 1), RetentionPolicy(3, 0, 0)) == {6, 7, 8}


def test_the_last_generation_of_each_hour_is_kept():
    assert select_generations_to_keep(every(12, HOUR // 4), RetentionPolicy(1, 2, 0)) == {7, 11}


def test_the_last_generation_of_each_day_is_kept():
    assert select_generations_to_keep(every(8, DAY // 2), RetentionPolicy(1, 0, 3)) == {3, 5, 7}


def test_hours_without_a_generation_do_not_count():
    assert select_generations_to_keep(
        [at(1, 0), at(2, 50 * HOUR), at(3, 90 * HOUR)], RetentionPolicy(1, 3, 0)
    ) == {1, 2, 3}


def test_the_last_complete_generation_of_an_hour_is_kept_or_a_partial_one():
    history = [
        at(1, 0),
        at(2, 1, whole=False),
        at(3, HOUR, whole=False),
        at(4, HOUR + 1, whole=False),
        at(5, 2 * HOUR),
    ]
    assert select_generations_to_keep(history, RetentionPolicy(1, 3, 0)) == {1, 4, 5}


def test_the_last_complete_generation_is_kept_while_newer_ones_are_partial():
    history = [at(1, 0), at(2, 1), at(3, 2, whole=False), at(4, 3, whole=False)]
    assert select_generations_to_keep(history, RetentionPolicy(0, 0, 0)) == {2, 4}


def test_the_order_is_by_number_when_a_clock_went_back():
    assert select_generations_to_keep(
        [at(1, 90), at(2, 10), at(3, 50)], RetentionPolicy(2, 0, 0)
    ) == {2, 3}


@given(histories, policies)
def test_the_current_and_the_last_complete_generation_are_always_kept(history, policy):
    found = select_generations_to_keep(history, policy)
    assert found <= {each.number for each in history}
    assert len(found) <= max(policy.last, 1) + policy.hourly + policy.daily + 1
    if history:
        assert history[-1].number in found
    whole = [each.number for each in history if each.completeness == Complete()]
    assert set(whole[-1:]) <= found


@given(histories, policies)
def test_an_expired_generation_is_not_needed_later(history, policy):
    found = select_generations_to_keep(history, policy)
    left = [each for each in history if each.number in found]
    assert select_generations_to_keep(left, policy) == found
