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
class Spent:
    """`living` sessions there were when `revision` first ended something; 0 is not known yet.

    `deletes` and `restarts` are the sessions (`namespace/name`) that it was allowed to end or
    restart within its budgets.
    """

    revision: str = ""
    living: int = 0
    deletes: frozenset[str] = frozenset()
    restarts: frozenset[str] = frozenset()

    def at(self, revision: str, living: int) -> "Spent":
        """Go on where the same revision stands, or begin anew.

        A tree without a commit may be another one each time, so nothing is remembered of it.
        """
        known = revision and not revision.endswith(_DIRTY) and revision == self.revision
        if not known:
            return Spent(revision, living)
        return replace(self, living=self.living or living + len(self.deletes))

    def without_base(self) -> "Spent":
        """Leave open how many sessions there were, since not all of them could be seen."""
        return replace(self, living=0)

    def deleting(self, sessions: Set[str]) -> "Spent":
        """Count sessions that are ended."""
        return replace(self, deletes=self.deletes | sessions)

    def restarting(self, sessions: Set[str]) -> "Spent":
        """Count sessions that are restarted."""
        return replace(self, restarts=self.restarts | sessions)

    def __or__(self, other: "Spent") -> "Spent":
        """Join what two copies say of one revision; of two revisions, the first stands."""
        if not self.revision:
            return other
        if self.revision != other.revision:
            return self
        joined = self.deleting(other.deletes).restarting(other.restarts)
        return replace(joined, living=max(self.living, other.living))


def spent_text(spent: Spent) -> str:
    """Write it as JSON."""
    fields = {
        "revision": spent.revision,
        "living": spent.living,
        "deletes": sorted(spent.deletes),
        "restarts": sorted(spent.restarts),
    }
    return orjson.dumps(fields).decode()


def parse_spent(text: str) -> Spent:
    """Read it; what was damaged by hand counts as nothing spent."""
    try:
        data = orjson.loads(text)
        return Spent(
            revision=str(data["revision"]),
            living=int(data["living"]),
            deletes=frozenset(map(str, data["deletes"])),
            restarts=frozenset(map(str, data["restarts"])),
        )
    except (ValueError, TypeError, KeyError):
        return Spent()
