"""A plan as a comment on a pull request, of limited size.

The summary is always included: counts, then sections with deletes, disruptions, findings and held
changes. As many sessions follow as fit, each collapsed, with a diff for each object.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from reconcile.core.changes import Commit, Drift, FieldChange
from reconcile.core.errors import Problem
from reconcile.core.mask.masker import Masker
from reconcile.core.report.escape import (
    format_code_fence,
    format_code_span,
    format_html_code,
    format_prose,
)
from reconcile.core.report.problems import Findings, format_problem_counts
from reconcile.core.report.results import format_admission
from reconcile.core.report.view import (
    DRIFT_TITLE,
    ChangeView,
    PlanReport,
    PlanView,
    SessionView,
    build_plan_view,
    describe_baseline,
    describe_tree,
    find_disruption,
    has_changes,
    split_by_cause,
)
from reconcile.core.report.yaml_diff import (
    build_fragment,
    diff_lines,
    dump_object,
    mark_added,
    omit_unchanged_text,
)

_MAX_ENTRIES: Final = 30
_MAX_OBJECTS: Final = 4


@dataclass(frozen=True, slots=True)
class ReportSection:
    """A heading and its entries, the most severe first."""

    title: str
    entries: Sequence[str]


def build_sections(view: PlanView, report: PlanReport, masker: Masker) -> Iterator[ReportSection]:
    """Yield the sections of the summary that are not empty."""
    sections = (
        ReportSection("Deletes", list(_format_entries(view, "delete"))),
        ReportSection("Restarts and replacements", list(_format_disruptions(view))),
        *build_findings_sections(report.findings, masker),
        ReportSection(
            "Server dry run",
            [f"- {format_prose(line)}" for line in format_admission(report, masker)],
        ),
        ReportSection("Held", list(_format_entries(view, "hold"))),
    )
    return (section for section in sections if section.entries)


def build_findings_sections(findings: Findings, masker: Masker) -> Iterator[ReportSection]:
    """Yield the sections with the problems of files and cluster."""
    named = (("Errors", findings.problems), ("Warnings", findings.warnings))
    for title, problems in named:
        if problems:
            yield ReportSection(
                title, [_format_problem(each, masker) for each in problems[:_MAX_ENTRIES]]
            )


def fit_section(section: ReportSection, total: int, available_bytes: int) -> Iterator[str]:
    """Yield as many entries as fit into `available_bytes`, and count the others of `total`."""
    yield from (f"**{section.title}**", "")
    shown = 0
    for entry in section.entries[:_MAX_ENTRIES]:
        available_bytes -= byte_length(entry) + 1
        if available_bytes < 0:
            break
        shown += 1
        yield entry
    if shown < total:
        yield f"- and {total - shown:,} more" if shown else f"- {total:,} in total"
    yield ""


def byte_length(text: str) -> int:
    """Return the length of a text in bytes, the strictest way to count."""
    return len(text.encode())


def _format_entries(view: PlanView, action: str) -> Iterator[str]:
    for session in view.sessions:
        name = format_code_span(str(session.session))
        for message, changes in _group_by_message(session.changes, action).items():
            yield f"- {name}: {_format_objects(changes)}: {message}"


def _group_by_message(changes: Iterable[ChangeView], action: str) -> dict[str, list[ChangeView]]:
    """Group a session's changes that have the same message."""
    groups: dict[str, list[ChangeView]] = {}
    for change in changes:
        if change.action == action:
            held = f"{change.held_action} held, " if change.held_action else ""
            groups.setdefault(held + format_prose(change.message), []).append(change)
    return groups


def _format_objects(changes: Sequence[ChangeView]) -> str:
    names = [
        format_code_span(f"{change.ref.kind} {change.ref.name}")
        for change in changes[:_MAX_OBJECTS]
    ]
    rest = len(changes) - len(names)
    return ", ".join(names) + (f" and {rest} more" if rest else "")


def _format_disruptions(view: PlanView) -> Iterator[str]:
    for session in view.sessions:
        for change in session.changes:
            reason = find_disruption(change)
            if reason is not None:
                because = reason.format(map(format_code_span, reason.paths))
                yield f"- {format_code_span(str(change.ref))} {because}"


