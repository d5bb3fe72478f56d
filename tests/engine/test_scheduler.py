"""Many sessions on few threads."""

import threading

import pytest

from reconcile.engine.scheduler import Scheduler
from reconcile.runtime.clock import SystemClock
from tests.clocks import FakeClock


class Work:
    """Takes steps, with these waits between them; `log` is shared and has every step."""

    def __init__(self, name, waits=(), log=None):
        self.name = name
        self._waits = waits
        self._log = [] if log is None else log

    def steps(self):
        self._log.append((self.name, 0))
        for number, seconds in enumerate(self._waits, 1):
            yield seconds
            self._log.append((self.name, number))


def names(schedule):
    return [run.name for run in schedule.run()]


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_every_run_is_carried_out_once(threads):
    log = []
    runs = [Work(number, [1.0] * (number % 3), log) for number in range(50)]
    assert sorted(names(Scheduler(runs, FakeClock(), threads))) == list(range(50))
    assert sorted(log) == [(n, step) for n in range(50) for step in range(n % 3 + 1)]


def test_nothing_to_do_ends_at_once():
    assert names(Scheduler([], FakeClock(), 2)) == []


def test_a_thousand_waiting_runs_need_no_thousand_threads():
    clock = FakeClock()
    before = threading.active_count()
    most = 0
    runs = [Work(number, [5.0] * 6) for number in range(1000)]
    for _ in Scheduler(runs, clock, 2).run():
        most = max(most, threading.active_count())
    assert most <= before + 2
    assert clock.monotonic() == pytest.approx(30, abs=1)


def test_tasks_that_do_not_wait_end_before_those_that_do():
    log = []
    runs = [Work("slow", [100.0], log), Work("quick", (), log), Work("too", (), log)]
    assert names(Scheduler(runs, FakeClock(), 1)) == ["quick", "too", "slow"]


def test_runs_are_resumed_in_the_order_in_which_they_are_due():
    runs = [Work("late", [9.0]), Work("soon", [3.0]), Work("next", [3.0])]
    assert names(Scheduler(runs, FakeClock(), 1)) == ["soon", "next", "late"]


def test_fresh_runs_are_begun_only_when_a_thread_is_free():
    begun = []

    def fresh():
        for number in range(10):
            begun.append(number)
            yield Work(number)

    schedule = Scheduler(fresh(), FakeClock(), 2).run()
    next(schedule)
    assert len(begun) <= 3
    assert len(list(schedule)) == 9


class Blocked:
    """Occupies its thread until another task continues."""

    name = "blocked"

    def __init__(self, go):
        self._go = go

    def steps(self):
        assert self._go.wait(10)
        return
        yield


class Waker:
    """Waits for a moment, and then sets the blocked one free."""

    name = "waker"

    def __init__(self, go):
        self._go = go

    def steps(self):
        yield 0.01
        self._go.set()


def test_a_run_that_occupies_its_thread_keeps_no_waiting_one_from_going_on():
    go = threading.Event()
    assert sorted(names(Scheduler([Blocked(go), Waker(go)], SystemClock(), 2))) == [
        "blocked",
        "waker",
    ]


class Defect:
    """Raises an unexpected exception."""

    name = "defect"

    def steps(self):
        raise ZeroDivisionError
        yield


def test_an_unexpected_exception_is_raised():
    with pytest.raises(ZeroDivisionError):
        names(Scheduler([Defect()], FakeClock(), 2))
