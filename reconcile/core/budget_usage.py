"""What a revision has used of its budgets, so that many small passes cannot slip under them.

It is written down before anything is ended. It names sessions rather than counting them: a pass
that was cut off begins again with what it was allowed, and with no more.
"""

from collections.abc import Set
from dataclasses import dataclass, replace
from typing import Final

import orjson

_DIRTY: Final = "-dirty"


@dataclass(frozen=True, slots=True)
class BudgetUsage:
    """`total_sessions` sessions there were when `revision` first ended something; 0 is not known yet.

    `deletes` and `restarts` are the sessions (`namespace/name`) that it was allowed to end or
    restart within its budgets.
    """

    revision: str = ""
    total_sessions: int = 0
    deletes: frozenset[str] = frozenset()
    restarts: frozenset[str] = frozenset()

    def for_revision(self, revision: str, total_sessions: int) -> "BudgetUsage":
        """Go on where the same revision stands, or begin anew.

        A tree without a commit may be another one each time, so nothing is remembered of it.
        """
        known = revision and not revision.endswith(_DIRTY) and revision == self.revision
        if not known:
            return BudgetUsage(revision, total_sessions)
        return replace(
            self, total_sessions=self.total_sessions or total_sessions + len(self.deletes)
        )

    def without_total(self) -> "BudgetUsage":
        """Leave open how many sessions there were, since not all of them could be seen."""
        return replace(self, total_sessions=0)

    def with_deletes(self, sessions: Set[str]) -> "BudgetUsage":
        """Count sessions that are ended."""
        return replace(self, deletes=self.deletes | sessions)

    def with_restarts(self, sessions: Set[str]) -> "BudgetUsage":
        """Count sessions that are restarted."""
        return replace(self, restarts=self.restarts | sessions)

    def __or__(self, other: "BudgetUsage") -> "BudgetUsage":
        """Join what two copies say of one revision; of two revisions, the first stands."""
        if not self.revision:
            return other
        if self.revision != other.revision:
            return self
        joined = self.with_deletes(other.deletes).with_restarts(other.restarts)
        return replace(joined, total_sessions=max(self.total_sessions, other.total_sessions))


def format_budget_usage(usage: BudgetUsage) -> str:
    """Write it as JSON."""
    fields = {
        "revision": usage.revision,
        "living": usage.total_sessions,
        "deletes": sorted(usage.deletes),
        "restarts": sorted(usage.restarts),
    }
    return orjson.dumps(fields).decode()


def parse_budget_usage(text: str) -> BudgetUsage:
    """Read it; what was damaged by hand counts as nothing spent."""
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
