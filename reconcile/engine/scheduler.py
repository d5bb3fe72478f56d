"""Runs many sessions on few threads: whoever waits gives its thread to somebody else."""

import heapq
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from itertools import count
from typing import Generic, Protocol, TypeAlias, TypeVar

from reconcile.engine.ports import Clock

Steps: TypeAlias = Generator[float, None, None]
"""Work that yields the seconds which it wants to wait before it is resumed."""


class Run(Protocol):
    """Something that is done in steps."""

    def steps(self) -> Steps:
        """Begin; called once."""
        ...


RunT = TypeVar("RunT", bound=Run)


class Schedule(Generic[RunT]):
    """At most `threads` runs work at a time, any number of them wait."""

    def __init__(self, runs: Iterable[RunT], clock: Clock, threads: int) -> None:
        self._fresh = iter(runs)
        self._clock = clock
        self._threads = threads
        self._order = count()
        self._waiting: list[tuple[float, int, RunT, Steps]] = []
        self._working: dict[Future[float | None], tuple[RunT, Steps]] = {}

    def run(self) -> Iterator[RunT]:
        """Carry out all runs and yield each as it ends."""
        with ThreadPoolExecutor(self._threads) as pool:
            while self._start(pool):
                yield from self._collect()

    def _start(self, pool: Executor) -> bool:
        """Give every free thread something to do; False when there is nothing left at all."""
        while len(self._working) < self._threads and (task := self._next()) is not None:
            self._working[pool.submit(next, task[1], None)] = task
        return bool(self._working or self._waiting)

    def _next(self) -> tuple[RunT, Steps] | None:
        if self._waiting and self._waiting[0][0] <= self._clock.monotonic():
            _, _, run, steps = heapq.heappop(self._waiting)
            return run, steps
        fresh = next(self._fresh, None)
        return None if fresh is None else (fresh, fresh.steps())

    def _collect(self) -> Iterator[RunT]:
        pause = self._pause()
        if not self._working:
            self._clock.sleep(pause or 0.0)
            return
        for future in wait(self._working, pause, FIRST_COMPLETED).done:
            run, steps = self._working.pop(future)
            seconds = future.result()
            if seconds is None:
                yield run
            else:
                due = self._clock.monotonic() + seconds
                heapq.heappush(self._waiting, (due, next(self._order), run, steps))

    def _pause(self) -> float | None:
        """Seconds until a free thread has something to do again; None where none has."""
        if not self._waiting or len(self._working) == self._threads:
            return None
        return max(0.0, self._waiting[0][0] - self._clock.monotonic())
