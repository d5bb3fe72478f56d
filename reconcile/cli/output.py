"""Prints a plan, or why there is none, in the requested format."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from reconcile.cli.options import SourceOptions
from reconcile.cli.terminal import Terminal
from reconcile.cli.wiring import load_desired
from reconcile.core.errors import Problem, ReconcileError, SpecError
from reconcile.core.report.github import format_annotations, format_github
from reconcile.core.report.json_output import plan_json, problems_json, to_json
from reconcile.core.report.markdown import format_failure, format_markdown
from reconcile.core.report.problems import Findings
from reconcile.core.report.text import format_error_names, format_names, format_plan_text
from reconcile.core.report.unified import format_error_comments, format_unified
from reconcile.core.report.view import PlanReport

_MACHINE_FORMS = frozenset({"json", "github"})


def show_plan(report: PlanReport, terminal: Terminal) -> None:
    """Print a plan, and its problems on standard error unless the format contains them."""
    terminal.show(_format_plan(report, terminal))
    if terminal.output.form not in _MACHINE_FORMS:
        terminal.show_problems(report.findings)


def show_findings(findings: Findings, source: SourceOptions, terminal: Terminal) -> None:
    """Print the problems of the files, and nothing else."""
    if terminal.output.form == "text":
        terminal.show_problems(findings)
    else:
        terminal.show(_format_findings(findings, terminal, source.tree.as_posix()))


@contextmanager
def report_failures(source: SourceOptions, terminal: Terminal) -> Iterator[None]:
    """Print an error in the requested format where there is no other output, and raise it again.

    A program that reads the output then finds the reason there. The error itself is still printed
    on standard error, and sets the exit code.
    """
    try:
        yield
    except ReconcileError as error:
        problems = error.problems if isinstance(error, SpecError) else ()
        nameless = Problem("", 0, 0, "", str(error))
        _load_installation(source, terminal)
        folder = source.tree.as_posix()
        terminal.show(_format_findings(Findings(problems or (nameless,)), terminal, folder))
        raise


def _load_installation(source: SourceOptions, terminal: Terminal) -> None:
    """Read the name of the installation, if not done yet: the comment's marker depends on it."""
    if terminal.output.form == "markdown" and not terminal.installation:
        with suppress(ReconcileError):
            load_desired(source, terminal)


def _format_plan(report: PlanReport, terminal: Terminal) -> str:
    masker = terminal.masker
    match terminal.output.form:
        case "json":
            return to_json(plan_json(report, masker))
        case "markdown":
            return format_markdown(report, masker, terminal.output.limit)
        case "unified":
            return format_unified(report, masker)
        case "names":
            return format_names(report, masker)
        case "github":
            return format_github(report, masker)
        case _:
            return format_plan_text(report, masker, terminal.text_options())


def _format_findings(findings: Findings, terminal: Terminal, folder: str) -> str:
    masker = terminal.masker
    match terminal.output.form:
        case "json":
            return to_json(problems_json(findings, masker))
        case "markdown":
            limit = terminal.output.limit
            return format_failure(findings, terminal.installation, masker, limit)
        case "unified":
            return format_error_comments(findings, masker)
        case "names":
            return format_error_names(findings, masker)
        case "github":
            return format_annotations(findings, folder, masker)
        case _:
            return ""
