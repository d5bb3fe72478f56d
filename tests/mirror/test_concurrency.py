"""Jobs on a few threads: bounded, ended by a limit, and never silent about an error."""

import threading
from functools import partial

import pytest

from reconcile.mirror.concurrency import Lanes, Limit, OverError
from tests.mirror.worlds import FakeClock

FREE = Limit(FakeClock())


def test_all_jobs_are_done_when_it_is_drained():
    done = []
    lanes = Lanes(3, "test")
    for number in range(50):
        lanes.run(partial(done.append, number), FREE)
    lanes.drain(FREE)
    assert sorted(done) == list(range(50))


def test_no_more_jobs_are_open_than_there_are_lanes():
    gate, most, lock = threading.Event(), [0, 0], threading.Lock()
    begun = threading.Semaphore(0)

    def job():
        begun.release()
        with lock:
            most[0] += 1
            most[1] = max(most)
        gate.wait(30)
        with lock:
            most[0] -= 1

    lanes = Lanes(2, "test")
    lanes.run(job, FREE)
    lanes.run(job, FREE)
    assert begun.acquire(timeout=30)
    assert begun.acquire(timeout=30)
    with pytest.raises(OverError):
        lanes.run(job, Limit(FakeClock(), asked=lambda: True))
    gate.set()
    lanes.drain(FREE)
    assert most[1] == 2


def test_the_error_of_a_job_comes_out_once():
    def fail():
        raise ValueError("no")

    lanes = Lanes(1, "test")
    lanes.run(fail, FREE)
    with pytest.raises(ValueError, match="no"):
        lanes.drain(FREE)
    lanes.drain(FREE)


def test_an_error_that_nobody_came_for_can_be_forgotten():
    failed = threading.Event()

    def fail():
        failed.set()
        raise ValueError("no")

    lanes = Lanes(1, "test")
    lanes.run(fail, FREE)
    assert failed.wait(30)
    with pytest.raises(ValueError, match="no"):
        lanes.drain(FREE)
    lanes.forget_errors()
    lanes.run(lambda: None, FREE)
    lanes.drain(FREE)


def test_a_limit_that_is_reached_ends_the_wait_and_not_the_job():
    gate, done = threading.Event(), threading.Event()
    lanes = Lanes(1, "test")

    def work():
        gate.wait(30)
        done.set()

    lanes.run(work, FREE)
    clock = FakeClock()
    with pytest.raises(OverError):
        lanes.drain(Limit(clock, ends=clock.monotonic()))
    gate.set()
    assert done.wait(30)
