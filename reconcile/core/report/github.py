"""A plan or findings as workflow commands, which GitHub shows as annotations of the lines.

GitHub's runner reads a line that begins with `::` as a command. All untrusted text is escaped as in
GitHub's own toolkit, so that it cannot end a command or begin another one.
"""

from collections.abc import Iterator
from typing import Final

from reconcile.core.errors import Problem
from reconcile.core.mask.masker import Masker
from reconcile.core.report.escape import escape_controls
from reconcile.core.report.problems import (
    Findings,
    format_problem_counts,
    format_problem_message,
    mask_settings,
)
from reconcile.core.report.summary import format_summary
from reconcile.core.report.view import (
    DELIVERS_PROMPT,
    ChangeView,
    PlanReport,
    PlanView,
    build_plan_view,
    find_disruption,
)

_DATA_ESCAPES: Final = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
_PROPERTY_ESCAPES: Final = {**_DATA_ESCAPES, **str.maketrans({":": "%3A", ",": "%2C"})}
_FILE_SUFFIXES: Final = (".yaml", ".yml")
_TITLE: Final = "reconcile diff"


def format_github(report: PlanReport, masker: Masker) -> str:
    """Format a plan: problems first, then the summary, then the disruptive changes."""
    view = build_plan_view(report.plan, masker)
    text = f"{format_summary(view.summary)} Plan digest: {report.digest}"
    if report.findings.problems:
        counts = format_problem_counts(report.findings)
        text = f"{counts} The objects that they affect are not changed. {text}"
    lines = (_format_command("notice", text, {"title": _TITLE}), *_notices(view))
    return format_annotations(report.findings, report.folder, masker) + _join_lines(lines)


def format_annotations(findings: Findings, folder: str, masker: Masker) -> str:
    """Format findings as errors and warnings of their lines; `folder` has the session files."""
    errors = (_format_finding("error", problem, folder, masker) for problem in findings.problems)
    warnings = (
        _format_finding("warning", problem, folder, masker) for problem in findings.warnings
    )
    settings = (
        _format_finding("warning", Problem(each.file, 0, 0, "", each.text), folder, masker)
        for each in mask_settings(findings.settings, masker)
    )
    return _join_lines((*settings, *errors, *warnings))


def _format_finding(command: str, problem: Problem, folder: str, masker: Masker) -> str:
    path = escape_controls(masker.mask_text(problem.path))
    is_file = path.endswith(_FILE_SUFFIXES)
    message = format_problem_message(problem, masker)
    properties = {
        "file": _join_path(folder, path) if is_file else "",
        "line": str(problem.line) if is_file and problem.line else "",
        "col": str(problem.column) if is_file and problem.line else "",
        "title": "reconcile",
    }
    text = f"{path}: {message}" if path and not is_file else message
    return _format_command(command, text, properties)


def _join_path(folder: str, path: str) -> str:
    return path if folder in {"", "."} else f"{folder.rstrip('/')}/{path}"


def _notices(view: PlanView) -> Iterator[str]:
    changes = [change for session in view.sessions for change in session.changes]
    for wanted in ("delete", "replace", "patch", "hold"):
        for change in changes:
            text = _notice_text(change) if change.action == wanted else ""
            if text:
                title = f"{change.action} {change.ref}"
                yield _format_command(
                    "notice", escape_controls(text), {"title": escape_controls(title)}
                )


def _notice_text(change: ChangeView) -> str:
    reason = find_disruption(change)
    if reason is not None:
        return reason.format(reason.paths)
    if change.delivers_prompt:
        return DELIVERS_PROMPT
    held = f"{change.held_action} held, " if change.held_action else ""
    return f"{held}{change.message}" if change.message else ""


def _format_command(name: str, message: str, properties: dict[str, str]) -> str:
    given = (
        f"{key}={value.translate(_PROPERTY_ESCAPES)}" for key, value in properties.items() if value
    )
    return f"::{name} {','.join(given)}::{message.translate(_DATA_ESCAPES)}"


def _join_lines(lines: tuple[str, ...]) -> str:
    return "".join(f"{line}\n" for line in lines)
