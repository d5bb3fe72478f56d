"""Syncs until the pod ends; nothing that the agent or the store does ends it before.

When to look at the workspace again, and when to sync it. Pure.

The end: the last changes are stored, as far as the deadline lets them.
"""

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from reconcile.mirror.backup.archiver import PassOptions, Scan
from reconcile.mirror.backup.syncer import NoChanges, PassOutcome, PassResult, Syncer
from reconcile.mirror.clock import Clock
from reconcile.mirror.concurrency import Deadline, DeadlineExceededError
from reconcile.mirror.errors import (
    DamagedError,
    FencedError,
    MirrorError,
    StoreAwayError,
    StoreError,
    UnknownFormatError,
)
from reconcile.mirror.model import Complete, Partial
from reconcile.mirror.sidecar.status import StatusRegistry
from reconcile.mirror.sidecar.termination import (
    Runner,
    ShutdownSignal,
    ShutdownTimeouts,
    TerminationMessage,
    has_runner_exited,
)
from reconcile.mirror.snapshot.repack import NEVER_REPACK
from reconcile.runtime.logging import Logger

SCAN_COST_FACTOR = 50
"""A look may take one part in so many of the time, whatever the size of the tree."""


class SyncSchedule(Struct, frozen=True):
    """Seconds: a sync at least each `interval`, looks for the end of a burst each `scan_interval`.

    While the end is near, syncs follow each other with `drain_pause` between them.
    """

    interval: float = 30.0
    scan_interval: float = 2.0
    drain_pause: float = 0.5


class ScanResult(Struct, frozen=True):
    """What a look has found.

    `fingerprint` changes with the tree; `differs` says whether it is other than what is committed.
    """

    fingerprint: int
    differs: bool
    seconds: float


def is_due(
    schedule: SyncSchedule,
    previous: ScanResult | None,
    current: ScanResult,
    seconds_since_sync: float,
) -> bool:
    """Tell whether to sync: a burst has ended, or it goes on for longer than the interval.

    A burst has ended where two looks in a row see the same tree.

    Args:
        schedule: The seconds that are asked for.
        previous: The look before, if there was one since the last sync.
        current: The look that was just taken.
        seconds_since_sync: Seconds since the last sync.
    """
    if not current.differs:
        return False
    ended = previous is not None and previous.fingerprint == current.fingerprint
    return ended or seconds_since_sync >= schedule.interval


def next_scan_delay(schedule: SyncSchedule, seconds: float) -> float:
    """Return how long to wait before the next look, which took so many seconds this time."""
    return min(
        max(schedule.scan_interval, seconds * SCAN_COST_FACTOR),
        max(schedule.interval, schedule.scan_interval),
    )


FATAL_ERRORS = (FencedError, DamagedError, UnknownFormatError)
"""What no later pass can make good: the process says so and ends."""


class LoopContext(Struct, frozen=True):
    """What a loop works with."""

    clock: Clock
    status_registry: StatusRegistry
    logger: Logger


