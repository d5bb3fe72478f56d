"""What a revision has used of its budgets, so that several passes together cannot exceed them.

It is stored before a pass ends anything. It names sessions instead of counting them: a pass that
was interrupted starts again with the sessions that it was allowed to end, and no others.
"""

from collections.abc import Set
from dataclasses import dataclass, replace
from typing import Final

import orjson

_DIRTY: Final = "-dirty"


@dataclass(frozen=True, slots=True)
class BudgetUsage:
    """The sessions that one revision has ended or restarted so far.

    `total_sessions` is the number of sessions when `revision` first ended one; 0 if it is not known
    yet. `deletes` and `restarts` are the sessions (`namespace/name`) that it was allowed to end or
    restart within its budgets.
    """

    revision: str = ""
    total_sessions: int = 0
    deletes: frozenset[str] = frozenset()
    restarts: frozenset[str] = frozenset()

    def for_revision(self, revision: str, total_sessions: int) -> "BudgetUsage":
        """Continue the usage of the same revision, or start from zero for another one.

        A tree without a commit may be different each time, so its usage is not continued.
        """
        is_same = revision and not revision.endswith(_DIRTY) and revision == self.revision
        if not is_same:
            return BudgetUsage(revision, total_sessions)
        return replace(
            self, total_sessions=self.total_sessions or total_sessions + len(self.deletes)
        )

    def without_total(self) -> "BudgetUsage":
        """Reset the total, since some sessions could not be read."""
        return replace(self, total_sessions=0)

    def with_deletes(self, sessions: Set[str]) -> "BudgetUsage":
        """Count sessions that are ended."""
        return replace(self, deletes=self.deletes | sessions)

    def with_restarts(self, sessions: Set[str]) -> "BudgetUsage":
        """Count sessions that are restarted."""
        return replace(self, restarts=self.restarts | sessions)

    def __or__(self, other: "BudgetUsage") -> "BudgetUsage":
        """Join two copies of one revision; of different revisions the first one is kept."""
        if not self.revision:
            return other
        if self.revision != other.revision:
            return self
        joined = self.with_deletes(other.deletes).with_restarts(other.restarts)
        totals = {self.total_sessions, other.total_sessions} - {0}
        return replace(joined, total_sessions=min(totals, default=0))


def format_budget_usage(usage: BudgetUsage) -> str:
    """Serialize it as JSON."""
    fields = {
        "revision": usage.revision,
        "living": usage.total_sessions,
        "deletes": sorted(usage.deletes),
        "restarts": sorted(usage.restarts),
    }
    return orjson.dumps(fields).decode()


def parse_budget_usage(text: str) -> BudgetUsage:
    """Parse it; damaged text counts as no usage."""
    try:
        data = orjson.loads(text)
        return BudgetUsage(
            revision=str(data["revision"]),
            total_sessions=int(data["living"]),
            deletes=frozenset(map(str, data["deletes"])),
            restarts=frozenset(map(str, data["restarts"])),
        )
    except (ValueError, TypeError, KeyError):
        return BudgetUsage()
