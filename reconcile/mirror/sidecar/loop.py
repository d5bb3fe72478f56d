"""Syncs until the pod ends, then flushes: stores the last changes, as far as the deadline allows.

A loop scans the workspace often, and makes a pass when a burst of writes has ended or has lasted
for the interval; the pass continues from that scan. Neither the agent nor the store can end it.
"""

import math
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from reconcile.mirror.backup.archiver import PassOptions
from reconcile.mirror.backup.syncer import (
    ComparedScan,
    NoChanges,
    PassOutcome,
    PassResult,
    Syncer,
)
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
from reconcile.mirror.workspace.survey import Scan
from reconcile.runtime.logging import Logger

SCAN_COST_FACTOR = 50
"""Scans take at most one part in so many of the time, unless the interval demands more."""


class SyncSchedule(Struct, frozen=True):
    """How often to scan and to sync, in seconds.

    Attributes:
        interval: A pass at least so often while the workspace changes.
        scan_interval: A scan so often, to find the end of a burst of writes.
        drain_pause: Between two passes while the pod is ending.
    """

    interval: float = 30.0
    scan_interval: float = 2.0
    drain_pause: float = 0.5


class ScanSummary(Struct, frozen=True):
    """What the loop remembers of a scan.

    Attributes:
        fingerprint: Changes when the workspace changes.
        is_changed: Whether the workspace differs from what is committed.
        seconds: How long the scan took.
    """

    fingerprint: int
    is_changed: bool
    seconds: float


def is_due(
    schedule: SyncSchedule,
    previous: ScanSummary | None,
    current: ScanSummary,
    seconds_since_sync: float,
) -> bool:
    """Say whether to make a pass: a burst of writes has ended, or has lasted for the interval.

    A burst has ended if two scans in a row see the same workspace.

    Args:
        schedule: How often to sync.
        previous: The scan before, if there was one since the last pass.
        current: The latest scan.
        seconds_since_sync: Seconds since the last pass.
    """
    if not current.is_changed:
        return False
    has_ended = previous is not None and previous.fingerprint == current.fingerprint
    return has_ended or seconds_since_sync >= schedule.interval


def next_scan_delay(schedule: SyncSchedule, seconds: float) -> float:
    """Return how long to wait until the next scan: at most the interval.

    Args:
        schedule: How often to scan and to sync.
        seconds: How long the last scan took.
    """
    return min(max(schedule.scan_interval, seconds * SCAN_COST_FACTOR), schedule.interval)


FATAL_ERRORS = (FencedError, DamagedError, UnknownFormatError)
"""Errors after which no later pass can succeed: the process reports them and ends."""


class LoopContext(Struct, frozen=True):
    """What a loop works with."""

    clock: Clock
    status_registry: StatusRegistry
    logger: Logger


class StartedPass(Struct, frozen=True):
    """A pass that has scanned the workspace.

    Attributes:
        compared: The scan. It is as large as the workspace: to be dropped where no pass follows.
        summary: What later scans are compared with.
        started: When the scan began, in nanoseconds of the clock's steady time.
        started_monotonic: The same in seconds of the clock's monotonic time.
    """

    compared: ComparedScan
    summary: ScanSummary
    started: int
    started_monotonic: float