class PassRunner:
    """Makes single passes, and keeps the facts of how they went."""

    def __init__(self, syncer: Syncer, context: LoopContext) -> None:
        self._syncer = syncer
        self._context = context

    def attempt(self, options: PassOptions) -> PassOutcome | None:
        """Make a pass; None where it failed in a way that a later one may make good.

        Raises:
            OverError: The limit was reached.
            FencedError, DamagedError, UnknownFormatError: There is nothing more to do.
        """
        began = self._context.clock.monotonic()
        started = self._now()
        try:
            outcome = self._syncer.run(options)
        except FATAL_ERRORS:
            raise
        except MirrorError as error:
            self.record_failure(error)
            return None
        self._record_success(outcome, started, self._context.clock.monotonic() - began)
        return outcome

    def scan(self, options: PassOptions) -> ScanResult | None:
        """Look whether anything has changed; None where the workspace cannot be read."""
        began = self._context.clock.monotonic()
        try:
            seen, differs = self._syncer.scan(options)
        except MirrorError as error:
            self.record_failure(error)
            return None
        self.record_scan(seen, differs=differs)
        times = sum(one.mtime + one.ctime + one.size for one in seen.file_stats)
        took = self._context.clock.monotonic() - began
        return ScanResult(hash((len(seen.file_stats), times)), differs, took)

    def record_scan(self, scan: Scan, *, differs: bool) -> None:
        """Note when something was first seen that is not committed."""
        facts = self._context.status_registry
        now = self._now()
        since = (facts.current.behind_since or now) if differs else 0
        facts.update(written=scan.newest_write, behind_since=since)
        self._report_over_limit(scan)

    def record_failure(self, error: MirrorError) -> None:
        """Note that the store or the workspace could not be used this time."""
        facts = self._context.status_registry
        facts.increment(passes=1, failures=1)
        if isinstance(error, StoreError):
            facts.update(reachable=not isinstance(error, StoreAwayError))
        facts.update(error=str(error), behind_since=facts.current.behind_since or self._now())
        self._context.logger.warning("pass failed", error=str(error), reason=type(error).__name__)

    def _record_success(self, outcome: PassOutcome, started: int, seconds: float) -> None:
        facts = self._context.status_registry
        skipped = outcome.scan.skipped
        facts.increment(passes=1)
        facts.update(
            committed=started,
            error="",
            written=outcome.scan.newest_write,
            behind_since=0,
            files=len(outcome.scan.file_stats),
            seconds=seconds,
            skipped=skipped.total,
        )
        self._report_over_limit(outcome.scan)
        if isinstance(outcome, PassResult):
            self._record_result(outcome, started)

    def report_outcome(self, outcome: PassOutcome) -> None:
        """Log a pass that was made outside of the loop."""
        self._report_over_limit(outcome.scan)
        if isinstance(outcome, PassResult):
            self._record_result(outcome, self._now())
        else:
            self._context.logger.info("nothing new", entries=len(outcome.scan.file_stats))

    def _record_result(self, result: PassResult, started: int) -> None:
        facts = self._context.status_registry
        gathered = result.archive.read_files
        facts.increment(sent=result.sent_bytes, commits=int(result.is_committed))
        facts.update(
            generation=result.generation.number,
            partial=isinstance(result.generation.completeness, Partial),
            reachable=True,
            changing=gathered.changing,
            unreadable=gathered.unreadable,
            behind_since=started if gathered.changing else 0,
        )
        self._context.logger.info(
            "committed" if result.is_committed else "nothing new",
            generation=result.generation.number,
            entries=len(result.scan.file_stats),
            sent=result.sent_bytes,
            repacked=result.repacked_packs,
            restless=gathered.changing,
            unreadable=gathered.unreadable,
        )
        if result.repack_error:
            self._context.logger.warning("repack skipped", error=result.repack_error)
        if result.index_error:
            self._context.logger.warning("state not kept", error=result.index_error)

    def _report_over_limit(self, scan: Scan) -> None:
        """Say when there begin to be more entries than are taken, and when that is over."""
        beyond, before = scan.skipped.over_limit, self._context.status_registry.current.over_limit
        self._context.status_registry.update(over_limit=beyond)
        if beyond and not before:
            examples = scan.skipped.examples.get("over_limit", [])
            taken = len(scan.file_stats)
            self._context.logger.warning(
                "too many files", taken=taken, beyond=beyond, such_as=examples
            )
        elif before and not beyond:
            self._context.logger.info("all files have room again", entries=len(scan.file_stats))

    def _now(self) -> int:
        return self._context.clock.steady_ns()


class SyncLoop:
    """The time from the start until TERM."""

    def __init__(
        self,
        pass_runner: PassRunner,
        context: LoopContext,
        shutdown: ShutdownSignal,
        schedule: SyncSchedule,
    ) -> None:
        self._pass_runner = pass_runner
        self._context = context
        self._shutdown = shutdown
        self._schedule = schedule
        self._last_sync_time = -1e9
        self._last_scan: ScanResult | None = None

    def run(self) -> None:
        """Sync until TERM comes; raises what `Passes.attempt` does, but for OverError."""
        effort = PassOptions(Deadline(self._context.clock, is_cancelled=self._shutdown.terminated))
        while not self._shutdown.terminated():
            try:
                self._run_once(effort)
            except DeadlineExceededError:
                return

    def _run_once(self, options: PassOptions) -> None:
        if self._shutdown.prestop_received():
            self._context.status_registry.update(phase="draining")
            self._sync(replace(options, repack_policy=NEVER_REPACK))
            self._shutdown.wait(self._schedule.drain_pause, _never)
            return
        looked = self._pass_runner.scan(options)
        if looked is None:
            self._shutdown.wait(self._schedule.interval, self._shutdown.prestop_received)
            return
        if is_due(
            self._schedule,
            self._last_scan,
            looked,
            self._context.clock.monotonic() - self._last_sync_time,
        ):
            self._sync(options)
        else:
            self._last_scan = looked
        self._shutdown.wait(
            next_scan_delay(self._schedule, looked.seconds), self._shutdown.prestop_received
        )

    def _sync(self, options: PassOptions) -> None:
        self._pass_runner.attempt(options)
        self._last_sync_time = self._context.clock.monotonic()
        self._last_scan = None


