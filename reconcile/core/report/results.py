"""What the server says of a plan's objects, as lines for people and as JSON."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, assert_never

from reconcile.core.changes import ABSENT, Commit, FieldChange, InPlace
from reconcile.core.mask.masker import Masker
from reconcile.core.model import ObjectRef
from reconcile.core.plan.dry_run import Accepted, Admission, Alteration, Altered, NotTried, Refused
from reconcile.core.report.escape_part import visible
from reconcile.core.report.field_values import word
from reconcile.core.report.plan_report import PlanReport
from reconcile.core.report.view import learn_manifests

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