class PassRunner:
    """Makes single passes, and records in the status how they went."""

    def __init__(self, syncer: Syncer, context: LoopContext) -> None:
        self._syncer = syncer
        self._context = context

    def attempt(self, options: PassOptions) -> PassOutcome | None:
        """Make a pass; None where it failed in a way that a later pass may not.

        Raises:
            DeadlineExceededError: The deadline came.
            FencedError, DamagedError, UnknownFormatError: No later pass can succeed.
        """
        scanned = self.scan(options)
        return None if scanned is None else self.finish(scanned, options)

    def scan(self, options: PassOptions) -> StartedPass | None:
        """Begin a pass: scan the workspace. None where that failed; raises as `attempt`."""
        started, started_monotonic = self._now(), self._context.clock.monotonic()
        try:
            compared = self._syncer.scan(options)
        except FATAL_ERRORS:
            raise
        except MirrorError as error:
            self.record_failure(error)
            return None
        self._record_scan(compared, started)
        seconds = self._context.clock.monotonic() - started_monotonic
        return StartedPass(compared, _summarize(compared, seconds), started, started_monotonic)

    def finish(self, scanned: StartedPass, options: PassOptions) -> PassOutcome | None:
        """Finish a pass right after its scan: store and commit what changed; as `attempt`."""
        try:
            outcome = self._syncer.store_changes(scanned.compared, options)
        except FATAL_ERRORS:
            raise
        except MirrorError as error:
            self.record_failure(error)
            return None
        seconds = self._context.clock.monotonic() - scanned.started_monotonic
        self._record_success(outcome, scanned.started, seconds)
        return outcome

    def _record_scan(self, compared: ComparedScan, started: int) -> None:
        """Record that all is committed, or when something was first seen that is not."""
        registry, scan = self._context.status_registry, compared.scan
        if compared.is_changed:
            behind_since = registry.current.behind_since or self._now()
            registry.update(written=scan.newest_write, behind_since=behind_since)
        else:
            self._record_equality(scan, started)
        self._report_over_limit(scan)

    def _record_equality(self, scan: Scan, started: int) -> None:
        """Record that the snapshot equals the workspace as the scan saw it."""
        self._context.status_registry.update(
            committed=started,
            error="",
            written=scan.newest_write,
            behind_since=0,
            files=len(scan.file_stats),
            skipped=scan.skipped.total,
        )

    def record_failure(self, error: MirrorError) -> None:
        """Record that the store or the workspace could not be used this time."""
        registry = self._context.status_registry
        registry.increment(passes=1, failures=1)
        if isinstance(error, StoreError):
            registry.update(reachable=not isinstance(error, StoreAwayError))
        behind_since = registry.current.behind_since or self._now()
        registry.update(error=str(error), behind_since=behind_since)
        self._context.logger.warning("pass failed", error=str(error), reason=type(error).__name__)

    def _record_success(self, outcome: PassOutcome, started: int, seconds: float) -> None:
        registry, scan = self._context.status_registry, outcome.scan
        registry.increment(passes=1)
        registry.update(seconds=seconds)
        self._record_equality(scan, started)
        self._report_over_limit(scan)
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
        registry, logger = self._context.status_registry, self._context.logger
        read = result.archive.read_files
        registry.increment(sent=result.sent_bytes, commits=int(result.is_committed))
        registry.update(
            generation=result.generation.number,
            partial=isinstance(result.generation.completeness, Partial),
            reachable=True,
            changing=read.changing,
            unreadable=read.unreadable,
            behind_since=started if read.changing else 0,
        )
        logger.info(
            "committed" if result.is_committed else "nothing new",
            generation=result.generation.number,
            entries=len(result.scan.file_stats),
            sent=result.sent_bytes,
            repacked=result.repacked_packs,
            restless=read.changing,
            unreadable=read.unreadable,
        )
        if result.repack_error:
            logger.warning("repack skipped", error=result.repack_error)
        if result.index_error:
            logger.warning("state not kept", error=result.index_error)

    def _report_over_limit(self, scan: Scan) -> None:
        """Log when there begin to be more entries than the limit, and when that is over."""
        registry, logger = self._context.status_registry, self._context.logger
        over_limit, before = scan.skipped.over_limit, registry.current.over_limit
        registry.update(over_limit=over_limit)
        entries = len(scan.file_stats)
        if over_limit and not before:
            examples = scan.skipped.examples.get("over_limit", [])
            logger.warning("too many files", taken=entries, beyond=over_limit, such_as=examples)
        elif before and not over_limit:
            logger.info("all files have room again", entries=entries)

    def _now(self) -> int:
        return self._context.clock.steady_ns()


def _summarize(compared: ComparedScan, seconds: float) -> ScanSummary:
    stats = compared.scan.file_stats
    times = sum(stat.mtime + stat.ctime + stat.size for stat in stats)
    return ScanSummary(hash((len(stats), times)), compared.is_changed, seconds)


