"""Jobs on a few threads: bounded, ended by a limit, and never silent about an error."""

import threading
from functools import partial

import pytest

from reconcile.mirror.concurrency import Deadline, DeadlineExceededError, WorkerPool
from tests.clocks import FakeClock

FREE = Deadline(FakeClock())


def test_all_jobs_are_done_when_it_is_drained():
    done = []
    lanes = WorkerPool(3, "test")
    for number in range(50):
        lanes.submit(partial(done.append, number), FREE)
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

    lanes = WorkerPool(2, "test")
    lanes.submit(job, FREE)
    lanes.submit(job, FREE)
    assert begun.acquire(timeout=30)
    assert begun.acquire(timeout=30)
    with pytest.raises(DeadlineExceededError):
        lanes.submit(job, Deadline(FakeClock(), is_cancelled=lambda: True))
    gate.set()
    lanes.drain(FREE)
    assert most[1] == 2


def test_the_error_of_a_job_comes_out_once():
    def fail():
        raise ValueError("no")

    lanes = WorkerPool(1, "test")
    lanes.submit(fail, FREE)
    with pytest.raises(ValueError, match="no"):
        lanes.drain(FREE)
    lanes.drain(FREE)


def test_an_error_that_nobody_came_for_can_be_forgotten():
    failed = threading.Event()

    def fail():
        failed.set()
        raise ValueError("no")

    lanes = WorkerPool(1, "test")
    lanes.submit(fail, FREE)
    assert failed.wait(30)
    with pytest.raises(ValueError, match="no"):
        lanes.drain(FREE)
    lanes.clear_error()
    lanes.submit(lambda: None, FREE)
    lanes.drain(FREE)


def test_a_limit_that_is_reached_ends_the_wait_and_not_the_job():
    gate, done = threading.Event(), threading.Event()
    lanes = WorkerPool(1, "test")

    def work():
        gate.wait(30)
        done.set()

    lanes.submit(work, FREE)
    clock = FakeClock()
    with pytest.raises(DeadlineExceededError):
        lanes.drain(Deadline(clock, expires_at=clock.monotonic()))
    gate.set()
    assert done.wait(30)
