"""Why an object restarts or is replaced: the fields that force it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from reconcile.core.changes import FieldChange, ForcesReplace, RestartsContainer
from reconcile.core.report.view import ChangeView

_MOST_PATHS: Final = 2


@dataclass(frozen=True, slots=True)
class Reason:
    """What happens (`restarts`), the first fields that force it, and how many more do."""

    happens: str
    paths: tuple[str, ...]
    more: int

    def words(self, paths: Iterable[str]) -> str:
        """Word it with the paths as the form at hand shows them."""
        listed = " and ".join(paths) if not self.more else ", ".join(paths)
        more = f" and {self.more} more" if self.more else ""
        return f"{self.happens} because {listed}{more} changed"


def disruption(change: ChangeView) -> Reason | None:
    """Say why an object restarts or is replaced; None for one that goes on, or is held."""
    if change.action == "replace":
        forcing = [field for field in change.fields if isinstance(field.effect, ForcesReplace)]
        happens = "restarts" if change.ref.kind == "Pod" else "is deleted and created again"
        return _reason(happens, forcing or change.fields)
    restarting = [field for field in change.fields if isinstance(field.effect, RestartsContainer)]
    if change.action != "patch" or not restarting:
        return None
    return _reason("restarts a container", restarting)


def _reason(happens: str, fields: Iterable[FieldChange]) -> Reason:
    paths = tuple(field.path for field in fields)
    return Reason(happens, paths[:_MOST_PATHS], max(0, len(paths) - _MOST_PATHS))