class SyncLoop:
    """Syncs from the start until TERM."""

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
        self._last_pass_time = -math.inf
        self._last_scan: ScanSummary | None = None

    def run(self) -> None:
        """Sync until TERM comes; raises the fatal errors of `PassRunner.attempt`."""
        deadline = Deadline(self._context.clock, is_cancelled=self._shutdown.terminated)
        options = PassOptions(deadline)
        while not self._shutdown.terminated():
            try:
                self._run_once(options)
            except DeadlineExceededError:
                return

    def _run_once(self, options: PassOptions) -> None:
        if self._shutdown.prestop_received():
            self._context.status_registry.update(phase="draining")
            self._pass_runner.attempt(replace(options, repack_policy=NEVER_REPACK))
            self._shutdown.wait(self._schedule.drain_pause)
        else:
            self._shutdown.wait_for_prestop(self._scan_and_sync(options))

    def _scan_and_sync(self, options: PassOptions) -> float:
        """Scan, and finish the pass where it is due; returns the seconds until the next scan."""
        scanned = self._pass_runner.scan(options)
        if scanned is None:
            return self._schedule.interval
        seconds = self._context.clock.monotonic() - self._last_pass_time
        if is_due(self._schedule, self._last_scan, scanned.summary, seconds):
            self._pass_runner.finish(scanned, options)
            self._last_pass_time = self._context.clock.monotonic()
            self._last_scan = None
        else:
            self._last_scan = scanned.summary
        return next_scan_delay(self._schedule, scanned.summary.seconds)


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


def is_fully_stored(outcome: PassOutcome | None) -> bool:
    """Say whether a final pass has stored everything."""
    match outcome:
        case None:
            return False
        case NoChanges():
            return True
        case PassResult():
            return not outcome.archive.tree_result.missing.files


_FLUSH_RETRY_PAUSE = 0.5
_DRAIN_PAUSE = 0.5


class ShutdownPlan(Struct, frozen=True):
    """How the pod ends: the runner to wait for, and how long everything may take."""

    runner: Runner
    timeouts: ShutdownTimeouts


def hard_deadline(shutdown: ShutdownSignal, plan: ShutdownPlan) -> float:
    """Return when the process must have ended, on the clock's monotonic time."""
    return shutdown.terminated_at + plan.timeouts.runner + plan.timeouts.flush


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
    end_time = context.clock.monotonic() + timeouts.flush - timeouts.reserve
    options = PassOptions(Deadline(context.clock, end_time), is_final=True)
    best: PassOutcome | None = None
    while True:
        try:
            outcome = pass_runner.attempt(options)
        except DeadlineExceededError:
            break
        best = outcome or best
        if is_fully_stored(outcome) or options.deadline.expired():
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
    if isinstance(best, PassResult) and isinstance(best.generation.completeness, Partial):
        reason = (
            "the time was over" if best.archive.is_truncated else "files kept changing while read"
        )
        missing = best.generation.completeness
        return TerminationMessage(
            "partial", status.generation, missing, seconds, reason, status.over_limit
        )
    over_limit = status.over_limit
    reason = f"{over_limit} files or more are beyond --max-files" if over_limit else ""
    return TerminationMessage("flushed", status.generation, Complete(), seconds, reason, over_limit)


def shut_down_with_error(
    context: LoopContext, shutdown: ShutdownSignal, error: MirrorError
) -> TerminationMessage:
    """Record an end without a flush, and return its message."""
    outcome = "fenced" if isinstance(error, FencedError) else "failed"
    context.status_registry.update(
        phase="fenced" if outcome == "fenced" else "ended", error=str(error)
    )
    context.logger.warning("ended", outcome=outcome, error=str(error))
    seconds = context.clock.monotonic() - shutdown.terminated_at if shutdown.terminated() else 0.0
    return TerminationMessage(
        outcome, context.status_registry.current.generation, Complete(), seconds, str(error)
    )
