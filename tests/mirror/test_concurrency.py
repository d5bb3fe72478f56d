"""The worker pool: bounded, ended by a deadline, and raises the errors of its jobs."""

import threading
from functools import partial

import pytest

from reconcile.mirror.concurrency import Deadline, DeadlineExceededError, WorkerPool
from tests.clocks import FakeClock

FREE = Deadline(FakeClock())


def test_all_jobs_are_done_when_it_is_drained():
    done = []
    pool = WorkerPool(3, "test")
    for number in range(50):
        pool.submit(partial(done.append, number), FREE)
    pool.drain(FREE)
    assert sorted(done) == list(range(50))


def test_no_more_jobs_are_pending_than_there_are_threads():
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

    pool = WorkerPool(2, "test")
    pool.submit(job, FREE)
    pool.submit(job, FREE)
    assert begun.acquire(timeout=30)
    assert begun.acquire(timeout=30)
    with pytest.raises(DeadlineExceededError):
        pool.submit(job, Deadline(FakeClock(), is_cancelled=lambda: True))
    gate.set()
    pool.drain(FREE)
    assert most[1] == 2


def test_the_error_of_a_job_is_raised_once():
    def fail():
        raise ValueError("no")

    pool = WorkerPool(1, "test")
    pool.submit(fail, FREE)
    with pytest.raises(ValueError, match="no"):
        pool.drain(FREE)
    pool.drain(FREE)


def test_an_error_that_was_not_raised_can_be_cleared():
    failed = threading.Event()

    def fail():
        failed.set()
        raise ValueError("no")

    pool = WorkerPool(1, "test")
    pool.submit(fail, FREE)
    assert failed.wait(30)
    with pytest.raises(ValueError, match="no"):
        pool.drain(FREE)
    pool.clear_error()
    pool.submit(lambda: None, FREE)
    pool.drain(FREE)


def test_a_deadline_ends_the_wait_and_not_the_job():
    gate, done = threading.Event(), threading.Event()
    pool = WorkerPool(1, "test")

    def work():
        gate.wait(30)
        done.set()

    pool.submit(work, FREE)
    clock = FakeClock()
    with pytest.raises(DeadlineExceededError):
        pool.drain(Deadline(clock, expires_at=clock.monotonic()))
    gate.set()
    assert done.wait(30)
