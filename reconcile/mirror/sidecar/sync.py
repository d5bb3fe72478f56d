"""The process of `sync`, from its start to its exit code."""

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from msgspec import Struct

from reconcile.mirror.backup.archiver import Effort
from reconcile.mirror.backup.syncer import Syncer, Workspace
from reconcile.mirror.concurrency import Lanes, Limit
from reconcile.mirror.errors import FencedError, MirrorError
from reconcile.mirror.exit_codes import Exit, exit_of_farewell
from reconcile.mirror.local_state import require_mark
from reconcile.mirror.model import Whole
from reconcile.mirror.sidecar.loop import (
    FATAL,
    Loop,
    Passes,
    Plan,
    Room,
    Tempo,
    end,
    failed,
    hard_deadline,
)
from reconcile.mirror.sidecar.status import Door, FactBook, serve
from reconcile.mirror.sidecar.termination import Ending, Farewell, write_farewell
from reconcile.mirror.wiring import Holding, StoreClock, Where, store_opener
from reconcile.runtime.logging import JsonJournal

_GRACE = 0.5
"""Seconds that the worker gets to say by itself that the deadline came."""


class Course(Struct, frozen=True):
    """How a sync goes on and ends, and how many files it takes."""

    tempo: Tempo
    plan: Plan
    farewell: Path
    door: Door
    max_files: int


class SyncProcess:
    """A `sync`: the main thread only waits, so that a signal is heard at once."""

    def __init__(self, where: Where, course: Course) -> None:
        """Prepare; raises a MirrorError where there is no mark, or a setting makes no sense."""
        self._clock = StoreClock()
        self._course = course
        self._journal = JsonJournal(self._clock.time_ns)
        self._facts = FactBook()
        self._ending = Ending(self._clock, where.directory)
        self._room = Room(self._clock, self._facts, self._journal)
        mark = require_mark(where.directory, where.workspace)
        self._facts.set(generation=mark.generation)
        workspace = Workspace(
            where.workspace, where.patterns(), where.directory, mark.writer, course.max_files
        )
        holding = Holding(self._ends, lambda seconds: self._facts.count(held=seconds))
        opener = store_opener(where, self._clock, self._journal, holding)
        self._syncer = Syncer(workspace, opener, Lanes(where.lanes, "upload"), self._clock)
        self._passes = Passes(self._syncer, self._room)
        self._farewell: Farewell | None = None
        self._error: BaseException | None = None
        self._done = threading.Event()

    def once(self) -> Exit:
        """Make one pass; raises a MirrorError where it fails."""
        self._listen()
        self._start(self._one_pass)
        while not self._done.wait(1.0):
            if self._ending.asked() and self._late():
                return Exit.LOST
        if self._error is not None:
            raise self._error
        return Exit.LOST if self._ending.asked() else Exit.OK

    def _one_pass(self) -> None:
        limit = Limit(self._clock, asked=self._ending.asked)
        outcome = self._syncer.run(Effort(limit))
        self._passes.tell(outcome)

    def forever(self) -> Exit:
        """Sync until TERM, flush, and say how it went."""
        self._ending.forget()
        self._listen()
        serve(self._course.door, self._facts, self._clock)
        self._journal.info("sync begins", generation=self._facts.now.generation)
        self._start(self._work)
        while not self._done.wait(0.2):
            if self._ending.asked() and self._late():
                break
        if self._error is not None:
            raise self._error
        return self._say()

    def _work(self) -> None:
        loop = Loop(self._passes, self._room, self._ending, self._course.tempo)
        try:
            self._first_look()
            loop.run()
        except FATAL as error:
            self._farewell = failed(self._room, self._ending, error)
            self._error = None if isinstance(error, FencedError) else error
            return
        self._clock.resume()
        self._farewell = end(self._passes, self._room, self._ending, self._course.plan)

    def _first_look(self) -> None:
        """Read HEAD before anything else: who was fenced must not even look busy."""
        while not self._ending.asked():
            try:
                found = self._syncer.check()
            except FATAL:
                raise
            except MirrorError as error:
                self._passes.failed(error)
                self._ending.wait(self._course.tempo.interval, _never)
            else:
                self._facts.set(generation=found.head.generation.number)
                return

    def _start(self, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - raised again in the main thread
                self._error = error
            finally:
                self._done.set()

        threading.Thread(target=run, name="sync", daemon=True).start()

    def _listen(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._asked)

    def _asked(self, number: int, _frame: FrameType | None) -> None:
        self._ending.terminate()
        self._clock.interrupt()
        self._journal.info("end asked for", signal=signal.Signals(number).name)

    def _ends(self) -> bool:
        """Tell whether time is what is short now, and bandwidth no matter any more."""
        return self._ending.asked() or self._ending.near()

    def _late(self) -> bool:
        return self._clock.monotonic() > hard_deadline(self._ending, self._course.plan) + _GRACE

    def _say(self) -> Exit:
        farewell = self._farewell
        if farewell is None:
            seconds = self._clock.monotonic() - self._ending.since
            reason = self._facts.now.error or "the store did not answer in time"
            generation = self._facts.now.generation
            farewell = Farewell("late", generation, Whole(), seconds, reason)
        problem = write_farewell(self._course.farewell, farewell)
        if problem:
            self._journal.warn("no termination message", error=problem)
        self._journal.info("ended", outcome=farewell.outcome, generation=farewell.generation)
        return exit_of_farewell(farewell.outcome)


def _never() -> bool:
    return False
