"""The end: the last changes are stored, as far as the deadline lets them."""

from msgspec import Struct

from reconcile.mirror.backup.archiver import Effort
from reconcile.mirror.backup.syncer import Done, Outcome
from reconcile.mirror.concurrency import Limit, OverError
from reconcile.mirror.errors import FencedError, MirrorError
from reconcile.mirror.model import Missing, Whole
from reconcile.mirror.report import Farewell
from reconcile.mirror.sidecar.loop import FATAL, Passes, Room, follow, settled
from reconcile.mirror.sidecar.termination import Ending, Runner, Times, runner_gone

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
