"""The `hydrate` process: claims the workspace for this pod, and restores its last generation."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from enum import Enum
from functools import partial
from typing import TypeAlias

from msgspec import Struct

# Not when the store is opened: the worker process then shares the memory of these modules.
import reconcile.mirror.store.factory  # noqa: F401
from reconcile.mirror.concurrency import WorkerPool
from reconcile.mirror.errors import DamagedError, MarkError, PartialError, StoreAwayError
from reconcile.mirror.exit_codes import MirrorExitCode
from reconcile.mirror.head import MAX_CLAIM_ATTEMPTS, claim, fenced_error, read_head, swap_head
from reconcile.mirror.local_state import (
    HydrateMarker,
    find_hydrate_marker,
    read_volume_id,
    write_hydrate_marker,
)
from reconcile.mirror.model import Complete, Generation, Partial
from reconcile.mirror.protocol import (
    ClaimRequest,
    Committed,
    Fenced,
    HeadVersion,
    Superseded,
    build_claimed_head,
)
from reconcile.mirror.restore.downloader import Downloader
from reconcile.mirror.restore.restore import (
    RestoreContext,
    RestoredVolume,
    RestoreTarget,
    restore_volume,
)
from reconcile.mirror.restore.tasks import TaskResult, TaskRunner
from reconcile.mirror.restore.worker import NoWorker, WorkerPolicy, WorkerProcess, fork_worker
from reconcile.mirror.sidecar.status import StatusRegistry, StatusServerOptions, SyncStatus
from reconcile.mirror.wiring import (
    ConditionalWriteCheck,
    InterruptibleClock,
    LazyStore,
    MirrorConfig,
    StoreHooks,
)
from reconcile.mirror.workspace.writer import EmptyVolumeStaging, FileWriter
from reconcile.runtime.logging import JsonLogger


class PartialPolicy(Enum):
    """What to do if the last generation lacks files."""

    USE = "use"
    REFUSE = "refuse"


class ReusedVolume(Struct, frozen=True):
    """This pod has restored the volume before; it is kept: it may be newer than the snapshot."""

    generation: Generation


HydrateResult: TypeAlias = RestoredVolume | ReusedVolume


def hydrate_workspace(
    target: RestoreTarget, context: RestoreContext, request: ClaimRequest, policy: PartialPolicy
) -> HydrateResult:
    """Claim the workspace, restore it, and write the hydrate marker last.

    The claim comes first: from then on a predecessor can commit nothing, so that the restored
    generation is the last one before this pod's own.

    Raises:
        StoreError: The store could not be read or written.
        DamagedError: HEAD, a manifest or a pack is missing, altered or malformed; names it.
        UnknownFormatError: Another version wrote them.
        PartialError: The generation lacks files and the policy refuses that.
        FencedError: The volume was this pod's, but another pod has written since.
        WorkspaceError: The volume cannot be written.
    """
    marker = _find_usable_marker(target)
    if marker is not None and marker.volume == read_volume_id(target.root):
        return context.store.retry(lambda: _reclaim(target, context, request, marker))
    target.state.remove(target.state.marker_path)
    claimed = claim(context.store, request, context.clock)
    _check_partial(claimed.head.generation, policy)
    restored = restore_volume(target, context, claimed.head.generation)
    context.check_store()
    _write_marker(target, claimed)
    return restored


def _find_usable_marker(target: RestoreTarget) -> HydrateMarker | None:
    """Return the mark; None if it is damaged, too: the restore then finds files that differ."""
    try:
        return find_hydrate_marker(target.state)
    except MarkError:
        return None


def _reclaim(
    target: RestoreTarget, context: RestoreContext, request: ClaimRequest, marker: HydrateMarker
) -> ReusedVolume:
    """Claim again, if no other pod has: a container that restarts must keep the agent's work.

    It replaces only a claim that was made from this volume. So a later epoch of this pod is that of
    a start that was interrupted before it wrote the marker.
    """
    current = _require_own_head(read_head(context.store), request, marker)
    for _ in range(MAX_CLAIM_ATTEMPTS):
        attempted = build_claimed_head(current, request, context.clock.time_ns())
        match swap_head(context.store, attempted, current):
            case Committed(version):
                _write_marker(target, version)
                return ReusedVolume(version.head.generation)
            case Superseded(other) | Fenced(other):
                current = _require_own_head(other, request, marker)
    raise StoreAwayError(
        f"HEAD changed {MAX_CLAIM_ATTEMPTS} times while it was being claimed again"
    )


def _require_own_head(
    head_version: HeadVersion | None, request: ClaimRequest, marker: HydrateMarker
) -> HeadVersion:
    """Return HEAD if its writer writes from this volume; raises otherwise."""
    if head_version is None:
        raise DamagedError(
            "HEAD is gone though this pod has claimed it: it was deleted, or the bucket or "
            "prefix has changed"
        )
    writer = head_version.head.writer
    if writer.uid not in {marker.writer.uid, request.uid} or writer.epoch < marker.writer.epoch:
        raise fenced_error(writer)
    return head_version


def _check_partial(generation: Generation, policy: PartialPolicy) -> None:
    missing = generation.completeness
    if isinstance(missing, Partial) and policy is PartialPolicy.REFUSE:
        raise PartialError(
            f"generation {generation.number} is partial: the last {missing.files} files with "
            f"{missing.size} bytes could not be stored before its pod ended. Use it all the same "
            "with `--partial use`, or restore an earlier generation"
        )


def _write_marker(target: RestoreTarget, head_version: HeadVersion) -> None:
    head = head_version.head
    marker = HydrateMarker(head.writer, head.generation.number, read_volume_id(target.root))
    write_hydrate_marker(target.state, marker)
    target.state.remove(target.state.attempt_path)


def run_hydrate(
    config: MirrorConfig,
    request: ClaimRequest,
    policy: PartialPolicy,
    server_options: StatusServerOptions,
    worker_policy: WorkerPolicy,
) -> MirrorExitCode:
    """Restore the workspace; raises a MirrorError where that fails."""
    clock = InterruptibleClock()
    # First of all: only a process without threads can be forked.
    with closing(_start_worker(config, clock, worker_policy)) as worker, _no_retry_after(clock):
        registry = StatusRegistry(SyncStatus(phase="hydrating"))
        if server_options.port:
            from reconcile.mirror.sidecar.http import start_status_server

            start_status_server(server_options, registry, clock, JsonLogger(clock.time_ns))
        started = clock.monotonic()
        context = _build_context(config, clock, registry, worker)
        result = hydrate_workspace(_build_target(config), context, request, policy)
    registry.update(phase="ended", generation=result.generation.number)
    seconds = round(clock.monotonic() - started, 3)
    _log_result(result, request, JsonLogger(clock.time_ns), seconds)
    return MirrorExitCode.OK


@contextmanager
def _no_retry_after(clock: InterruptibleClock) -> Iterator[None]:
    """End the retries of downloads that are left behind by an error."""
    try:
        yield
    finally:
        clock.interrupt()


def _build_target(config: MirrorConfig) -> RestoreTarget:
    return RestoreTarget(config.workspace, config.state_directory, config.build_excludes())


def _build_context(
    config: MirrorConfig, clock: InterruptibleClock, registry: StatusRegistry, worker: WorkerProcess
) -> RestoreContext:
    logger = JsonLogger(clock.time_ns)
    hooks = StoreHooks(on_throttled=registry.add_throttled, on_reachable=registry.update)
    store = LazyStore(config, clock, logger, hooks, retry_denied=True).open()
    check = ConditionalWriteCheck(store, single_writer=config.single_writer)
    progress = ProgressReporter(registry, logger, clock)
    pool = WorkerPool(config.transfers, "fetch")
    return RestoreContext(store, pool, clock, progress.report, check.require, worker)


def _start_worker(
    config: MirrorConfig, clock: InterruptibleClock, policy: WorkerPolicy
) -> WorkerProcess:
    """Start the worker process, which has half of the transfers.

    There is none with a limited bandwidth: two processes would each have a limit of their own.
    """
    if config.bandwidth:
        return NoWorker()
    make_runner = partial(_make_worker_runner, config, clock)
    return fork_worker(config.transfers // 2, make_runner, policy)


def _make_worker_runner(config: MirrorConfig, clock: InterruptibleClock) -> TaskRunner:
    store = LazyStore(config, clock, JsonLogger(clock.time_ns), retry_denied=True).open()
    writer = FileWriter(config.workspace, EmptyVolumeStaging(config.workspace))
    return Downloader(store, writer).run_task


def _log_result(
    result: HydrateResult, request: ClaimRequest, logger: JsonLogger, seconds: float
) -> None:
    pod = {"pod": request.uid, "record": request.record_uid or None}
    match result:
        case RestoredVolume(generation, files, size):
            logger.info(
                "restored",
                generation=generation.number,
                partial=generation.completeness != Complete(),
                files=files,
                bytes=size,
                seconds=seconds,
                **pod,
            )
        case ReusedVolume(generation):
            logger.info("kept", generation=generation.number, seconds=seconds, **pod)


class ProgressReporter:
    """Counts what hydrate restores, and logs it at most once a second."""

    def __init__(
        self, registry: StatusRegistry, logger: JsonLogger, clock: InterruptibleClock
    ) -> None:
        self._registry = registry
        self._logger = logger
        self._clock = clock
        self._last_report = clock.monotonic()

    def report(self, result: TaskResult) -> None:
        """Count the result of a task; called from several threads."""
        self._registry.increment(restored=result.size, restored_files=result.files)
        if self._clock.monotonic() - self._last_report >= 1.0:
            self._last_report = self._clock.monotonic()
            status = self._registry.current
            self._logger.info("restoring", files=status.restored_files, bytes=status.restored)
