"""A plan as text for a terminal: per session, per object, per field; the summary comes last.

A plan as one line for each object that changes, for scripts: `patch Service team-a/fix-login`.

The order is that of the plan. A kind outside the core group has its group behind it, as kubectl
takes it: `NetworkPolicy.networking.k8s.io`. What could not be read has a line that begins with
`error`, so that an empty output means that there is nothing to do.
"""

from collections.abc import Iterator
from typing import Final, assert_never

from reconcile.core.changes import (
    Drift,
    Effect,
    FieldChange,
    ForcesReplace,
    InPlace,
    Metadata,
    RestartsContainer,
)
from reconcile.core.errors import Problem
from reconcile.core.mask.masker import Masker
from reconcile.core.model import ObjectRef
from reconcile.core.report.escape import TextOptions, visible
from reconcile.core.report.field_values import Line, word
from reconcile.core.report.problems import Findings, place, problems_line
from reconcile.core.report.results import admission_lines
from reconcile.core.report.summary import action_name, summary_line
from reconcile.core.report.view import (
    DRIFT,
    ChangeView,
    PlanReport,
    SessionView,
    against_words,
    part,
    plan_view,
    tree_words,
)


def format_names(report: PlanReport, masker: Masker) -> str:
    """Name what changes; held objects have the action `hold`."""
    lines = (
        f"{action} {kind_name(change.ref)} {change.ref.namespace}/{change.ref.name}"
        for change in report.plan.changes
        if (action := action_name(change)) != "keep"
    )
    return format_error_names(report.findings, masker) + _lines(map(visible, lines))


def format_error_names(findings: Findings, masker: Masker) -> str:
    """Name the places of errors, one a line."""
    return _lines(_error(problem, masker) for problem in findings.problems)


def kind_name(ref: ObjectRef) -> str:
    """Name a kind as kubectl takes it."""
    return f"{ref.kind}.{ref.group}" if ref.group else ref.kind


def _error(problem: Problem, masker: Masker) -> str:
    return f"error {place(problem, masker)}".rstrip()


def _lines(lines: Iterator[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


_SYMBOLS: Final = {
    "create": "+",
    "patch": "~",
    "replace": "-/+",
    "delete": "-",
    "keep": "=",
    "hold": "!",
}
_PLAIN: Final = TextOptions()


def format_text(report: PlanReport, masker: Masker, options: TextOptions = _PLAIN) -> str:
    """Word a plan; ends in a line break. The same plan gives the same text.

    Findings are only counted, so that a plan that could not be made whole never looks as if there
    were nothing to do; `format_problems` words them.
    """
    view = plan_view(report.plan, masker)
    findings = report.findings
    lines = [line for session in view.sessions for line in _session(session, options)][1:]
    if not lines and not findings.problems:
        lines.append("Nothing to do.")
    if findings.problems:
        lines += ["", f"{problems_line(findings)} What they are about stays as it is."]
    admission = admission_lines(report, masker)
    lines += ["", *admission] if admission else []
    lines += ["", options.paint("bold", summary_line(view.summary))]
    lines += _origin(report, masker)
    return "\n".join(lines).lstrip("\n") + "\n"


def _origin(report: PlanReport, masker: Masker) -> Iterator[str]:
    """Say what was compared with what: a plan is worth no more than what it was made of."""
    words, commit = tree_words(report.plan.revision)
    yield f"Tree: {words} {commit}".rstrip()
    ours, name, other = against_words(report.against)
    named = f"{visible(masker.text(name))} ({other})" if name else ours
    yield f"Compared with: {named}"
    yield f"Plan digest: {report.digest}"


def _session(session: SessionView, options: TextOptions) -> Iterator[str]:
    shown = [change for change in session.changes if options.verbose or change.action != "keep"]
    if not shown:
        return
    # What holds for all of a session's objects is said once, at its head.
    reasons = {_why(change) for change in shown}
    common = reasons.pop() if len(shown) > 1 and len(reasons) == 1 else ""
    yield ""
    yield options.paint("bold", visible(str(session.session))) + common
    for change in shown:
        yield from _change(change, options, why="" if common else _why(change))


def _why(change: ChangeView) -> str:
    held = f"{change.withholds} held, " if change.withholds else ""
    return f": {held}{visible(change.message)}" if change.message else ""


def _change(change: ChangeView, options: TextOptions, *, why: str) -> Iterator[str]:
    symbol = _SYMBOLS[change.action]
    name = visible(f"{change.ref.kind} {change.ref.name}")
    yield options.paint(symbol, f"{symbol:>5} {name}") + why
    for note in change.notes:
        yield f"        {note}"
    parted = part(change.fields)
    for field in parted.commit:
        yield from _field(field, options)
    for drifted in parted.drift:
        yield "        " + options.paint("!", _drift(drifted.cause))
        for field in drifted.fields:
            yield from ("  " + line for line in _field(field, options))


def _drift(cause: Drift) -> str:
    by = f" by {visible(cause.manager)}" if cause.manager else ""
    at = f" at {visible(cause.time)}" if cause.time else ""
    return f"{DRIFT}{by}{at}"


def _field(field: FieldChange, options: TextOptions) -> Iterator[str]:
    wording = word(field)
    head = f": {wording.head}" if wording.head else ":"
    path = options.paint(wording.sign, f"{wording.sign} {visible(field.path)}")
    yield f"        {path}{head}{_effect(field.effect)}"
    for line in wording.lines:
        yield "            " + options.paint(line.sign, _line(line))


def _line(line: Line) -> str:
    return f"{line.sign} {line.text}".rstrip()


def _effect(effect: Effect) -> str:
    match effect:
        case ForcesReplace():
            return "  (forces replacement)"
        case RestartsContainer(container):
            return f"  (restarts container {visible(container)})"
        case Metadata() | InPlace():
            return ""
        case _:
            assert_never(effect)
