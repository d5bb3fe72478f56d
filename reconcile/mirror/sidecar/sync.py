"""The `sync` process, from its start to its exit code."""

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from msgspec import Struct

from reconcile.mirror.backup.archiver import PassOptions
from reconcile.mirror.backup.syncer import Syncer, Workspace
from reconcile.mirror.concurrency import Deadline, WorkerPool
from reconcile.mirror.errors import FencedError
from reconcile.mirror.exit_codes import MirrorExitCode, exit_code_for_flush
from reconcile.mirror.local_state import require_hydrate_marker
from reconcile.mirror.model import Complete
from reconcile.mirror.sidecar.loop import LoopContext, PassRunner, SyncLoop, SyncSchedule
from reconcile.mirror.sidecar.outcome import count_unreadable
from reconcile.mirror.sidecar.shutdown import (
    ShutdownPlan,
    hard_deadline,
    shut_down,
    shut_down_fenced,
)
from reconcile.mirror.sidecar.status import StatusRegistry, StatusServerOptions
from reconcile.mirror.sidecar.termination import (
    ShutdownSignal,
    TerminationMessage,
    write_termination_message,
)
from reconcile.mirror.wiring import InterruptibleClock, LazyStore, MirrorConfig, StoreHooks
from reconcile.mirror.workspace.excludes import Excludes
from reconcile.runtime.logging import JsonLogger

_DEADLINE_GRACE = 0.5
"""Seconds that the sync thread gets to report by itself that the deadline came."""


class SyncOptions(Struct, frozen=True):
    """How a sync runs and ends, and how many files it stores."""

    schedule: SyncSchedule
    shutdown_plan: ShutdownPlan
    termination_log: Path
    server_options: StatusServerOptions
    max_files: int


class SyncProcess:
    """A `sync`. The main thread only waits, so that it handles a signal at once."""

    def __init__(self, config: MirrorConfig, options: SyncOptions) -> None:
        """Prepare; raises a MirrorError where the mark is missing or a setting is malformed."""
        self._clock = InterruptibleClock()
        self._options = options
        self._logger = JsonLogger(self._clock.time_ns)
        self._registry = StatusRegistry()
        self._shutdown = ShutdownSignal(self._clock, config.state_directory)
        self._context = LoopContext(self._clock, self._registry, self._logger)
        marker = require_hydrate_marker(config.state_directory, config.workspace)
        self._registry.update(generation=marker.generation)
        workspace = Workspace(
            config.workspace,
            self._build_excludes(config),
            config.state_directory,
            marker.writer,
            options.max_files,
        )
        hooks = StoreHooks(self._is_ending, self._registry.add_throttled, self._registry.update)
        store = LazyStore(config, self._clock, self._logger, hooks)
        pool = WorkerPool(config.transfers, "upload")
        self._syncer = Syncer(workspace, store, pool, self._clock)
        self._pass_runner = PassRunner(self._syncer, self._context)
        self._termination_message: TerminationMessage | None = None
        self._error: BaseException | None = None
        self._has_unreadable = False
        self._finished = threading.Event()

    def _build_excludes(self, config: MirrorConfig) -> Excludes:
        excludes = config.build_excludes()
        for pattern in excludes.find_ineffective():
            self._logger.warning(
                "exclude pattern ignored",
                pattern=pattern,
                reason=".session and the runner's state directory are always stored",
            )
        return excludes

    def run_once(self) -> MirrorExitCode:
        """Make one pass; raises a MirrorError where it fails."""
        self._install_signal_handlers()
        self._start_thread(self._run_one_pass)
        while not self._finished.wait(1.0):
            if self._shutdown.terminated() and self._is_past_deadline():
                return MirrorExitCode.LOST
        if self._error is not None:
            raise self._error
        is_lost = self._shutdown.terminated() or self._has_unreadable
        return MirrorExitCode.LOST if is_lost else MirrorExitCode.OK

    def _run_one_pass(self) -> None:
        deadline = Deadline(self._clock, is_cancelled=self._shutdown.terminated)
        outcome = self._syncer.run(PassOptions(deadline, is_last=True))
        self._pass_runner.report_outcome(outcome)
        self._has_unreadable = bool(count_unreadable(outcome))

    def run_until_terminated(self) -> MirrorExitCode:
        """Sync until TERM, flush, and report how that went."""
        self._shutdown.clear_prestop()
        self._install_signal_handlers()
        if self._options.server_options.port:
            from reconcile.mirror.sidecar.http import start_status_server

            start_status_server(
                self._options.server_options, self._registry, self._clock, self._logger
            )
        self._logger.info("sync begins", generation=self._registry.current.generation)
        self._start_thread(self._run)
        while not self._finished.wait(0.2):
            self._shutdown.prestop_received()
            if self._shutdown.terminated() and self._is_past_deadline():
                break
        if self._error is not None:
            raise self._error
        return self._report_end()

    def _run(self) -> None:
        plan = self._options.shutdown_plan
        loop = SyncLoop(
            self._pass_runner,
            self._context,
            self._shutdown,
            self._options.schedule,
            plan.timeouts,
        )
        try:
            loop.read_head()
            loop.run()
        except FencedError as error:
            self._termination_message = shut_down_fenced(self._context, self._shutdown, error)
            return
        self._clock.resume()
        self._termination_message = shut_down(
            self._pass_runner, self._context, self._shutdown, plan
        )

    def _start_thread(self, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - raised again in the main thread
                self._error = error
            finally:
                # Uploads that an error left behind must not be retried any longer.
                self._clock.interrupt()
                self._finished.set()

        threading.Thread(target=run, name="sync", daemon=True).start()

    def _install_signal_handlers(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle_signal)

    def _handle_signal(self, number: int, _frame: FrameType | None) -> None:
        self._shutdown.terminate()
        self._clock.interrupt()
        self._logger.info("end asked for", signal=signal.Signals(number).name)

    def _is_ending(self) -> bool:
        """Say whether the pod is ending: then the bandwidth is no longer limited."""
        return self._shutdown.terminated() or self._shutdown.prestop_received()

    def _is_past_deadline(self) -> bool:
        return (
            self._clock.monotonic()
            > hard_deadline(self._shutdown, self._options.shutdown_plan) + _DEADLINE_GRACE
        )

    def _report_end(self) -> MirrorExitCode:
        message = self._termination_message
        if message is None:
            seconds = self._clock.monotonic() - self._shutdown.terminated_at
            reason = self._registry.current.error or "the store did not answer in time"
            generation = self._registry.current.generation
            message = TerminationMessage("late", generation, Complete(), seconds, reason)
        problem = write_termination_message(self._options.termination_log, message)
        if problem:
            self._logger.warning("no termination message", error=problem)
        self._logger.info("ended", outcome=message.outcome, generation=message.generation)
        return exit_code_for_flush(message.outcome)
