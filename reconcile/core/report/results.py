"""What the server says of a plan's objects, as lines for people and as JSON.

The result of an apply as text: one line per changed object, then the counts.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, assert_never

from reconcile.core.changes import ABSENT, Commit, FieldChange, InPlace, Outcome, Status
from reconcile.core.mask.masker import Masker
from reconcile.core.model import ObjectRef
from reconcile.core.plan.dry_run import Accepted, Admission, Alteration, Altered, NotTried, Refused
from reconcile.core.report.escape import TextOptions, visible
from reconcile.core.report.field_values import word
from reconcile.core.report.summary import count_outcomes, outcomes_line
from reconcile.core.report.view import PlanReport, learn_manifests

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


_NAMED: Final = 3
"""Objects that could not be tried for one reason: so many are named, more are counted."""


def admission_lines(report: PlanReport, masker: Masker) -> tuple[str, ...]:
    """Word what the server would do or refuse, refusals first; empty where it was not asked.

    The first line counts. What is accepted as it is declared is only counted.
    """
    if not report.admission:
        return ()
    _learn(report, masker)
    refused = (each for each in report.admission if isinstance(each, Refused))
    altered = (each for each in report.admission if isinstance(each, Altered))
    return (
        _counts(report.admission),
        *(f"{_named(each.ref)}: refused: {_text(each.message, masker)}" for each in refused),
        *(line for each in altered for line in _alterations(each, masker)),
        *_not_tried(report.admission, masker),
    )


def admission_json(report: PlanReport, masker: Masker) -> list[dict[str, Any]]:
    """Give the same object by object, in the order of the plan."""
    _learn(report, masker)
    return [_document(each, masker) for each in report.admission]


def _learn(report: PlanReport, masker: Masker) -> None:
    """Learn the secrets of the objects in question: a server quotes what it refuses."""
    told = {each.ref for each in report.admission if not isinstance(each, Accepted)}
    learn_manifests((c for c in report.plan.changes if c.ref in told), masker)


def _counts(admission: Iterable[Admission]) -> str:
    counts = Counter(type(each) for each in admission)
    return (
        f"Server dry run: {counts[Accepted]} accepted, {counts[Altered]} altered, "
        f"{counts[Refused]} refused, {counts[NotTried]} not tried."
    )


def _alterations(altered: Altered, masker: Masker) -> Iterator[str]:
    for field in altered.fields:
        change = _masked(altered.ref, field, masker)
        wording = word(change)
        verb = {"+": "adds", "-": "takes away"}.get(wording.sign, "changes")
        head = f": {wording.head}" if wording.head else ""
        yield f"{_named(altered.ref)}: admission {verb} {visible(change.path)}{head}"
        yield from (f"    {line.sign} {line.text}".rstrip() for line in wording.lines)


def _not_tried(admission: Iterable[Admission], masker: Masker) -> Iterator[str]:
    groups: dict[tuple[str, str], list[ObjectRef]] = {}
    for each in admission:
        if isinstance(each, NotTried):
            groups.setdefault((each.ref.namespace, each.why), []).append(each.ref)
    for (namespace, why), refs in groups.items():
        many = f"{len(refs)} objects in {visible(namespace)}"
        subject = ", ".join(map(_named, refs)) if len(refs) <= _NAMED else many
        yield f"{subject}: not tried: {_text(why, masker)}"


def _document(each: Admission, masker: Masker) -> dict[str, Any]:
    match each:
        case Accepted(ref):
            return {"verdict": "accepted", **_ref(ref)}
        case Altered(ref, fields):
            shown = [_field(_masked(ref, field, masker)) for field in fields]
            return {"verdict": "altered", **_ref(ref), "fields": shown}
        case Refused(ref, message):
            return {"verdict": "refused", **_ref(ref), "message": masker.text(message)}
        case NotTried(ref, why):
            return {"verdict": "notTried", **_ref(ref), "message": masker.text(why)}
        case _:
            assert_never(each)


def _field(change: FieldChange) -> Mapping[str, Any]:
    sides = {"declared": change.before, "admitted": change.after}
    return {
        "path": change.path,
        **{side: value for side, value in sides.items() if value is not ABSENT},
    }


def _masked(ref: ObjectRef, field: Alteration, masker: Masker) -> FieldChange:
    # The masker knows fields before and after; for it admission is one more change.
    change = FieldChange(field.path, field.declared, field.admitted, InPlace(), Commit())
    masker.learn_change(ref, change)
    return masker.change(ref, change)


def _ref(ref: ObjectRef) -> dict[str, str]:
    return {"group": ref.group, "kind": ref.kind, "namespace": ref.namespace, "name": ref.name}


def _named(ref: ObjectRef) -> str:
    return visible(str(ref))


def _text(text: str, masker: Masker) -> str:
    return visible(masker.text(text))
