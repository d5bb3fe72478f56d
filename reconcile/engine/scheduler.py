"""Runs many sessions on few threads: a session that waits releases its thread."""

import heapq
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from itertools import count
from typing import Generic, Protocol, TypeAlias, TypeVar

from reconcile.engine.ports import Clock

Steps: TypeAlias = Generator[float, None, None]
"""Work that yields the seconds to wait before it is resumed."""


class ScheduledTask(Protocol):
    """A task that runs in steps."""

    def steps(self) -> Steps:
        """Start; called once."""
        ...


TaskT = TypeVar("TaskT", bound=ScheduledTask)


class Scheduler(Generic[TaskT]):
    """At most `threads` tasks run at the same time, any number of them wait."""

    def __init__(self, tasks: Iterable[TaskT], clock: Clock, threads: int) -> None:
        self._pending = iter(tasks)
        self._clock = clock
        self._threads = threads
        self._order = count()
        self._waiting: list[tuple[float, int, TaskT, Steps]] = []
        self._running: dict[Future[float | None], tuple[TaskT, Steps]] = {}

    def run(self) -> Iterator[TaskT]:
        """Run all tasks and yield each as soon as it has ended."""
        with ThreadPoolExecutor(self._threads) as pool:
            while self._start(pool):
                yield from self._collect_finished()

    def _start(self, pool: Executor) -> bool:
        """Give a task to every free thread; False when no task is left."""
        while len(self._running) < self._threads and (task := self._next_task()) is not None:
            self._running[pool.submit(next, task[1], None)] = task
        return bool(self._running or self._waiting)

    def _next_task(self) -> tuple[TaskT, Steps] | None:
        if self._waiting and self._waiting[0][0] <= self._clock.monotonic():
            _, _, task, steps = heapq.heappop(self._waiting)
            return task, steps
        new = next(self._pending, None)
        return None if new is None else (new, new.steps())

    def _collect_finished(self) -> Iterator[TaskT]:
        pause = self._seconds_to_wait()
        if not self._running:
            self._clock.sleep(pause or 0.0)
            return
        for future in wait(self._running, pause, FIRST_COMPLETED).done:
            task, steps = self._running.pop(future)
            seconds = future.result()
            if seconds is None:
                yield task
            else:
                due = self._clock.monotonic() + seconds
                heapq.heappush(self._waiting, (due, next(self._order), task, steps))

    def _seconds_to_wait(self) -> float | None:
        """Seconds until a waiting task is due for a free thread; None if there is no such task."""
        if not self._waiting or len(self._running) == self._threads:
            return None
        return max(0.0, self._waiting[0][0] - self._clock.monotonic())
