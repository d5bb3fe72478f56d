"""The end of a sync: waits for the runner, and flushes as far as the deadline allows."""

from functools import partial

from msgspec import Struct

from reconcile.mirror.backup.archiver import PassOptions, UploadPace
from reconcile.mirror.backup.syncer import PassOutcome
from reconcile.mirror.concurrency import Deadline, DeadlineExceededError
from reconcile.mirror.errors import FencedError
from reconcile.mirror.model import Complete
from reconcile.mirror.sidecar.loop import LoopContext, PassRunner
from reconcile.mirror.sidecar.outcome import (
    explain_missing,
    find_missing,
    is_fully_stored,
    may_store_more,
)
from reconcile.mirror.sidecar.termination import (
    Runner,
    ShutdownSignal,
    ShutdownTimeouts,
    TerminationMessage,
    has_runner_exited,
)
from reconcile.mirror.snapshot.repack import NEVER_REPACK


def sync_until_runner_exits(
    pass_runner: PassRunner, context: LoopContext, runner: Runner, end_time: float
) -> None:
    """Make one pass after the other until the runner has ended, at most until `end_time`."""
    deadline = Deadline(context.clock, end_time, partial(has_runner_exited, runner))
    options = PassOptions(deadline, repack_policy=NEVER_REPACK)
    while not deadline.expired():
        try:
            pass_runner.attempt(options)
        except DeadlineExceededError:
            return
        context.clock.sleep(_DRAIN_PAUSE)


_FLUSH_RETRY_PAUSE = 0.5
_DRAIN_PAUSE = 0.5


class ShutdownPlan(Struct, frozen=True):
    """How the pod ends: the runner to wait for, and how long everything may take."""

    runner: Runner
    timeouts: ShutdownTimeouts


def hard_deadline(shutdown: ShutdownSignal, plan: ShutdownPlan) -> float:
    """Return when the process must have ended, on the clock's monotonic time."""
    timeouts = plan.timeouts
    end_time = shutdown.terminated_at + timeouts.runner + timeouts.flush
    return shutdown.before_kill(end_time, shutdown.own_deadline(timeouts))


def shut_down(
    pass_runner: PassRunner, context: LoopContext, shutdown: ShutdownSignal, plan: ShutdownPlan
) -> TerminationMessage:
    """Wait until the runner has ended, and flush; never raises a MirrorError."""
    try:
        if not has_runner_exited(plan.runner):
            context.status_registry.update(phase="draining")
            end_time = shutdown.terminated_at + plan.timeouts.runner
            sync_until_runner_exits(pass_runner, context, plan.runner, end_time)
        return _flush(pass_runner, context, shutdown, plan.timeouts)
    except FencedError as error:
        return shut_down_fenced(context, shutdown, error)


def _flush(
    pass_runner: PassRunner,
    context: LoopContext,
    shutdown: ShutdownSignal,
    timeouts: ShutdownTimeouts,
) -> TerminationMessage:
    context.status_registry.update(phase="flushing")
    context.logger.info("flush begins", seconds=context.clock.monotonic() - shutdown.terminated_at)
    end_time = shutdown.before_kill(
        context.clock.monotonic() + timeouts.flush - timeouts.reserve,
        shutdown.own_deadline(timeouts) - timeouts.reserve,
    )
    deadline = Deadline(context.clock, end_time)
    options = PassOptions(deadline, is_final=True, pace=UploadPace(deadline), is_last=True)
    best: PassOutcome | None = None
    while True:
        try:
            outcome = pass_runner.attempt(options)
        except DeadlineExceededError:
            break
        best = outcome or best
        is_done = is_fully_stored(outcome) or not may_store_more(outcome)
        if is_done or options.deadline.expired():
            break
        context.clock.sleep(_FLUSH_RETRY_PAUSE)
    return _build_termination_message(context, shutdown, best)


def _build_termination_message(
    context: LoopContext, shutdown: ShutdownSignal, best: PassOutcome | None
) -> TerminationMessage:
    seconds = context.clock.monotonic() - shutdown.terminated_at
    status = context.status_registry.current
    if best is None:
        reason = status.error or "the time was over before the workspace could be walked"
        return TerminationMessage("failed", status.generation, Complete(), seconds, reason)
    if not is_fully_stored(best):
        return TerminationMessage(
            "partial",
            status.generation,
            find_missing(best),
            seconds,
            explain_missing(best),
            status.over_limit,
        )
    over_limit = status.over_limit
    reason = f"{over_limit} files or more are beyond --max-files" if over_limit else ""
    return TerminationMessage("flushed", status.generation, Complete(), seconds, reason, over_limit)


def shut_down_fenced(
    context: LoopContext, shutdown: ShutdownSignal, error: FencedError
) -> TerminationMessage:
    """Record an end without a flush, and return its message."""
    context.status_registry.update(phase="fenced", error=str(error))
    context.logger.warning("ended", outcome="fenced", error=str(error))
    seconds = context.clock.monotonic() - shutdown.terminated_at if shutdown.terminated() else 0.0
    generation = context.status_registry.current.generation
    return TerminationMessage("fenced", generation, Complete(), seconds, str(error))
