"""Counts the changes of a plan or an apply."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import assert_never

from reconcile.core.changes import (
    Change,
    Create,
    Delete,
    DeliversPrompt,
    Drift,
    FieldChange,
    Hold,
    Keep,
    Outcome,
    Patch,
    Plan,
    Replace,
    Status,
)


@dataclass(frozen=True, slots=True)
class Summary:
    """Objects per kind of change; `drift` counts those of them that were changed outside git.

    `prompts` counts those that deliver a new prompt to work that runs.
    """

    create: int = 0
    patch: int = 0
    replace: int = 0
    delete: int = 0
    hold: int = 0
    drift: int = 0
    unchanged: int = 0
    prompts: int = 0

    def as_dict(self) -> dict[str, int]:
        """Return the counts by name."""
        return asdict(self)


def action_name(change: Change) -> str:
    """Return the name of a change's action."""
    match change:
        case Create():
            return "create"
        case Patch():
            return "patch"
        case Replace():
            return "replace"
        case Delete():
            return "delete"
        case Keep():
            return "keep"
        case Hold():
            return "hold"
        case _:
            assert_never(change)


def changed_fields(change: Change) -> tuple[FieldChange, ...]:
    """Return the fields that a change affects, also if it is held."""
    match change:
        case Patch() | Replace():
            return change.fields
        case Hold():
            return changed_fields(change.change)
        case Create() | Delete() | Keep():
            return ()
        case _:
            assert_never(change)


def summarize_plan(plan: Plan) -> Summary:
    """Count a plan's changes."""
    counts = Counter(action_name(change) for change in plan.changes)
    return Summary(
        create=counts["create"],
        patch=counts["patch"],
        replace=counts["replace"],
        delete=counts["delete"],
        hold=counts["hold"],
        drift=sum(map(_has_drift, plan.changes)),
        unchanged=counts["keep"],
        prompts=sum(map(delivers_prompt, plan.changes)),
    )


def format_summary(summary: Summary) -> str:
    """Format a plan's counts as one line, zeros included except those of prompts."""
    new = "a new prompt" if summary.prompts == 1 else f"{summary.prompts} new prompts"
    prompts = f" It delivers {new} to running work." if summary.prompts else ""
    return (
        f"Plan: {summary.create} to create, {summary.patch} to patch, "
        f"{summary.replace} to replace, {summary.delete} to delete, {summary.hold} held, "
        f"{summary.drift} drifted, {summary.unchanged} unchanged.{prompts}"
    )


def count_outcomes(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """Count outcomes by status, zeros included."""
    counts = Counter(outcome.status for outcome in outcomes)
    return {status.value: counts[status] for status in Status}


def format_outcome_counts(counts: dict[str, int]) -> str:
    """Format the result of an apply as one line."""
    return "Applied: " + ", ".join(f"{count} {status}" for status, count in counts.items()) + "."


def delivers_prompt(change: Change) -> bool:
    """Whether a change delivers a new prompt to work that runs; a held one does not."""
    return isinstance(change, Patch) and any(
        isinstance(field.effect, DeliversPrompt) for field in change.fields
    )


def _has_drift(change: Change) -> bool:
    return any(isinstance(field.cause, Drift) for field in changed_fields(change))
