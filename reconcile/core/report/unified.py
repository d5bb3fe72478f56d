"""A plan as a unified diff of YAML; changes that a diff cannot express are in comments."""

from collections.abc import Iterable, Iterator

from reconcile.core.changes import Drift, FieldChange
from reconcile.core.mask.masker import Masker
from reconcile.core.report.escape import escape_controls
from reconcile.core.report.problems import (
    Findings,
    format_location,
    format_problem_message,
    mask_settings,
)
from reconcile.core.report.summary import format_summary
from reconcile.core.report.text import format_kind
from reconcile.core.report.view import (
    DELIVERS_PROMPT,
    DRIFT_TITLE,
    ChangeView,
    PlanReport,
    SessionView,
    build_plan_view,
    describe_baseline,
    describe_tree,
    split_by_cause,
)
from reconcile.core.report.yaml_diff import (
    build_fragment,
    diff_lines,
    dump_object,
    format_hunks,
    mark_added,
)


def format_unified(report: PlanReport, masker: Masker) -> str:
    """Format a plan as a diff: each changed object is a file with only its changed fields.

    Comment lines begin with `#`. Held changes and deletes are comments: they are not applied, or
    there is nothing to show.
    """
    view = build_plan_view(report.plan, masker, include_created=True)
    head = (format_summary(view.summary), *_format_origin(report, masker))
    body = (line for session in view.sessions for line in _format_session(session))
    return "".join(
        [
            format_error_comments(report.findings, masker),
            *(f"{line}\n" for line in map(_format_comment, head)),
            *(f"{line}\n" for line in body),
        ]
    )


def format_error_comments(findings: Findings, masker: Masker) -> str:
    """Format findings as comment lines."""
    named = (("error", findings.problems), ("warning", findings.warnings))
    comments = (
        ": ".join(
            filter(
                None,
                (
                    severity,
                    format_location(problem, masker),
                    format_problem_message(problem, masker),
                ),
            )
        )
        for severity, problems in named
        for problem in problems
    )
    settings = (f"{each.file}: {each.text}" for each in mask_settings(findings.settings, masker))
    return "".join(f"{_format_comment(text)}\n" for text in (*settings, *comments))


def _format_origin(report: PlanReport, masker: Masker) -> Iterator[str]:
    tree, commit = describe_tree(report.plan.revision)
    text, name, other = describe_baseline(report.baseline)
    yield (
        f"{masker.mask_text(name)} ({other}) to {tree} {commit}"
        if name
        else (f"{text} to {tree} {commit}".rstrip())
    )
    yield f"Plan digest: {report.digest}"


def _format_session(session: SessionView) -> Iterator[str]:
    for change in session.changes:
        match change.action:
            case "keep":
                continue
            case "delete":
                yield _format_comment(f"delete {change.ref}: {change.message}")
            case "hold":
                yield _format_comment(
                    f"hold {change.ref}: {change.held_action} held, {change.message}"
                )
                yield from map(_format_comment, _format_object(change))
            case _:
                yield from _format_object(change)


def _format_object(change: ChangeView) -> Iterator[str]:
    path = _diff_path(change)
    for note in change.notes:
        yield _format_comment(note)
    if change.delivers_prompt:
        yield _format_comment(DELIVERS_PROMPT)
    if change.created_object is not None:
        yield from ("--- /dev/null", f"+++ b/{path}")
        yield from format_hunks(mark_added(dump_object(change.created_object.mask())))
    by_cause = split_by_cause(change.fields)
    yield from _format_fields(path, by_cause.commit)
    for drifted in by_cause.drift:
        yield _format_comment(_format_drift(drifted.cause))
        yield from _format_fields(path, drifted.fields)


def _format_fields(path: str, fields: Iterable[FieldChange]) -> Iterator[str]:
    sides = build_fragment(fields)
    hunks = list(format_hunks(diff_lines(sides.before, sides.after)))
    if hunks:
        yield from (f"--- a/{path}", f"+++ b/{path}", *hunks)
    else:
        # No line changes, for example if only the ownership of a field is released.
        yield from (_format_comment(row.text) for row in sides.after)


def _format_drift(cause: Drift) -> str:
    by = f" by {cause.manager}" if cause.manager else ""
    return f"{DRIFT_TITLE}{by}" + (f" at {cause.time}" if cause.time else "")


def _diff_path(change: ChangeView) -> str:
    ref = change.ref
    return escape_controls(f"{ref.namespace}/{format_kind(ref)}/{ref.name}.yaml")


def _format_comment(text: str) -> str:
    return f"# {escape_controls(text)}".rstrip()
