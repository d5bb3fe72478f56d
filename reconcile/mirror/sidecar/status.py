"""The status of a running mirror: one writer, many readers."""

import threading
from typing import Any

from msgspec import Struct
from msgspec.structs import replace


class SyncStatus(Struct, frozen=True):
    """One consistent view; times in nanoseconds since 1970, 0 for never.

    All times but `written` are of the clock's steady time, so that nothing looks fresh or stale
    because the machine's clock was set.

    Attributes:
        phase: `hydrating`, `syncing`, `draining`, `flushing`, `ended` or `fenced`.
        generation: The last committed generation.
        partial: Whether it lacks files.
        committed: Start of the last scan or pass after which the snapshot equalled the workspace.
        written: The last write to the workspace that a scan has seen.
        behind_since: When a scan first saw what is not committed yet; 0 if all is committed.
        reachable: Whether the store answered the last time; True before the first request.
        error: Why the last pass failed, without secrets; empty once all is committed.
        files, changing, unreadable, skipped, over_limit: Counts of the last pass.
        passes, commits, failures, sent, restored, restored_files: Sums since the start.
        seconds: How long the last pass took.
        throttled: Sum of the seconds that requests have waited for the bandwidth.
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
    """Holds the current status."""

    def __init__(self, facts: SyncStatus | None = None) -> None:
        self._status = facts or SyncStatus()
        self._lock = threading.Lock()

    @property
    def current(self) -> SyncStatus:
        """The status as it is now."""
        return self._status

    def update(self, **values: Any) -> None:
        """Replace some fields."""
        with self._lock:
            self._status = replace(self._status, **values)

    def increment(self, **increments: float) -> None:
        """Add to sums."""
        with self._lock:
            sums = {name: getattr(self._status, name) + by for name, by in increments.items()}
            self._status = replace(self._status, **sums)

    def add_throttled(self, seconds: float) -> None:
        """Add the time that a request waited for the bandwidth."""
        self.increment(throttled=seconds)


class Freshness(Struct, frozen=True):
    """Age of the snapshot and of the last write in seconds; None for never."""

    commit_age: float | None
    write_age: float | None
    is_fresh: bool


def assess_freshness(status: SyncStatus, now: int, stale_after: float) -> Freshness:
    """Judge whether the snapshot is fresh enough.

    It is while everything that was seen is committed, or was first seen less than `stale_after`
    seconds ago. A mirror that was fenced, or has not finished its first pass, is not fresh.
    """
    behind = (now - status.behind_since) / 1e9 if status.behind_since else 0.0
    fresh = status.committed > 0 and behind <= stale_after and status.phase != "fenced"
    return Freshness(_age(status.committed, now), _age(status.written, now), fresh)


def _age(time: int, now: int) -> float | None:
    return max(0.0, (now - time) / 1e9) if time else None


class StatusServerOptions(Struct, frozen=True):
    """Where the status server listens, port 0 for no server; when a snapshot is stale."""

    host: str
    port: int
    stale_after: float
