"""A few threads that work for one; what waits for them is bounded, and so is memory.

How long something may go on: until a time, or until somebody asks for an end.
"""

import math
import queue
import threading
from collections.abc import Callable
from typing import TypeAlias

from reconcile.mirror.clock import Clock


class OverError(Exception):
    """The limit is reached; what was begun is not finished."""


def _nobody() -> bool:
    return False


class Limit:
    """Asked often by whatever may take long.

    Args:
        clock: Whose time counts.
        ends: When it is over, on the clock's monotonic time.
        asked: Whether somebody wants an end now.
    """

    def __init__(
        self, clock: Clock, ends: float = math.inf, asked: Callable[[], bool] = _nobody
    ) -> None:
        self._clock = clock
        self.ends = ends
        self._asked = asked

    def over(self) -> bool:
        """Tell whether it is time to stop."""
        return self._asked() or self._clock.monotonic() >= self.ends

    def check(self) -> None:
        """Raise OverError if it is time to stop."""
        if self.over():
            raise OverError

    def within(self, seconds: float) -> "Limit":
        """Return the same limit, or one so many seconds from now if that is earlier."""
        ends = min(self.ends, self._clock.monotonic() + seconds)
        return Limit(self._clock, ends, self._asked)

    def less(self, seconds: float) -> "Limit":
        """Return the same limit that much earlier: to leave time for what comes after."""
        return Limit(self._clock, self.ends - seconds, self._asked)


Job: TypeAlias = Callable[[], None]

_LOOK = 0.1
"""Seconds between two looks whether the limit is reached."""


class Lanes:
    """Runs jobs on `count` threads; a job that fails makes the next call here raise its error.

    The threads are daemons: a request that hangs never keeps the process from ending.
    """

    def __init__(self, count: int, name: str) -> None:
        self._count = count
        self._name = name
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._open = 0
        self._threads = 0
        self._error: BaseException | None = None

    def run(self, job: Job, limit: Limit) -> None:
        """Hand a job over as soon as a thread is free.

        Raises:
            OverError: The limit was reached before.
            BaseException: What an earlier job has raised.
        """
        self._wait(limit, self._count - 1)
        with self._changed:
            self._open += 1
            if self._open > self._threads:
                self._threads += 1
                threading.Thread(
                    target=self._work, name=f"{self._name}-{self._threads}", daemon=True
                ).start()
        self._jobs.put(job)

    def drain(self, limit: Limit) -> None:
        """Wait until all jobs are done; raises as `run` does."""
        self._wait(limit, 0)

    def forget_errors(self) -> None:
        """Let go of an error that nobody came for: its work was given up."""
        with self._changed:
            self._error = None

    def _wait(self, limit: Limit, most: int) -> None:
        with self._changed:
            while self._open > most and self._error is None:
                limit.check()
                self._changed.wait(_LOOK)
            if self._error is not None:
                error, self._error = self._error, None
                raise error

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            error: BaseException | None = None
            try:
                job()
            except BaseException as caught:  # noqa: BLE001 - raised again where the job came from
                error = caught
            del job  # It may hold a pack, which must not stay until the next one comes.
            with self._changed:
                self._open -= 1
                self._error = self._error or error
                self._changed.notify_all()
            del error
