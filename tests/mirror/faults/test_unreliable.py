"""Every fault at each request of `hydrate` and of `sync`, and faults at random."""

import itertools
from functools import partial

import pytest

from tests.mirror.compare_trees import differences
from tests.mirror.faults.unreliable import Scene, survive

KINDS = ("500", "403", "lost answer", "late", "404", "412", "cut", "portal", "flip")
"""The others are handled as one of these."""


def fault_at(number, fault):
    """Return what chooses a fault: the first of one kind comes with the request of this number."""
    count = itertools.count()
    return lambda: fault if next(count) == number else ""


@pytest.mark.parametrize("fault", KINDS)
def test_a_fault_at_any_request_of_hydrate_restores_all_or_leaves_no_mark(tmp_path, fault):
    for number in range(12):
        scene = Scene(tmp_path / str(number), fault_at(number, fault), seed=7)
        pod = scene.first_pod()
        pod.store = scene.honest
        for name, data in (("a", b"1"), ("d/b", b"2"), ("large", b"3" * (5 << 20))):
            pod.write(name, data)
        pod.sync()
        successor = scene.hydrate_at_last(scene.pod(scene.store), attempts=2)
        assert differences(pod.root, successor.root) == []
        if scene.unreliable.requests <= number:
            break
    else:
        raise AssertionError("there are more requests than were tried")


@pytest.mark.parametrize("fault", KINDS)
def test_a_fault_at_any_request_of_sync_loses_nothing_and_does_not_end_it(tmp_path, fault):
    for number in range(14):
        scene = Scene(tmp_path / str(number), fault_at(number, fault), seed=number)
        pod = scene.first_pod()
        scene.run_loop(pod, partial(scene.has_sent, number + 3))
        assert scene.unreliable.requests > number
        assert differences(pod.root, scene.restored().root) == []


def test_nothing_that_is_acknowledged_is_lost_where_a_tenth_of_all_requests_fails(tmp_path):
    assert len(survive(tmp_path, requests=600, seed=20261130)) > 15
