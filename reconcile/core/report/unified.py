"""A plan as a unified diff of YAML, for tools: what such tools cannot carry out is in comments."""

from collections.abc import Iterable, Iterator

from reconcile.core.changes import Drift, FieldChange
from reconcile.core.mask.masker import Masker
from reconcile.core.report.escape import visible
from reconcile.core.report.problems import Findings, complaint, place
from reconcile.core.report.summary import summary_line
from reconcile.core.report.text import kind_name
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
from reconcile.core.report.yaml_diff import added, edits, fragment, unified, whole_rows


def format_unified(report: PlanReport, masker: Masker) -> str:
    """Write a plan as a diff: each changed object is a file, of which only changed fields show.

    A comment line begins with `#`. Held changes and deletes are comments: they are not made, or
    there is nothing to show.
    """
    view = plan_view(report.plan, masker, whole=True)
    head = (summary_line(view.summary), *_origin(report, masker))
    body = (line for session in view.sessions for line in _session(session))
    return "".join(
        [
            format_error_comments(report.findings, masker),
            *(f"{line}\n" for line in map(_comment, head)),
            *(f"{line}\n" for line in body),
        ]
    )


def format_error_comments(findings: Findings, masker: Masker) -> str:
    """Write findings as comment lines."""
    named = (("error", findings.problems), ("warning", findings.warnings))
    said = (
        ": ".join(filter(None, (severity, place(problem, masker), complaint(problem, masker))))
        for severity, problems in named
        for problem in problems
    )
    return "".join(f"{_comment(text)}\n" for text in said)


def _origin(report: PlanReport, masker: Masker) -> Iterator[str]:
    words, commit = tree_words(report.plan.revision)
    ours, name, other = against_words(report.against)
    yield (
        f"{masker.text(name)} ({other}) to {words} {commit}"
        if name
        else (f"{ours} to {words} {commit}".rstrip())
    )
    yield f"Plan digest: {report.digest}"


def _session(session: SessionView) -> Iterator[str]:
    for change in session.changes:
        match change.action:
            case "keep":
                continue
            case "delete":
                yield _comment(f"delete {change.ref}: {change.message}")
            case "hold":
                yield _comment(f"hold {change.ref}: {change.withholds} held, {change.message}")
                yield from map(_comment, _object(change))
            case _:
                yield from _object(change)


def _object(change: ChangeView) -> Iterator[str]:
    path = _path(change)
    for note in change.notes:
        yield _comment(note)
    if change.whole is not None:
        yield from ("--- /dev/null", f"+++ b/{path}")
        yield from unified(added(whole_rows(change.whole.shown())))
    parted = part(change.fields)
    yield from _fields(path, parted.commit)
    for drifted in parted.drift:
        yield _comment(_drift(drifted.cause))
        yield from _fields(path, drifted.fields)


def _fields(path: str, fields: Iterable[FieldChange]) -> Iterator[str]:
    sides = fragment(fields)
    hunks = list(unified(edits(sides.before, sides.after)))
    if hunks:
        yield from (f"--- a/{path}", f"+++ b/{path}", *hunks)
    else:
        # Nothing goes or comes, as where only our claim on a field is given up.
        yield from (_comment(row.text) for row in sides.after)


def _drift(cause: Drift) -> str:
    by = f" by {cause.manager}" if cause.manager else ""
    return f"{DRIFT}{by}" + (f" at {cause.time}" if cause.time else "")


def _path(change: ChangeView) -> str:
    ref = change.ref
    return visible(f"{ref.namespace}/{kind_name(ref)}/{ref.name}.yaml")


def _comment(text: str) -> str:
    return f"# {visible(text)}".rstrip()
