"""Deadlines and cancellation, and a pool of worker threads with a bounded queue."""

import math
import queue
import threading
from collections.abc import Callable
from typing import TypeAlias

from reconcile.mirror.clock import Clock


class DeadlineExceededError(Exception):
    """The deadline came; what was begun is not finished."""


def _never_cancelled() -> bool:
    return False


class Deadline:
    """When an operation must end. Whatever may take long checks it often.

    Args:
        clock: The clock of the deadline.
        expires_at: When it is over, on the clock's monotonic time.
        is_cancelled: Whether the operation must end now.
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
        """Say whether it is time to stop."""
        return self._is_cancelled() or self._clock.monotonic() >= self.expires_at

    def remaining(self) -> float:
        """Return the seconds that remain."""
        return self.expires_at - self._clock.monotonic()

    def check(self) -> None:
        """Raise DeadlineExceededError if it is time to stop."""
        if self.expired():
            raise DeadlineExceededError

    def within(self, seconds: float) -> "Deadline":
        """Return the same deadline, or one so many seconds from now if that is earlier."""
        expires_at = min(self.expires_at, self._clock.monotonic() + seconds)
        return Deadline(self._clock, expires_at, self._is_cancelled)

    def earlier_by(self, seconds: float) -> "Deadline":
        """Return the same deadline that much earlier, to leave time for what comes after."""
        return Deadline(self._clock, self.expires_at - seconds, self._is_cancelled)


PoolJob: TypeAlias = Callable[[], object]

_POLL_INTERVAL = 0.1
"""Seconds between two checks of the deadline."""


class WorkerPool:
    """Runs jobs on at most `max_threads` threads. The error of a job is raised by the next call.

    The threads are daemons, so that a request that hangs does not keep the process alive.
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
        """Wait until a thread is free, and give it the job.

        Raises:
            DeadlineExceededError: The deadline came before.
            BaseException: The error of an earlier job.
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
        """Wait until all jobs are done; raises as `submit`."""
        self._wait(deadline, 0)

    def clear_error(self) -> None:
        """Forget an error that no call has raised: its pass was given up."""
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
            except BaseException as caught:  # noqa: BLE001 - raised again by the next call
                error = caught
            del job  # It may hold a pack, which must be freed before the next job.
            with self._condition:
                self._pending -= 1
                self._error = self._error or error
                self._condition.notify_all()
            del error