def _format_problem(problem: Problem, masker: Masker) -> str:
    place = f"{problem.path}:{problem.line}:{problem.column}" if problem.line else problem.path
    parts = (
        format_code_span(masker.mask_text(place)) if place else "",
        format_code_span(masker.mask_text(problem.field)),
    )
    shown = ": ".join(part for part in parts[: 2 if problem.field else 1] if part)
    message = format_prose(masker.mask_text(problem.message))
    return f"- {shown}: {message}" if shown else f"- {message}"


_ACTION_ORDER: Final = ("delete", "replace", "patch", "create", "hold")
_ACTION_LABELS: Final = {
    "create": "to create",
    "patch": "to patch",
    "replace": "to replace",
    "delete": "to delete",
    "hold": "held",
}


def disruption_rank(session: SessionView) -> int:
    """Return the rank of a session: deletes first, then restarts, then other changes."""
    actions = {change.action for change in session.changes}
    if "delete" in actions:
        return 0
    return 1 if any(map(find_disruption, session.changes)) else 2


def format_session(session: SessionView) -> Iterator[str]:
    """Yield a collapsed session; unchanged objects are left out."""
    changes = [change for change in session.changes if change.action != "keep"]
    name = format_html_code(str(session.session))
    yield f"<details><summary>{name}: {_format_counts(changes)}</summary>"
    yield ""
    for change in changes:
        yield from _format_change(change)
    yield "</details>"


def _format_counts(changes: Iterable[ChangeView]) -> str:
    listed = list(changes)
    counts = Counter(change.action for change in listed)
    labels = [
        f"{counts[action]} {_ACTION_LABELS[action]}" for action in _ACTION_ORDER if counts[action]
    ]
    drifted = sum(1 for change in listed if split_by_cause(change.fields).drift)
    return ", ".join([*labels, *([f"{drifted} drifted"] if drifted else [])])


def _format_change(change: ChangeView) -> Iterator[str]:
    name = format_code_span(f"{change.ref.kind} {change.ref.name}")
    yield f"**{change.action}** {name}{_format_reason(change)}"
    yield ""
    for note in change.notes:
        yield from (format_prose(note), "")
    if change.created_object is not None:
        yield from _format_diff_fence(
            map(str, mark_added(dump_object(change.created_object.mask())))
        )
    by_cause = split_by_cause(change.fields)
    if by_cause.commit:
        yield from _format_fields(by_cause.commit)
    for drifted in by_cause.drift:
        yield from (_format_drift(drifted.cause), "")
        yield from _format_fields(drifted.fields)


def _format_reason(change: ChangeView) -> str:
    reason = find_disruption(change)
    if reason is not None:
        return f" {reason.format(map(format_code_span, reason.paths))}"
    held = f"{change.held_action} held, " if change.held_action else ""
    return f": {held}{format_prose(change.message)}" if change.message else ""


def _format_drift(cause: Drift) -> str:
    by = f" by {format_code_span(cause.manager)}" if cause.manager else ""
    return f"**{DRIFT_TITLE}**{by}" + (f" at {format_code_span(cause.time)}" if cause.time else "")


def _format_fields(fields: Iterable[FieldChange]) -> Iterator[str]:
    sides = build_fragment(fields)
    yield from _format_diff_fence(omit_unchanged_text(diff_lines(sides.before, sides.after)))


def _format_diff_fence(lines: Iterable[str]) -> Iterator[str]:
    yield from (*format_code_fence(lines, "diff"), "")


MAX_COMMENT_BYTES: Final = 65_536
"""GitHub's documented limit of characters in a comment, counted in bytes of UTF-8.

Measurements show a limit of four bytes for each character; bytes are the strictest way to count.
"""

MIN_COMMENT_BYTES: Final = 4_096
"""The minimum limit: every summary fits into it."""

_SECTION_SHARE: Final = 12
"""Each section may use this fraction of the space, so that they leave half of it."""

_RESERVED_BYTES: Final = 600
"""Bytes that are reserved for the headings of sections and the count of omitted sessions."""

_MAX_NAME_WIDTH: Final = 60
_MARKER_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._/-]+")


