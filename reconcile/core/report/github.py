"""A plan, or what is wrong with files, as workflow commands that GitHub shows beside the lines.

The runner takes a line that begins with `::` for a command. Whatever is not ours is escaped as its
own toolkit does, so that no text can end a command or begin another one.
"""

from collections.abc import Iterator
from typing import Final

from reconcile.core.errors import Problem
from reconcile.core.mask.masker import Masker
from reconcile.core.report.escape import visible
from reconcile.core.report.problems import Findings, complaint, problems_line
from reconcile.core.report.summary import summary_line
from reconcile.core.report.view import ChangeView, PlanReport, PlanView, disruption, plan_view

_DATA: Final = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
_PROPERTY: Final = {**_DATA, **str.maketrans({":": "%3A", ",": "%2C"})}
_FILES: Final = (".yaml", ".yml")
_TITLE: Final = "reconcile diff"


def format_github(report: PlanReport, masker: Masker) -> str:
    """Word a plan: problems first, then the summary, then what a reviewer must not overlook."""
    view = plan_view(report.plan, masker)
    said = f"{summary_line(view.summary)} Plan digest: {report.digest}"
    if report.findings.problems:
        said = f"{problems_line(report.findings)} What they are about stays as it is. {said}"
    lines = (_command("notice", said, {"title": _TITLE}), *_notices(view))
    return format_annotations(report.findings, report.folder, masker) + _lines(lines)


def format_annotations(findings: Findings, folder: str, masker: Masker) -> str:
    """Word findings as errors and warnings at their lines; `folder` leads to the session files."""
    errors = (_finding("error", problem, folder, masker) for problem in findings.problems)
    warnings = (_finding("warning", problem, folder, masker) for problem in findings.warnings)
    return _lines((*errors, *warnings))


def _finding(command: str, problem: Problem, folder: str, masker: Masker) -> str:
    path = visible(masker.text(problem.path))
    is_file = path.endswith(_FILES)
    said = complaint(problem, masker)
    properties = {
        "file": _below(folder, path) if is_file else "",
        "line": str(problem.line) if is_file and problem.line else "",
        "col": str(problem.column) if is_file and problem.line else "",
        "title": "reconcile",
    }
    return _command(command, f"{path}: {said}" if path and not is_file else said, properties)


def _below(folder: str, path: str) -> str:
    return path if folder in {"", "."} else f"{folder.rstrip('/')}/{path}"


def _notices(view: PlanView) -> Iterator[str]:
    changes = [change for session in view.sessions for change in session.changes]
    for wanted in ("delete", "replace", "patch", "hold"):
        for change in changes:
            said = _said(change) if change.action == wanted else ""
            if said:
                title = f"{change.action} {change.ref}"
                yield _command("notice", visible(said), {"title": visible(title)})


def _said(change: ChangeView) -> str:
    reason = disruption(change)
    if reason is not None:
        return reason.words(reason.paths)
    held = f"{change.withholds} held, " if change.withholds else ""
    return f"{held}{change.message}" if change.message else ""


def _command(name: str, message: str, properties: dict[str, str]) -> str:
    given = (f"{key}={value.translate(_PROPERTY)}" for key, value in properties.items() if value)
    return f"::{name} {','.join(given)}::{message.translate(_DATA)}"


def _lines(lines: tuple[str, ...]) -> str:
    return "".join(f"{line}\n" for line in lines)
