"""The results of an apply and of a server-side dry run, as text and as JSON."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, assert_never

from reconcile.core.changes import ABSENT, Commit, FieldChange, InPlace, Outcome, Status
from reconcile.core.mask.masker import Masker
from reconcile.core.model import ObjectRef
from reconcile.core.plan.dry_run import (
    AcceptedObject,
    AdmissionChange,
    AdmissionResult,
    AlteredObject,
    RefusedObject,
    UntriedObject,
)
from reconcile.core.report.escape import TextOptions, escape_controls
from reconcile.core.report.field_values import format_field_change
from reconcile.core.report.summary import count_outcomes, format_outcome_counts
from reconcile.core.report.view import PlanReport, learn_manifest_secrets

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
_FAILED_STATUSES: Final = frozenset({Status.FAILED, Status.SKIPPED})
_PLAIN: Final = TextOptions()


def format_finished_outcomes(
    outcomes: Sequence[Outcome], masker: Masker, options: TextOptions = _PLAIN
) -> str:
    """Format finished changes, one per line; outcomes that the plan already shows are left out."""
    learn_failed_objects(outcomes, masker)
    return "".join(
        format_outcome(outcome, masker, options) + "\n"
        for outcome in outcomes
        if options.verbose or not _is_in_plan_output(outcome)
    )


def format_outcome_totals(outcomes: Iterable[Outcome], options: TextOptions = _PLAIN) -> str:
    """Format the number of outcomes by status, for a whole apply."""
    return options.paint("bold", format_outcome_counts(count_outcomes(outcomes))) + "\n"


def format_outcome(outcome: Outcome, masker: Masker, options: TextOptions = _PLAIN) -> str:
    """Format one outcome as one line."""
    status = options.paint(_STYLES[outcome.status], outcome.status.value)
    message = escape_controls(masker.mask_text(outcome.message))
    return f"{escape_controls(str(outcome.change.ref))} {status}" + (
        f": {message}" if message else ""
    )


def learn_failed_objects(outcomes: Iterable[Outcome], masker: Masker) -> None:
    """Learn the secrets of objects that failed: the API server quotes rejected values."""
    changes = (outcome.change for outcome in outcomes if outcome.status in _FAILED_STATUSES)
    learn_manifest_secrets(changes, masker)


def _is_in_plan_output(outcome: Outcome) -> bool:
    was_held = outcome.status is Status.HELD and not outcome.message
    return was_held or outcome.status is Status.UNCHANGED


_MAX_NAMED: Final = 3
"""Untried objects with the same reason are listed up to this number, and counted above."""


def format_admission(report: PlanReport, masker: Masker) -> tuple[str, ...]:
    """Format the results of a server-side dry run, refusals first; empty without a dry run.

    The first line has the counts. Objects that are accepted as declared are only counted.
    """
    if not report.admission:
        return ()
    _learn_objects(report, masker)
    refused = (each for each in report.admission if isinstance(each, RefusedObject))
    altered = (each for each in report.admission if isinstance(each, AlteredObject))
    return (
        _format_counts(report.admission),
        *(
            f"{_format_ref(each.ref)}: refused: {_mask_text(each.message, masker)}"
            for each in refused
        ),
        *(line for each in altered for line in _format_altered(each, masker)),
        *_format_untried(report.admission, masker),
    )


def admission_json(report: PlanReport, masker: Masker) -> list[dict[str, Any]]:
    """Return the results of a server-side dry run as JSON, in the order of an apply."""
    _learn_objects(report, masker)
    return [_result_json(each, masker) for each in report.admission]


def _learn_objects(report: PlanReport, masker: Masker) -> None:
    """Learn the secrets of objects that are not accepted: the server quotes rejected values."""
    reported = {each.ref for each in report.admission if not isinstance(each, AcceptedObject)}
    learn_manifest_secrets((c for c in report.plan.changes if c.ref in reported), masker)


def _format_counts(admission: Iterable[AdmissionResult]) -> str:
    counts = Counter(type(each) for each in admission)
    return (
        f"Server dry run: {counts[AcceptedObject]} accepted, {counts[AlteredObject]} altered, "
        f"{counts[RefusedObject]} refused, {counts[UntriedObject]} not tried."
    )


def _format_altered(altered: AlteredObject, masker: Masker) -> Iterator[str]:
    for field in altered.fields:
        change = _mask_alteration(altered.ref, field, masker)
        formatted = format_field_change(change)
        verb = {"+": "adds", "-": "removes"}.get(formatted.sign, "changes")
        head = f": {formatted.head}" if formatted.head else ""
        yield f"{_format_ref(altered.ref)}: admission {verb} {escape_controls(change.path)}{head}"
        yield from (f"    {line.sign} {line.text}".rstrip() for line in formatted.lines)


def _format_untried(admission: Iterable[AdmissionResult], masker: Masker) -> Iterator[str]:
    groups: dict[tuple[str, str], list[ObjectRef]] = {}
    for each in admission:
        if isinstance(each, UntriedObject):
            groups.setdefault((each.ref.namespace, each.reason), []).append(each.ref)
    for (namespace, reason), refs in groups.items():
        many = f"{len(refs)} objects in {escape_controls(namespace)}"
        subject = ", ".join(map(_format_ref, refs)) if len(refs) <= _MAX_NAMED else many
        yield f"{subject}: not tried: {_mask_text(reason, masker)}"


def _result_json(each: AdmissionResult, masker: Masker) -> dict[str, Any]:
    match each:
        case AcceptedObject(ref):
            return {"verdict": "accepted", **_ref_json(ref)}
        case AlteredObject(ref, fields):
            shown = [_field_json(_mask_alteration(ref, field, masker)) for field in fields]
            return {"verdict": "altered", **_ref_json(ref), "fields": shown}
        case RefusedObject(ref, message):
            return {"verdict": "refused", **_ref_json(ref), "message": masker.mask_text(message)}
        case UntriedObject(ref, reason):
            message = masker.mask_text(reason)
            return {"verdict": "notTried", **_ref_json(ref), "message": message}
        case _:
            assert_never(each)


def _field_json(change: FieldChange) -> Mapping[str, Any]:
    sides = {"declared": change.before, "admitted": change.after}
    return {
        "path": change.path,
        **{side: value for side, value in sides.items() if value is not ABSENT},
    }


def _mask_alteration(ref: ObjectRef, field: AdmissionChange, masker: Masker) -> FieldChange:
    # The masker handles field changes, so an alteration is masked as one.
    change = FieldChange(field.path, field.declared, field.admitted, InPlace(), Commit())
    masker.learn_change(ref, change)
    return masker.mask_change(ref, change)


def _ref_json(ref: ObjectRef) -> dict[str, str]:
    return {"group": ref.group, "kind": ref.kind, "namespace": ref.namespace, "name": ref.name}


def _format_ref(ref: ObjectRef) -> str:
    return escape_controls(str(ref))


def _mask_text(text: str, masker: Masker) -> str:
    return escape_controls(masker.mask_text(text))
