"""The result of an apply as text: one line per changed object, then the counts."""

from collections.abc import Iterable, Sequence
from typing import Final

from reconcile.core.changes import Outcome, Status
from reconcile.core.mask.masker import Masker
from reconcile.core.report.escape_part import visible
from reconcile.core.report.palette import TextOptions
from reconcile.core.report.summary import count_outcomes, outcomes_line
from reconcile.core.report.view import learn_manifests

_STYLES: Final = {
    Status.CREATED: "+",
    Status.CONFIGURED: "~",
    Status.REPLACED: "-/+",
    Status.DELETED: "-",
    Status.UNCHANGED: "dim",
    Status.HELD: "!",
    Status.FAILED: "-",
    Status.SKIPPED: "dim",
}
_TROUBLED: Final = frozenset({Status.FAILED, Status.SKIPPED})
_PLAIN: Final = TextOptions()


def format_outcomes_text(
    outcomes: Sequence[Outcome], masker: Masker, options: TextOptions = _PLAIN
) -> str:
    """Word how the changes ended, and count them; ends in a line break."""
    return format_ended(outcomes, masker, options) + format_applied(outcomes, options)


def format_ended(outcomes: Sequence[Outcome], masker: Masker, options: TextOptions = _PLAIN) -> str:
    """Word how some changes ended, one a line, as soon as they have; empty if the plan says it."""
    learn_troubled(outcomes, masker)
    return "".join(
        format_outcome(outcome, masker, options) + "\n"
        for outcome in outcomes
        if options.verbose or not _is_said_by_the_plan(outcome)
    )


def format_applied(outcomes: Iterable[Outcome], options: TextOptions = _PLAIN) -> str:
    """Count how the changes of a whole apply ended."""
    return options.paint("bold", outcomes_line(count_outcomes(outcomes))) + "\n"


def format_outcome(outcome: Outcome, masker: Masker, options: TextOptions = _PLAIN) -> str:
    """Word one outcome in one line, as for the progress of a long apply."""
    said = options.paint(_STYLES[outcome.status], outcome.status.value)
    message = visible(masker.text(outcome.message))
    return f"{visible(str(outcome.change.ref))} {said}" + (f": {message}" if message else "")


def learn_troubled(outcomes: Iterable[Outcome], masker: Masker) -> None:
    """Learn the secrets of objects that failed: an API server quotes what it refuses."""
    changes = (outcome.change for outcome in outcomes if outcome.status in _TROUBLED)
    learn_manifests(changes, masker)


def _is_said_by_the_plan(outcome: Outcome) -> bool:
    was_held = outcome.status is Status.HELD and not outcome.message
    return was_held or outcome.status is Status.UNCHANGED
