"""An object's changed fields, parted by who changed them: this commit, or somebody outside git."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from reconcile.core.changes import Drift, FieldChange
from reconcile.core.model import ANNOTATION_DIGEST

DRIFT: Final = "Drift: changed outside git"


@dataclass(frozen=True, slots=True)
class Drifted:
    """Fields that one manager changed at one time."""

    cause: Drift
    fields: tuple[FieldChange, ...]


@dataclass(frozen=True, slots=True)
class Parted:
    """What this commit changes, and what was changed outside git before it."""

    commit: tuple[FieldChange, ...]
    drift: tuple[Drifted, ...]


def part(fields: Iterable[FieldChange]) -> Parted:
    """Part fields by their cause, each in its order; our own bookkeeping is left out."""
    commit: list[FieldChange] = []
    drift: dict[Drift, list[FieldChange]] = {}
    for field in fields:
        if field.path.endswith(f"[{ANNOTATION_DIGEST}]"):
            continue
        if isinstance(field.cause, Drift):
            drift.setdefault(field.cause, []).append(field)
        else:
            commit.append(field)
    groups = (Drifted(cause, tuple(listed)) for cause, listed in drift.items())
    return Parted(tuple(commit), tuple(groups))
