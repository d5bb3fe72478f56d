"""Syncs until the pod ends; nothing that the agent or the store does ends it before."""

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from reconcile.mirror.backup.archiver import Effort, Survey
from reconcile.mirror.backup.syncer import Done, Outcome, Syncer, Unchanged
from reconcile.mirror.clock import Clock
from reconcile.mirror.concurrency import Limit, OverError
from reconcile.mirror.errors import (
    DamagedError,
    FencedError,
    MirrorError,
    StoreAwayError,
    StoreError,
    UnknownFormatError,
)
from reconcile.mirror.journal import Journal
from reconcile.mirror.model import Missing
from reconcile.mirror.sidecar.status import FactBook
from reconcile.mirror.sidecar.termination import Ending
from reconcile.mirror.snapshot.repack import NEVER
from reconcile.mirror.tempo import Looked, Tempo, due, next_look

FATAL = (FencedError, DamagedError, UnknownFormatError)
"""What no later pass can make good: the process says so and ends."""


class Room(Struct, frozen=True):
    """What a loop works with."""

    clock: Clock
    facts: FactBook
    journal: Journal


class Passes:
    """Makes single passes, and keeps the facts of how they went."""

    def __init__(self, syncer: Syncer, room: Room) -> None:
        self._syncer = syncer
        self._room = room

    def attempt(self, effort: Effort) -> Outcome | None:
        """Make a pass; None where it failed in a way that a later one may make good.

        Raises:
            OverError: The limit was reached.
            FencedError, DamagedError, UnknownFormatError: There is nothing more to do.
        """
        began = self._room.clock.monotonic()
        started = self._now()
        try:
            outcome = self._syncer.run(effort)
        except FATAL:
            raise
        except MirrorError as error:
            self.failed(error)
            return None
        self._succeeded(outcome, started, self._room.clock.monotonic() - began)
        return outcome

    def look(self, effort: Effort) -> Looked | None:
        """Look whether anything has changed; None where the workspace cannot be read."""
        began = self._room.clock.monotonic()
        try:
            seen, differs = self._syncer.look(effort)
        except MirrorError as error:
            self.failed(error)
            return None
        self.saw(seen, differs=differs)
        times = sum(one.mtime + one.ctime + one.size for one in seen.seen)
        took = self._room.clock.monotonic() - began
        return Looked(hash((len(seen.seen), times)), differs, took)

    def saw(self, seen: Survey, *, differs: bool) -> None:
        """Note when something was first seen that is not committed."""
        facts = self._room.facts
        now = self._now()
        since = (facts.now.behind_since or now) if differs else 0
        facts.set(written=seen.newest, behind_since=since)
        self._weighed(seen)

    def failed(self, error: MirrorError) -> None:
        """Note that the store or the workspace could not be used this time."""
        facts = self._room.facts
        facts.count(passes=1, failures=1)
        if isinstance(error, StoreError):
            facts.set(reachable=not isinstance(error, StoreAwayError))
        facts.set(error=str(error), behind_since=facts.now.behind_since or self._now())
        self._room.journal.warn("pass failed", error=str(error), reason=type(error).__name__)

    def _succeeded(self, outcome: Outcome, started: int, seconds: float) -> None:
        facts = self._room.facts
        skipped = outcome.survey.skipped
        facts.count(passes=1)
        facts.set(
            committed=started,
            error="",
            written=outcome.survey.newest,
            behind_since=0,
            files=len(outcome.survey.seen),
            seconds=seconds,
            skipped=skipped.total,
        )
        self._weighed(outcome.survey)
        if isinstance(outcome, Done):
            self._compared(outcome, started)

    def tell(self, outcome: Outcome) -> None:
        """Log a pass that was made outside of the loop."""
        self._weighed(outcome.survey)
        if isinstance(outcome, Done):
            self._compared(outcome, self._now())
        else:
            self._room.journal.info("nothing new", entries=len(outcome.survey.seen))

    def _compared(self, done: Done, started: int) -> None:
        facts = self._room.facts
        gathered = done.captured.gathered
        facts.count(sent=done.sent, commits=int(done.committed))
        facts.set(
            generation=done.generation.number,
            partial=isinstance(done.generation.completeness, Missing),
            reachable=True,
            restless=gathered.restless,
            unreadable=gathered.unreadable,
            behind_since=started if gathered.restless else 0,
        )
        self._room.journal.info(
            "committed" if done.committed else "nothing new",
            generation=done.generation.number,
            entries=len(done.survey.seen),
            sent=done.sent,
            repacked=done.repacked,
            restless=gathered.restless,
            unreadable=gathered.unreadable,
        )
        if done.unpacked:
            self._room.journal.warn("packs stay as they are", error=done.unpacked)
        if done.unkept:
            self._room.journal.warn("state not kept", error=done.unkept)

    def _weighed(self, seen: Survey) -> None:
        """Say when there begin to be more entries than are taken, and when that is over."""
        beyond, before = seen.skipped.beyond, self._room.facts.now.beyond
        self._room.facts.set(beyond=beyond)
        if beyond and not before:
            examples = seen.skipped.examples.get("beyond", [])
            taken = len(seen.seen)
            self._room.journal.warn("too many files", taken=taken, beyond=beyond, such_as=examples)
        elif before and not beyond:
            self._room.journal.info("all files have room again", entries=len(seen.seen))

    def _now(self) -> int:
        return self._room.clock.steady_ns()


class Loop:
    """The time from the start until TERM."""

    def __init__(self, passes: Passes, room: Room, ending: Ending, tempo: Tempo) -> None:
        self._passes = passes
        self._room = room
        self._ending = ending
        self._tempo = tempo
        self._synced = -1e9
        self._last: Looked | None = None

    def run(self) -> None:
        """Sync until TERM comes; raises what `Passes.attempt` does, but for OverError."""
        effort = Effort(Limit(self._room.clock, asked=self._ending.asked))
        while not self._ending.asked():
            try:
                self._turn(effort)
            except OverError:
                return

    def _turn(self, effort: Effort) -> None:
        if self._ending.near():
            self._room.facts.set(phase="following")
            self._sync(replace(effort, thrift=NEVER))
            self._ending.wait(self._tempo.pause, _never)
            return
        looked = self._passes.look(effort)
        if looked is None:
            self._ending.wait(self._tempo.interval, self._ending.near)
            return
        if due(self._tempo, self._last, looked, self._room.clock.monotonic() - self._synced):
            self._sync(effort)
        else:
            self._last = looked
        self._ending.wait(next_look(self._tempo, looked.seconds), self._ending.near)

    def _sync(self, effort: Effort) -> None:
        self._passes.attempt(effort)
        self._synced = self._room.clock.monotonic()
        self._last = None


def follow(passes: Passes, room: Room, gone: Callable[[], bool], ends: float, pause: float) -> None:
    """Sync without rest until the runner is gone, or the time for that is over."""
    effort = Effort(Limit(room.clock, ends, gone), thrift=NEVER)
    while not effort.limit.over():
        try:
            passes.attempt(effort)
        except OverError:
            return
        room.clock.sleep(pause)


def settled(outcome: Outcome | None) -> bool:
    """Tell whether a final pass has stored everything."""
    match outcome:
        case None:
            return False
        case Unchanged():
            return True
        case Done():
            return not outcome.captured.built.missing.files


def _never() -> bool:
    return False
