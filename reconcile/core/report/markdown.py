"""A plan as a comment on a pull request, of limited size.

The summary is always included: counts, then sections with deletes, disruptions, findings and held
changes. As many sessions follow as fit, each collapsed, with a diff for each object.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from reconcile.core.changes import Commit
from reconcile.core.errors import Problem
from reconcile.core.mask.masker import Masker
from reconcile.core.report.escape import (
    format_code_span,
    format_prose,
)
from reconcile.core.report.highlights import format_highlights
from reconcile.core.report.markdown_sessions import (
    byte_length,
    disruption_rank,
    format_count,
    format_sessions,
    join_lines,
)
from reconcile.core.report.problems import Findings, format_problem_counts, mask_settings
from reconcile.core.report.results import format_admission
from reconcile.core.report.view import (
    ChangeView,
    PlanReport,
    PlanView,
    SessionView,
    build_plan_view,
    describe_baseline,
    describe_tree,
    find_disruption,
    has_changes,
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


MAX_COMMENT_BYTES: Final = 65_536
"""GitHub's documented limit of characters in a comment, counted in bytes of UTF-8.

Measurements show a limit of four bytes for each character; bytes are the strictest way to count.
"""

MIN_COMMENT_BYTES: Final = 4_096
"""The minimum limit: every summary fits into it."""

_SECTION_SHARE: Final = 12
"""Each section may use this fraction of the space, so that they leave half of it."""

_SETTINGS_SHARE: Final = 6
_HIGHLIGHTS_SHARE: Final = 3
"""The fractions for the settings, and for what a reviewer must see."""

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
    available = limit - byte_length(join_lines((*head, *tail))) - _RESERVED_BYTES
    summary = [
        *_fit_lines(
            "Policy, templates and defaults",
            list(_format_settings(report.findings, masker)),
            available // _SETTINGS_SHARE,
        ),
        *_fit_lines(
            "Images, Secrets, rights, network, priority, prompts",
            list(format_highlights(changed, masker)),
            available // _HIGHLIGHTS_SHARE,
        ),
    ]
    summary += [
        line
        for section in build_sections(view, report, masker)
        for line in fit_section(
            section, _total_entries(section, report.findings), available // _SECTION_SHARE
        )
    ]
    sessions = format_sessions(changed, available - byte_length(join_lines(summary)))
    return join_lines((*head, *summary, *sessions, *tail))


def _format_settings(findings: Findings, masker: Masker) -> Iterator[str]:
    for change in mask_settings(findings.settings, masker):
        yield f"- {format_code_span(change.file)}: {format_prose(change.text)}"


def _fit_lines(title: str, entries: Sequence[str], available_bytes: int) -> Iterator[str]:
    """Yield a section with as many entries as fit, and count the others in bold."""
    if not entries:
        return
    yield from (f"**{title}**", "")
    for position, entry in enumerate(entries):
        available_bytes -= byte_length(entry) + 1
        if available_bytes < 0:
            yield f"- **and {len(entries) - position:,} more that do not fit here**"
            break
        yield entry
    yield ""


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
    available = (limit - byte_length(join_lines(head)) - _RESERVED_BYTES) // 2
    body = [
        line
        for section in build_findings_sections(findings, masker)
        for line in fit_section(section, _total_entries(section, findings), available)
    ]
    return join_lines((*head, *body))


def build_comment_marker(installation: str) -> str:
    """Return the hidden line that identifies the comment."""
    name = _MARKER_UNSAFE.sub("-", installation)[:_MAX_NAME_WIDTH]
    return " ".join(filter(None, ("<!-- reconcile diff:", name, "-->")))


def _format_heading(view: PlanView, changed: Sequence[SessionView], findings: Findings) -> str:
    # With errors and without changes, the errors are the only known fact.
    errors = [format_count(len(findings.problems), "error")] if findings.problems else []
    count = len(findings.settings)
    settings = [f"changes of {format_count(count, 'setting')}"] if count else []
    known = [*errors, *settings]
    changes = [_summarize_changes(view, changed)] if changed or not known else []
    return f"### reconcile diff: {', '.join([*known, *changes])}"


def _summarize_changes(view: PlanView, changed: Sequence[SessionView]) -> str:
    if not changed:
        return "no changes"
    applied = [session for session in changed if any(map(_is_applied, session.changes))]
    if not applied:
        return f"{format_count(view.summary.hold, 'change')} held"
    drifted = all(
        _is_drift(change)
        for session in applied
        for change in session.changes
        if _is_applied(change)
    )
    return f"{'drift' if drifted else 'changes'} in {format_count(len(applied), 'session')}"


def _is_applied(change: ChangeView) -> bool:
    return change.action not in {"keep", "hold"}


def _is_drift(change: ChangeView) -> bool:
    fields = change.fields
    return bool(fields) and not any(isinstance(field.cause, Commit) for field in fields)


def _format_table(view: PlanView) -> Iterator[str]:
    counts = {
        name: count for name, count in view.summary.as_dict().items() if count or name != "prompts"
    }
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


def _format_baseline(report: PlanReport, masker: Masker) -> str:
    text, name, other = describe_baseline(report.baseline)
    tree, commit = describe_tree(report.plan.revision)
    named = (
        f"{format_code_span(masker.mask_text(name), _MAX_NAME_WIDTH)} ({format_code_span(other)})"
        if name
        else text
    )
    return f"{named} → {tree}" + (f" {format_code_span(commit)}" if commit else "")
