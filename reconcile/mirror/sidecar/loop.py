"""Syncs until the pod ends.

A loop scans the workspace often, and makes a pass when a burst of writes has ended or has lasted
for the interval; the pass continues from that scan. Neither the agent nor the store can end it.
"""

import math
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from reconcile.mirror.backup.archiver import PassOptions, UploadPace
from reconcile.mirror.backup.syncer import (
    ComparedScan,
    PassOutcome,
    PassResult,
    Syncer,
)
from reconcile.mirror.clock import Clock
from reconcile.mirror.concurrency import Deadline, DeadlineExceededError
from reconcile.mirror.errors import (
    FencedError,
    MirrorError,
    StoreAwayError,
    StoreError,
    WorkspaceError,
)
from reconcile.mirror.model import Partial
from reconcile.mirror.sidecar.outcome import count_unreadable, find_unreadable_reason
from reconcile.mirror.sidecar.status import StatusRegistry
from reconcile.mirror.sidecar.termination import (
    ShutdownSignal,
    ShutdownTimeouts,
)
from reconcile.mirror.snapshot.repack import NEVER_REPACK
from reconcile.mirror.workspace.survey import Scan
from reconcile.runtime.logging import Logger

_T = TypeVar("_T")

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
        self._left_out: dict[str, int] = {}

    def attempt(self, options: PassOptions) -> PassOutcome | None:
        """Make a pass; None where it failed.

        Raises:
            DeadlineExceededError: The deadline came.
            FencedError: Another pod has the workspace: no later pass can succeed.
        """
        scanned = self.scan(options)
        return None if scanned is None else self.finish(scanned, options)

    def scan(self, options: PassOptions) -> StartedPass | None:
        """Begin a pass: scan the workspace. None where that failed; raises as `attempt`."""
        started, started_monotonic = self._now(), self._context.clock.monotonic()
        compared = self._try(partial(self._syncer.scan, options))
        if compared is None:
            return None
        self._record_scan(compared, started)
        seconds = self._context.clock.monotonic() - started_monotonic
        return StartedPass(compared, _summarize(compared, seconds), started, started_monotonic)

    def finish(self, scanned: StartedPass, options: PassOptions) -> PassOutcome | None:
        """Finish a pass right after its scan: store and commit what changed; as `attempt`."""
        outcome = self._try(partial(self._syncer.store_changes, scanned.compared, options))
        if outcome is not None:
            seconds = self._context.clock.monotonic() - scanned.started_monotonic
            self._record_success(outcome, scanned.started, seconds)
        return outcome

    def read_head(self) -> bool:
        """Read HEAD, and say whether that succeeded; FencedError if another pod has claimed it."""
        version = self._try(self._syncer.check_head)
        if version is not None:
            generation = version.head.generation.number
            self._context.status_registry.update(generation=generation, reachable=True)
        return version is not None

    def _try(self, step: Callable[[], _T]) -> _T | None:
        """Return the result of a step of a pass; None if it failed, which is recorded."""
        try:
            return step()
        except DeadlineExceededError:
            raise
        except FencedError as error:
            self._require_fence_again()
            self._record_failure(error)
        except MirrorError as error:
            self._record_failure(error)
        except Exception as error:  # noqa: BLE001 - the agent's work is stored even after a defect
            self._syncer.forget()
            self._record_failure(WorkspaceError(_describe_defect(error)))
        return None

    def _require_fence_again(self) -> None:
        """Read HEAD again: one damaged answer may name another writer, too.

        Raises:
            FencedError: That answer says the same.
        """
        try:
            self._syncer.check_head()
        except FencedError:
            raise
        except MirrorError:
            return

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

    def _record_failure(self, error: MirrorError) -> None:
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
        self._report_left_out(outcome)
        if isinstance(outcome, PassResult):
            self._record_result(outcome, started)

    def report_outcome(self, outcome: PassOutcome) -> None:
        """Log a pass that was made outside of the loop."""
        self._report_over_limit(outcome.scan)
        self._report_left_out(outcome)
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
            behind_since=started if read.changing else 0,
        )
        logger.info(
            "committed" if result.is_committed else "nothing new",
            generation=result.generation.number,
            entries=len(result.scan.file_stats),
            sent=result.sent_bytes,
            repacked=result.repacked_packs,
            restless=read.changing,
            unreadable=len(read.unreadable) + result.scan.skipped.unreadable,
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

    def _report_left_out(self, outcome: PassOutcome) -> None:
        """Log what no generation can have whenever that changes."""
        skipped = outcome.scan.skipped
        left_out = {name: getattr(skipped, name) for name in ("mounts", "too_deep", "too_large")}
        left_out["unreadable"] = count_unreadable(outcome)
        self._context.status_registry.update(unreadable=left_out["unreadable"])
        if left_out == self._left_out:
            return
        self._left_out = left_out
        if any(left_out.values()):
            examples = [path for name in left_out for path in skipped.examples.get(name, [])]
            reason = find_unreadable_reason(outcome)
            self._context.logger.warning(
                "not stored", **left_out, reason=reason, such_as=examples[:3]
            )

    def _now(self) -> int:
        return self._context.clock.steady_ns()


def _describe_defect(error: Exception) -> str:
    """Say which defect and where, without its message, which may quote anything."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(frame.filename).name}:{frame.lineno}"
    return f"a defect of reconcile-mirror, {type(error).__name__} at {place}: please report it"


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
        timeouts: ShutdownTimeouts,
    ) -> None:
        self._pass_runner = pass_runner
        self._context = context
        self._shutdown = shutdown
        self._schedule = schedule
        self._timeouts = timeouts
        self._last_pass_time = -math.inf
        self._last_scan: ScanSummary | None = None

    def run(self) -> None:
        """Sync until TERM comes; raises FencedError where another pod has the workspace."""
        deadline = Deadline(self._context.clock, is_cancelled=self._must_stop_waiting)
        options = PassOptions(deadline)
        while not self._shutdown.terminated():
            with suppress(DeadlineExceededError):
                self._run_once(options)

    def read_head(self) -> None:
        """Read HEAD before anything else: a pod that was fenced must not look busy."""
        while not self._shutdown.terminated() and not self._pass_runner.read_head():
            self._shutdown.wait(self._schedule.interval)

    def _run_once(self, options: PassOptions) -> None:
        if self._shutdown.is_overdue(self._timeouts):
            self._store_what_fits()
        elif self._shutdown.prestop_received():
            self._context.status_registry.update(phase="draining")
            self._pass_runner.attempt(replace(options, repack_policy=NEVER_REPACK))
            self._shutdown.wait(self._schedule.drain_pause)
        else:
            self._shutdown.wait_for_prestop(self._scan_and_sync(options))

    def _must_stop_waiting(self) -> bool:
        return self._shutdown.terminated() or self._shutdown.is_overdue(self._timeouts)

    def _store_what_fits(self) -> None:
        """Store a part: the runner uses the time that was left for the flush, so TERM is late."""
        context, timeouts = self._context, self._timeouts
        context.status_registry.update(phase="flushing")
        end_time = max(
            self._shutdown.own_deadline(timeouts) - timeouts.reserve,
            context.clock.monotonic() + timeouts.reserve,
        )
        deadline = Deadline(context.clock, end_time, self._shutdown.terminated)
        pace = UploadPace(deadline)
        self._pass_runner.attempt(PassOptions(deadline, is_final=True, pace=pace, is_last=True))
        self._shutdown.wait(self._schedule.drain_pause)

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
