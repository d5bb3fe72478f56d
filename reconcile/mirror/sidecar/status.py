"""What the mirror tells others about itself, as it is now; one writer, many readers.

Where a running mirror answers questions about itself.
"""

import threading
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from reconcile.mirror.wiring import StoreClock


class Facts(Struct, frozen=True):
    """One consistent view; times in nanoseconds since 1970, 0 for never.

    All but `written` are of the clock's steady time, so that nothing looks fresh or stale because
    somebody has set the machine's clock.

    Attributes:
        phase: `hydrating`, `syncing`, `following`, `flushing`, `ended` or `fenced`.
        generation: The last one that was committed.
        partial: Whether it lacks files.
        committed: When this process made sure last that the snapshot is what the workspace is.
        written: The last write to the workspace that a walk has seen.
        behind_since: When a walk first saw what is not committed yet; 0 if all is.
        reachable: Whether the store answered last time; True before the first request.
        error: Why the last pass failed, without secrets; empty if it did not.
        files, restless, unreadable, skipped, beyond: Counts of the last pass.
        passes, commits, failures, sent, restored, restored_files: Sums since the start.
        seconds: How long the last pass took.
        held: Seconds that requests have waited for the bandwidth, all of them together.
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
    restless: int = 0
    unreadable: int = 0
    skipped: int = 0
    beyond: int = 0
    passes: int = 0
    commits: int = 0
    failures: int = 0
    sent: int = 0
    restored: int = 0
    restored_files: int = 0
    seconds: float = 0.0
    held: float = 0.0


class FactBook:
    """Holds the facts."""

    def __init__(self, facts: Facts | None = None) -> None:
        self._facts = facts or Facts()
        self._lock = threading.Lock()

    @property
    def now(self) -> Facts:
        """The facts as they are now."""
        return self._facts

    def set(self, **values: Any) -> None:
        """Replace some of them."""
        with self._lock:
            self._facts = replace(self._facts, **values)

    def count(self, **more: float) -> None:
        """Add to sums."""
        with self._lock:
            sums = {name: getattr(self._facts, name) + by for name, by in more.items()}
            self._facts = replace(self._facts, **sums)


class Freshness(Struct, frozen=True):
    """How old the snapshot and the last write are, in seconds; None for what never was."""

    commit_age: float | None
    write_age: float | None
    fresh: bool


def freshness(facts: Facts, now: int, stale_after: float) -> Freshness:
    """Judge whether the snapshot is fresh enough.

    It is while everything seen is committed, or what is not was first seen less than `stale_after`
    seconds ago. A mirror that was fenced, or has not yet made sure once, is not fresh.
    """
    behind = (now - facts.behind_since) / 1e9 if facts.behind_since else 0.0
    fresh = facts.committed > 0 and behind <= stale_after and facts.phase != "fenced"
    return Freshness(_age(facts.committed, now), _age(facts.written, now), fresh)


def _age(time: int, now: int) -> float | None:
    return max(0.0, (now - time) / 1e9) if time else None


class Door(Struct, frozen=True):
    """Where the service listens, port 0 for not at all, and when a snapshot is stale."""

    host: str
    port: int
    stale_after: float


def serve(door: Door, facts: FactBook, clock: StoreClock) -> None:
    """Open the door if there is to be one; SettingsError where it cannot be listened on."""
    if door.port:
        from reconcile.mirror.sidecar.http import Answers, Service

        Service((door.host, door.port), Answers(facts, clock, door.stale_after))
