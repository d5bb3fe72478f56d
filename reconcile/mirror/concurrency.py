"""A few threads that work for one; what waits for them is bounded, and so is memory.

How long something may go on: until a time, or until somebody asks for an end.
"""

import math
import queue
import threading
from collections.abc import Callable
from typing import TypeAlias

from reconcile.mirror.clock import Clock


class DeadlineExceededError(Exception):
    """The limit is reached; what was begun is not finished."""


def _never_cancelled() -> bool:
    return False


class Deadline:
    """Asked often by whatever may take long.

    Args:
        clock: Whose time counts.
        expires_at: When it is over, on the clock's monotonic time.
        is_cancelled: Whether somebody wants an end now.
    """

    def __init__(
        self,
        clock: Clock,
        expires_at: float = math.inf,
        is_cancelled: Callable[[], bool] = _never_cancelled,
    ) -> None:
        self._clock = clock
        self.expires_at = expires_at
        self._is_cancelled = is_cancelled

    def expired(self) -> bool:
        """Tell whether it is time to stop."""
        return self._is_cancelled() or self._clock.monotonic() >= self.expires_at

    def check(self) -> None:
        """Raise OverError if it is time to stop."""
        if self.expired():
            raise DeadlineExceededError

    def within(self, seconds: float) -> "Deadline":
        """Return the same limit, or one so many seconds from now if that is earlier."""
        ends = min(self.expires_at, self._clock.monotonic() + seconds)
        return Deadline(self._clock, ends, self._is_cancelled)

    def earlier_by(self, seconds: float) -> "Deadline":
        """Return the same limit that much earlier: to leave time for what comes after."""
        return Deadline(self._clock, self.expires_at - seconds, self._is_cancelled)


PoolJob: TypeAlias = Callable[[], None]

_POLL_INTERVAL = 0.1
"""Seconds between two looks whether the limit is reached."""


class WorkerPool:
    """Runs jobs on `max_threads` threads; a job that fails makes the next call here raise its error.

    The threads are daemons: a request that hangs never keeps the process from ending.
    """

    def __init__(self, max_threads: int, name: str) -> None:
        self._max_threads = max_threads
        self._name = name
        self._jobs: queue.SimpleQueue[PoolJob] = queue.SimpleQueue()
        self._condition = threading.Condition()
        self._pending = 0
        self._thread_count = 0
        self._error: BaseException | None = None

    def submit(self, job: PoolJob, deadline: Deadline) -> None:
        """Hand a job over as soon as a thread is free.

        Raises:
            OverError: The limit was reached before.
            BaseException: What an earlier job has raised.
        """
        self._wait(deadline, self._max_threads - 1)
        with self._condition:
            self._pending += 1
            if self._pending > self._thread_count:
                self._thread_count += 1
                threading.Thread(
                    target=self._work, name=f"{self._name}-{self._thread_count}", daemon=True
                ).start()
        self._jobs.put(job)

    def drain(self, deadline: Deadline) -> None:
        """Wait until all jobs are done; raises as `submit` does."""
        self._wait(deadline, 0)

    def clear_error(self) -> None:
        """Let go of an error that nobody came for: its work was given up."""
        with self._condition:
            self._error = None

    def _wait(self, deadline: Deadline, max_pending: int) -> None:
        with self._condition:
            while self._pending > max_pending and self._error is None:
                deadline.check()
                self._condition.wait(_POLL_INTERVAL)
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
            with self._condition:
                self._pending -= 1
                self._error = self._error or error
                self._condition.notify_all()
            del error
