"""Syncs until the pod ends; nothing that the agent or the store does ends it before.

When to look at the workspace again, and when to sync it. Pure.

The end: the last changes are stored, as far as the deadline lets them.
"""

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
from reconcile.mirror.model import Missing, Whole
from reconcile.mirror.sidecar.status import FactBook
from reconcile.mirror.sidecar.termination import Ending, Farewell, Runner, Times, runner_gone
from reconcile.mirror.snapshot.repack import NEVER
from reconcile.runtime.logging import Journal

SHARE = 50
"""A look may take one part in so many of the time, whatever the size of the tree."""


class Tempo(Struct, frozen=True):
    """Seconds: a sync at least each `interval`, looks for the end of a burst each `look`.

    While the end is near, syncs follow each other with `pause` between them.
    """

    interval: float = 30.0
    look: float = 2.0
    pause: float = 0.5


class Looked(Struct, frozen=True):
    """What a look has found.

    `print` changes with the tree; `differs` says whether it is other than what is committed.
    """

    print: int
    differs: bool
    seconds: float


def due(tempo: Tempo, last: Looked | None, now: Looked, since: float) -> bool:
    """Tell whether to sync: a burst has ended, or it goes on for longer than the interval.

    A burst has ended where two looks in a row see the same tree.

    Args:
        tempo: The seconds that are asked for.
        last: The look before, if there was one since the last sync.
        now: The look that was just taken.
        since: Seconds since the last sync.
    """
    if not now.differs:
        return False
    ended = last is not None and last.print == now.print
    return ended or since >= tempo.interval


def next_look(tempo: Tempo, seconds: float) -> float:
    """Return how long to wait before the next look, which took so many seconds this time."""
    return min(max(tempo.look, seconds * SHARE), max(tempo.interval, tempo.look))


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


_AGAIN = 0.5
_FOLLOW = 0.5


class Plan(Struct, frozen=True):
    """How the pod ends: whom to wait for, and how long everything may take."""

    runner: Runner
    times: Times


def hard_deadline(ending: Ending, plan: Plan) -> float:
    """Return when all must be over, come what may, on the clock's monotonic time."""
    return ending.since + plan.times.runner + plan.times.flush


def end(passes: Passes, room: Room, ending: Ending, plan: Plan) -> Farewell:
    """Wait for the runner's end if that is asked for, and flush; never raises a MirrorError."""
    try:
        if not runner_gone(plan.runner):
            room.facts.set(phase="following")
            ends = ending.since + plan.times.runner
            follow(passes, room, lambda: runner_gone(plan.runner), ends, _FOLLOW)
        return _flush(passes, room, ending, plan.times)
    except FATAL as error:
        return failed(room, ending, error)


def _flush(passes: Passes, room: Room, ending: Ending, times: Times) -> Farewell:
    room.facts.set(phase="flushing")
    room.journal.info("flush begins", seconds=room.clock.monotonic() - ending.since)
    limit = Limit(room.clock, room.clock.monotonic() + times.flush - times.reserve)
    best: Outcome | None = None
    while True:
        try:
            outcome = passes.attempt(Effort(limit, final=True))
        except OverError:
            break
        best = outcome or best
        if settled(outcome) or limit.over():
            break
        room.clock.sleep(_AGAIN)
    return _farewell(room, ending, best)


def _farewell(room: Room, ending: Ending, best: Outcome | None) -> Farewell:
    seconds = room.clock.monotonic() - ending.since
    generation = room.facts.now.generation
    if best is None:
        reason = room.facts.now.error or "the time was over before the workspace could be walked"
        return Farewell("failed", generation, Whole(), seconds, reason)
    beyond = room.facts.now.beyond
    if isinstance(best, Done) and isinstance(best.generation.completeness, Missing):
        reason = "the time was over" if best.captured.cut else "files kept changing while read"
        lacks = best.generation.completeness
        return Farewell("partial", generation, lacks, seconds, reason, beyond)
    reason = f"{beyond} files or more are beyond --max-files" if beyond else ""
    return Farewell("flushed", generation, Whole(), seconds, reason, beyond)


def failed(room: Room, ending: Ending, error: MirrorError) -> Farewell:
    """Say that the end is one without a flush."""
    outcome = "fenced" if isinstance(error, FencedError) else "failed"
    room.facts.set(phase="fenced" if outcome == "fenced" else "ended", error=str(error))
    room.journal.warn("ended", outcome=outcome, error=str(error))
    seconds = room.clock.monotonic() - ending.since if ending.asked() else 0.0
    return Farewell(outcome, room.facts.now.generation, Whole(), seconds, str(error))
