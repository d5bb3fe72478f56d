"""What the mirror tells others about itself, as it is now; one writer, many readers.

Where a running mirror answers questions about itself.
"""

import threading
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from reconcile.mirror.wiring import InterruptibleClock


class SyncStatus(Struct, frozen=True):
    """One consistent view; times in nanoseconds since 1970, 0 for never.

    All but `written` are of the clock's steady time, so that nothing looks fresh or stale because
    somebody has set the machine's clock.

    Attributes:
        phase: `hydrating`, `syncing`, `draining`, `flushing`, `ended` or `fenced`.
        generation: The last one that was committed.
        partial: Whether it lacks files.
        committed: When this process made sure last that the snapshot is what the workspace is.
        written: The last write to the workspace that a walk has seen.
        behind_since: When a walk first saw what is not committed yet; 0 if all is.
        reachable: Whether the store answered last time; True before the first request.
        error: Why the last pass failed, without secrets; empty if it did not.
        files, changing, unreadable, skipped, over_limit: Counts of the last pass.
        passes, commits, failures, sent, restored, restored_files: Sums since the start.
        seconds: How long the last pass took.
        throttled: Seconds that requests have waited for the bandwidth, all of them together.
    """

    phase: str = "syncing"
    generation: int = 0
    partial: bool = False
    committed: int = 0
    written: int = 0
    behind_since: int = 0
    reachable: bool = True
    error: str = ""
    files: int = 0
    changing: int = 0
    unreadable: int = 0
    skipped: int = 0
    over_limit: int = 0
    passes: int = 0
    commits: int = 0
    failures: int = 0
    sent: int = 0
    restored: int = 0
    restored_files: int = 0
    seconds: float = 0.0
    throttled: float = 0.0


class StatusRegistry:
    """Holds the facts."""

    def __init__(self, facts: SyncStatus | None = None) -> None:
        self._status = facts or SyncStatus()
        self._lock = threading.Lock()

    @property
    def current(self) -> SyncStatus:
        """The facts as they are now."""
        return self._status

    def update(self, **values: Any) -> None:
        """Replace some of them."""
        with self._lock:
            self._status = replace(self._status, **values)

    def increment(self, **increments: float) -> None:
        """Add to sums."""
        with self._lock:
            sums = {name: getattr(self._status, name) + by for name, by in increments.items()}
            self._status = replace(self._status, **sums)


class Freshness(Struct, frozen=True):
    """How old the snapshot and the last write are, in seconds; None for what never was."""

    commit_age: float | None
    write_age: float | None
    is_fresh: bool


def assess_freshness(status: SyncStatus, now: int, stale_after: float) -> Freshness:
    """Judge whether the snapshot is fresh enough.

    It is while everything seen is committed, or what is not was first seen less than `stale_after`
    seconds ago. A mirror that was fenced, or has not yet made sure once, is not fresh.
    """
    behind = (now - status.behind_since) / 1e9 if status.behind_since else 0.0
    fresh = status.committed > 0 and behind <= stale_after and status.phase != "fenced"
    return Freshness(_age(status.committed, now), _age(status.written, now), fresh)


def _age(time: int, now: int) -> float | None:
    return max(0.0, (now - time) / 1e9) if time else None


class StatusServerOptions(Struct, frozen=True):
    """Where the service listens, port 0 for not at all, and when a snapshot is stale."""

    host: str
    port: int
    stale_after: float


def start_status_server(
    server_options: StatusServerOptions, registry: StatusRegistry, clock: InterruptibleClock
) -> None:
    """Open the door if there is to be one; SettingsError where it cannot be listened on."""
    if server_options.port:
        from reconcile.mirror.sidecar.http import StatusEndpoints, StatusServer

        StatusServer(
            (server_options.host, server_options.port),
            StatusEndpoints(registry, clock, server_options.stale_after),
        )
