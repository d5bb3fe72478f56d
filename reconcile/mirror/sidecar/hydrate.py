"""Makes a volume what the last committed generation is, and this pod the writer of the next.

The process of `hydrate_workspace`, from its start to its exit code.
"""

from contextlib import closing
from enum import Enum
from typing import TypeAlias

from msgspec import Struct

from reconcile.mirror.concurrency import WorkerPool
from reconcile.mirror.errors import DamagedError, PartialError, StoreAwayError
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
from reconcile.mirror.sidecar.status import (
    StatusRegistry,
    StatusServerOptions,
    SyncStatus,
    start_status_server,
)
from reconcile.mirror.wiring import (
    ConditionalWriteCheck,
    InterruptibleClock,
    MirrorConfig,
    ThrottleHooks,
    store_opener,
)
from reconcile.mirror.workspace.writer import EmptyVolumeStaging, FileWriter
from reconcile.runtime.logging import JsonLogger


class PartialPolicy(Enum):
    """What to do with a last generation that lacks files."""

    USE = "use"
    REFUSE = "refuse"


class ReusedVolume(Struct, frozen=True):
    """The volume was this pod's already and is left as it is: it may be ahead of the snapshot."""

    generation: Generation


HydrateResult: TypeAlias = RestoredVolume | ReusedVolume


def hydrate_workspace(
    target: RestoreTarget, context: RestoreContext, request: ClaimRequest, policy: PartialPolicy
) -> HydrateResult:
    """Claim the workspace, restore it, and leave the mark last.

    The claim comes first: from then on a predecessor can commit nothing, so that what is restored
    is the last that will ever count before this pod's own.

    Raises:
        StoreError: The store could not be read or written.
        DamagedError: HEAD, a manifest or a pack is missing, altered or malformed; names it.
        UnknownFormatError: Another version wrote them.
        PartialError: The generation lacks files and the policy refuses that.
        FencedError: The volume was this pod's, but another pod has written since.
        WorkspaceError: The volume cannot be written.
    """
    mark = find_hydrate_marker(target.state)
    if mark is not None and mark.volume == read_volume_id(target.root):
        return _reclaim(target, context, request, mark)
    target.state.remove(target.state.marker_path)
    found = claim(context.store, request, context.clock)
    _check_partial(found.head.generation, policy)
    restored = restore_volume(target, context, found.head.generation)
    context.check_store()
    _write_marker(target, found)
    return restored


def _reclaim(
    target: RestoreTarget, context: RestoreContext, request: ClaimRequest, marker: HydrateMarker
) -> ReusedVolume:
    """Claim anew, if nobody else has: a container that starts again must not undo what was done.

    It claims over what is this volume's own and over nothing else. So a later epoch of its own is
    that of a start that was cut off before it left its mark.
    """
    found = _require_own_head(read_head(context.store), request, marker)
    for _ in range(MAX_CLAIM_ATTEMPTS):
        attempted = build_claimed_head(found, request, context.clock.time_ns())
        match swap_head(context.store, attempted, found):
            case Committed(landed):
                _write_marker(target, landed)
                return ReusedVolume(landed.head.generation)
            case Superseded(other) | Fenced(other):
                found = _require_own_head(other, request, marker)
    raise StoreAwayError(f"HEAD changed {MAX_CLAIM_ATTEMPTS} times while it was being claimed anew")


def _require_own_head(
    head_version: HeadVersion | None, request: ClaimRequest, marker: HydrateMarker
) -> HeadVersion:
    """Return HEAD if whoever wrote it wrote from this volume."""
    if head_version is None:
        raise DamagedError(
            "HEAD is gone though this pod has claimed it: somebody deleted it, or the bucket or "
            "prefix has changed"
        )
    writer = head_version.head.writer
    if writer.uid not in {marker.writer.uid, request.uid} or writer.epoch < marker.writer.epoch:
        raise fenced_error(writer)
    return head_version


def _check_partial(generation: Generation, policy: PartialPolicy) -> None:
    lacks = generation.completeness
    if isinstance(lacks, Partial) and policy is PartialPolicy.REFUSE:
        raise PartialError(
            f"generation {generation.number} is partial: the last {lacks.files} files with "
            f"{lacks.size} bytes could not be stored before its pod ended. Use it all the same "
            "with `--partial use`, or restore an earlier generation"
        )


def _write_marker(target: RestoreTarget, head_version: HeadVersion) -> None:
    mark = HydrateMarker(
        head_version.head.writer, head_version.head.generation.number, read_volume_id(target.root)
    )
    write_hydrate_marker(target.state, mark)
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
    with closing(_start_worker(config, clock, worker_policy)) as helper:
        facts = StatusRegistry(SyncStatus(phase="hydrating"))
        start_status_server(server_options, facts, clock)
        began = clock.monotonic()
        done = hydrate_workspace(
            _build_target(config), _build_context(config, clock, facts, helper), request, policy
        )
    facts.update(phase="ended", generation=done.generation.number)
    _log_result(done, JsonLogger(clock.time_ns), round(clock.monotonic() - began, 3))
    return MirrorExitCode.OK


def _build_target(config: MirrorConfig) -> RestoreTarget:
    return RestoreTarget(config.workspace, config.state_directory, config.build_excludes())


def _build_context(
    config: MirrorConfig, clock: InterruptibleClock, registry: StatusRegistry, worker: WorkerProcess
) -> RestoreContext:
    journal = JsonLogger(clock.time_ns)
    holding = ThrottleHooks(_never, lambda seconds: registry.increment(throttled=seconds))
    store = store_opener(config, clock, journal, holding, retry_denied=True)()
    probing = ConditionalWriteCheck(store, single_writer=config.single_writer)
    progress = ProgressReporter(registry, journal, clock)
    lanes = WorkerPool(config.transfers, "fetch")
    return RestoreContext(store, lanes, clock, progress.report, probing.require, worker)


def _start_worker(
    config: MirrorConfig, clock: InterruptibleClock, policy: WorkerPolicy
) -> WorkerProcess:
    """Start a second process, which has half of the lanes."""

    def make() -> TaskRunner:
        store = store_opener(config, clock, JsonLogger(clock.time_ns), retry_denied=True)()
        return Downloader(
            store, FileWriter(config.workspace, EmptyVolumeStaging(config.workspace))
        ).run_task

    # With a bound it is the bandwidth that counts, and two processes would each have their own.
    return NoWorker() if config.bandwidth else fork_worker(config.transfers // 2, make, policy)


def _log_result(result: HydrateResult, logger: JsonLogger, seconds: float) -> None:
    match result:
        case RestoredVolume(generation, files, size):
            logger.info(
                "restored",
                generation=generation.number,
                partial=generation.completeness != Complete(),
                files=files,
                bytes=size,
                seconds=seconds,
            )
        case ReusedVolume(generation):
            logger.info("kept", generation=generation.number, seconds=seconds)


class ProgressReporter:
    """Counts what hydrate brings, and says so once a second at most."""

    def __init__(
        self, registry: StatusRegistry, logger: JsonLogger, clock: InterruptibleClock
    ) -> None:
        self._registry = registry
        self._logger = logger
        self._clock = clock
        self._last_report = clock.monotonic()

    def report(self, result: TaskResult) -> None:
        """Count a piece; called from several threads."""
        self._registry.increment(restored=result.size, restored_files=result.files)
        if self._clock.monotonic() - self._last_report >= 1.0:
            self._last_report = self._clock.monotonic()
            now = self._registry.current
            self._logger.info("restoring", files=now.restored_files, bytes=now.restored)


def _never() -> bool:
    return False