def format_markdown(report: PlanReport, masker: Masker, limit: int = MAX_COMMENT_BYTES) -> str:
    """Format a plan as a comment of at most `limit` bytes; its first line identifies it."""
    view = build_plan_view(report.plan, masker, include_created=True)
    changed = sorted(filter(has_changes, view.sessions), key=disruption_rank)
    head = [
        build_comment_marker(view.installation),
        _format_heading(view, changed, report.findings),
        "",
    ]
    head += [*_format_table(view), "", *_format_problem_note(report.findings)]
    tail = [
        f"Plan digest: {format_code_span(report.digest)}",
        "",
        f"Compared: {_format_baseline(report, masker)}",
    ]
    available = limit - byte_length(_join_lines((*head, *tail))) - _RESERVED_BYTES
    summary = [
        line
        for section in build_sections(view, report, masker)
        for line in fit_section(
            section, _total_entries(section, report.findings), available // _SECTION_SHARE
        )
    ]
    sessions = _format_sessions(changed, available - byte_length(_join_lines(summary)))
    return _join_lines((*head, *summary, *sessions, *tail))


def format_failure(
    findings: Findings, installation: str, masker: Masker, limit: int = MAX_COMMENT_BYTES
) -> str:
    """Format the problems that prevent a plan; `installation` is empty if unknown."""
    head = [
        build_comment_marker(installation),
        "### reconcile diff failed",
        "",
        "The changes could not be determined.",
        "",
    ]
    available = (limit - byte_length(_join_lines(head)) - _RESERVED_BYTES) // 2
    body = [
        line
        for section in build_findings_sections(findings, masker)
        for line in fit_section(section, _total_entries(section, findings), available)
    ]
    return _join_lines((*head, *body))


def build_comment_marker(installation: str) -> str:
    """Return the hidden line that identifies the comment."""
    name = _MARKER_UNSAFE.sub("-", installation)[:_MAX_NAME_WIDTH]
    return " ".join(filter(None, ("<!-- reconcile diff:", name, "-->")))


def _format_heading(view: PlanView, changed: Sequence[SessionView], findings: Findings) -> str:
    # With errors and without changes, the errors are the only known fact.
    errors = [_format_count(len(findings.problems), "error")] if findings.problems else []
    changes = [_summarize_changes(view, changed)] if changed or not errors else []
    return f"### reconcile diff: {', '.join([*errors, *changes])}"


def _summarize_changes(view: PlanView, changed: Sequence[SessionView]) -> str:
    if not changed:
        return "no changes"
    applied = [session for session in changed if any(map(_is_applied, session.changes))]
    if not applied:
        return f"{_format_count(view.summary.hold, 'change')} held"
    drifted = all(
        _is_drift(change)
        for session in applied
        for change in session.changes
        if _is_applied(change)
    )
    return f"{'drift' if drifted else 'changes'} in {_format_count(len(applied), 'session')}"


def _is_applied(change: ChangeView) -> bool:
    return change.action not in {"keep", "hold"}


def _is_drift(change: ChangeView) -> bool:
    fields = change.fields
    return bool(fields) and not any(isinstance(field.cause, Commit) for field in fields)


def _format_table(view: PlanView) -> Iterator[str]:
    counts = view.summary.as_dict()
    yield f"| {' | '.join(counts)} |"
    yield f"|{'---:|' * len(counts)}"
    yield f"| {' | '.join(f'{count:,}' for count in counts.values())} |"


def _format_problem_note(findings: Findings) -> Iterator[str]:
    if findings.problems:
        yield from (
            f"{format_problem_counts(findings)} The objects that they affect are not changed.",
            "",
        )


def _total_entries(section: ReportSection, findings: Findings) -> int:
    totals = {"Errors": len(findings.problems), "Warnings": len(findings.warnings)}
    return totals.get(section.title, len(section.entries))


def _format_sessions(changed: Sequence[SessionView], available_bytes: int) -> Iterator[str]:
    """Yield collapsed sessions until one does not fit; the remaining ones are counted."""
    for position, session in enumerate(changed):
        text = _join_lines(format_session(session))
        available_bytes -= byte_length(text) + 1
        if available_bytes < 0:
            omitted = len(changed) - position
            sessions = _format_count(len(changed), "session")
            yield f"{omitted:,} of {sessions} omitted: the comment would be too long."
            yield ""
            return
        yield text


def _format_baseline(report: PlanReport, masker: Masker) -> str:
    text, name, other = describe_baseline(report.baseline)
    tree, commit = describe_tree(report.plan.revision)
    named = (
        f"{format_code_span(masker.mask_text(name), _MAX_NAME_WIDTH)} ({format_code_span(other)})"
        if name
        else text
    )
    return f"{named} → {tree}" + (f" {format_code_span(commit)}" if commit else "")


def _format_count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _join_lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