def sync_until_runner_exits(
    pass_runner: PassRunner,
    context: LoopContext,
    is_runner_gone: Callable[[], bool],
    end_time: float,
    pause: float,
) -> None:
    """Sync without rest until the runner is gone, or the time for that is over."""
    effort = PassOptions(
        Deadline(context.clock, end_time, is_runner_gone), repack_policy=NEVER_REPACK
    )
    while not effort.deadline.expired():
        try:
            pass_runner.attempt(effort)
        except DeadlineExceededError:
            return
        context.clock.sleep(pause)


def is_fully_stored(outcome: PassOutcome | None) -> bool:
    """Tell whether a final pass has stored everything."""
    match outcome:
        case None:
            return False
        case NoChanges():
            return True
        case PassResult():
            return not outcome.archive.tree_result.missing.files


def _never() -> bool:
    return False


_FLUSH_RETRY_PAUSE = 0.5
_DRAIN_PAUSE = 0.5


class ShutdownPlan(Struct, frozen=True):
    """How the pod ends: whom to wait for, and how long everything may take."""

    runner: Runner
    timeouts: ShutdownTimeouts


def hard_deadline(shutdown: ShutdownSignal, plan: ShutdownPlan) -> float:
    """Return when all must be over, come what may, on the clock's monotonic time."""
    return shutdown.terminated_at + plan.timeouts.runner + plan.timeouts.flush


def shut_down(
    pass_runner: PassRunner, context: LoopContext, shutdown: ShutdownSignal, plan: ShutdownPlan
) -> TerminationMessage:
    """Wait for the runner's end if that is asked for, and flush; never raises a MirrorError."""
    try:
        if not has_runner_exited(plan.runner):
            context.status_registry.update(phase="draining")
            ends = shutdown.terminated_at + plan.timeouts.runner
            sync_until_runner_exits(
                pass_runner, context, lambda: has_runner_exited(plan.runner), ends, _DRAIN_PAUSE
            )
        return _flush(pass_runner, context, shutdown, plan.timeouts)
    except FATAL_ERRORS as error:
        return shut_down_with_error(context, shutdown, error)


def _flush(
    pass_runner: PassRunner,
    context: LoopContext,
    shutdown: ShutdownSignal,
    timeouts: ShutdownTimeouts,
) -> TerminationMessage:
    context.status_registry.update(phase="flushing")
    context.logger.info("flush begins", seconds=context.clock.monotonic() - shutdown.terminated_at)
    limit = Deadline(context.clock, context.clock.monotonic() + timeouts.flush - timeouts.reserve)
    best: PassOutcome | None = None
    while True:
        try:
            outcome = pass_runner.attempt(PassOptions(limit, is_final=True))
        except DeadlineExceededError:
            break
        best = outcome or best
        if is_fully_stored(outcome) or limit.expired():
            break
        context.clock.sleep(_FLUSH_RETRY_PAUSE)
    return _build_termination_message(context, shutdown, best)


def _build_termination_message(
    context: LoopContext, shutdown: ShutdownSignal, best: PassOutcome | None
) -> TerminationMessage:
    seconds = context.clock.monotonic() - shutdown.terminated_at
    generation = context.status_registry.current.generation
    if best is None:
        reason = (
            context.status_registry.current.error
            or "the time was over before the workspace could be walked"
        )
        return TerminationMessage("failed", generation, Complete(), seconds, reason)
    beyond = context.status_registry.current.over_limit
    if isinstance(best, PassResult) and isinstance(best.generation.completeness, Partial):
        reason = (
            "the time was over" if best.archive.is_truncated else "files kept changing while read"
        )
        lacks = best.generation.completeness
        return TerminationMessage("partial", generation, lacks, seconds, reason, beyond)
    reason = f"{beyond} files or more are beyond --max-files" if beyond else ""
    return TerminationMessage("flushed", generation, Complete(), seconds, reason, beyond)


def shut_down_with_error(
    context: LoopContext, shutdown: ShutdownSignal, error: MirrorError
) -> TerminationMessage:
    """Say that the end is one without a flush."""
    outcome = "fenced" if isinstance(error, FencedError) else "failed"
    context.status_registry.update(
        phase="fenced" if outcome == "fenced" else "ended", error=str(error)
    )
    context.logger.warning("ended", outcome=outcome, error=str(error))
    seconds = context.clock.monotonic() - shutdown.terminated_at if shutdown.terminated() else 0.0
    return TerminationMessage(
        outcome, context.status_registry.current.generation, Complete(), seconds, str(error)
    )
