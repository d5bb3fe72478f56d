"""A plan as text: for a terminal, and as one line per changed object for scripts.

On a terminal, a plan is listed by session, object and field, and the summary comes last. For
scripts, the order is that of the plan: `patch Service team-a/fix-login`. A kind outside the core
group has its group as a suffix, as kubectl accepts it: `NetworkPolicy.networking.k8s.io`. Each
error has a line that begins with `error`, so that an empty output means that nothing changes.
"""

from collections.abc import Iterator
from typing import Final, assert_never

from reconcile.core.changes import (
    DeliversPrompt,
    Drift,
    Effect,
    FieldChange,
    ForcesReplace,
    InPlace,
    MetadataOnly,
    RestartsContainer,
)
from reconcile.core.errors import Problem
from reconcile.core.mask.masker import Masker
from reconcile.core.model import ObjectRef
from reconcile.core.report.escape import TextOptions, escape_controls
from reconcile.core.report.field_values import ValueLine, format_field_change
from reconcile.core.report.problems import Findings, format_location, format_problem_counts
from reconcile.core.report.results import format_admission
from reconcile.core.report.summary import action_name, format_summary
from reconcile.core.report.view import (
    DRIFT_TITLE,
    ChangeView,
    PlanReport,
    SessionView,
    build_plan_view,
    describe_baseline,
    describe_tree,
    split_by_cause,
)


def format_names(report: PlanReport, masker: Masker) -> str:
    """List the changed objects; held ones have the action `hold`."""
    lines = (
        f"{action} {format_kind(change.ref)} {change.ref.namespace}/{change.ref.name}"
        for change in report.plan.changes
        if (action := action_name(change)) != "keep"
    )
    return format_error_names(report.findings, masker) + _join_lines(map(escape_controls, lines))


def format_error_names(findings: Findings, masker: Masker) -> str:
    """List the locations of errors, one per line."""
    return _join_lines(_format_error(problem, masker) for problem in findings.problems)


def format_kind(ref: ObjectRef) -> str:
    """Return a kind as kubectl accepts it."""
    return f"{ref.kind}.{ref.group}" if ref.group else ref.kind


def _format_error(problem: Problem, masker: Masker) -> str:
    return f"error {format_location(problem, masker)}".rstrip()


def _join_lines(lines: Iterator[str]) -> str:
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


def format_plan_text(report: PlanReport, masker: Masker, options: TextOptions = _PLAIN) -> str:
    """Format a plan; ends in a line break. The same plan gives the same text.

    Findings are only counted, so that an incomplete plan never looks as if nothing had to be done;
    `format_problems` lists them.
    """
    view = build_plan_view(report.plan, masker)
    findings = report.findings
    lines = [line for session in view.sessions for line in _format_session(session, options)][1:]
    if not lines and not findings.problems:
        lines.append("Nothing to do.")
    if findings.problems:
        lines += [
            "",
            f"{format_problem_counts(findings)} The objects that they affect are not changed.",
        ]
    admission = format_admission(report, masker)
    lines += ["", *admission] if admission else []
    lines += ["", options.paint("bold", format_summary(view.summary))]
    lines += _format_origin(report, masker)
    return "\n".join(lines).lstrip("\n") + "\n"


def _format_origin(report: PlanReport, masker: Masker) -> Iterator[str]:
    """Yield the compared states and the plan digest."""
    tree, commit = describe_tree(report.plan.revision)
    yield f"Tree: {tree} {commit}".rstrip()
    text, name, other = describe_baseline(report.baseline)
    named = f"{escape_controls(masker.mask_text(name))} ({other})" if name else text
    yield f"Compared with: {named}"
    yield f"Plan digest: {report.digest}"


def _format_session(session: SessionView, options: TextOptions) -> Iterator[str]:
    shown = [change for change in session.changes if options.verbose or change.action != "keep"]
    if not shown:
        return
    # A reason that all objects of a session share is shown once, after its name.
    reasons = {_format_reason(change) for change in shown}
    common = reasons.pop() if len(shown) > 1 and len(reasons) == 1 else ""
    yield ""
    yield options.paint("bold", escape_controls(str(session.session))) + common
    for change in shown:
        yield from _format_change(change, options, why="" if common else _format_reason(change))


def _format_reason(change: ChangeView) -> str:
    held = f"{change.held_action} held, " if change.held_action else ""
    return f": {held}{escape_controls(change.message)}" if change.message else ""


def _format_change(change: ChangeView, options: TextOptions, *, why: str) -> Iterator[str]:
    symbol = _SYMBOLS[change.action]
    name = escape_controls(f"{change.ref.kind} {change.ref.name}")
    yield options.paint(symbol, f"{symbol:>5} {name}") + why
    for note in change.notes:
        yield f"        {note}"
    by_cause = split_by_cause(change.fields)
    for field in by_cause.commit:
        yield from _format_field(field, options)
    for drifted in by_cause.drift:
        yield "        " + options.paint("!", _format_drift(drifted.cause))
        for field in drifted.fields:
            yield from ("  " + line for line in _format_field(field, options))


def _format_drift(cause: Drift) -> str:
    by = f" by {escape_controls(cause.manager)}" if cause.manager else ""
    at = f" at {escape_controls(cause.time)}" if cause.time else ""
    return f"{DRIFT_TITLE}{by}{at}"


def _format_field(field: FieldChange, options: TextOptions) -> Iterator[str]:
    formatted = format_field_change(field)
    head = f": {formatted.head}" if formatted.head else ":"
    path = options.paint(formatted.sign, f"{formatted.sign} {escape_controls(field.path)}")
    yield f"        {path}{head}{_format_effect(field.effect)}"
    for line in formatted.lines:
        yield "            " + options.paint(line.sign, _format_line(line))


def _format_line(line: ValueLine) -> str:
    return f"{line.sign} {line.text}".rstrip()


def _format_effect(effect: Effect) -> str:
    match effect:
        case ForcesReplace():
            return "  (forces replacement)"
        case RestartsContainer(container):
            return f"  (restarts container {escape_controls(container)})"
        case DeliversPrompt():
            return "  (delivers a new prompt)"
        case MetadataOnly() | InPlace():
            return ""
        case _:
            assert_never(effect)
