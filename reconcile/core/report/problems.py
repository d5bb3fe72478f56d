"""The problems and warnings of a desired tree, as text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from reconcile.core.errors import Problem
from reconcile.core.mask.masker import Masker
from reconcile.core.report.escape import TextOptions, escape_controls, escape_line

_PLAIN: Final = TextOptions()


@dataclass(frozen=True, slots=True)
class Findings:
    """The problems and warnings of a desired tree."""

    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


def format_problems(findings: Findings, masker: Masker, options: TextOptions = _PLAIN) -> str:
    """Format all findings, one per line, as `path:line:column: field: message`; empty for none.

    A warning has `warning` after its location, as in the output of compilers.
    """
    errors = (_format_problem(problem, "", masker, options) for problem in findings.problems)
    warnings = (
        _format_problem(problem, "warning", masker, options) for problem in findings.warnings
    )
    return "".join(f"{line}\n" for line in (*errors, *warnings))


def format_location(problem: Problem, masker: Masker) -> str:
    """Return the location of a problem in the format of compilers."""
    path = escape_line(masker.mask_text(problem.path))
    return f"{path}:{problem.line}:{problem.column}" if problem.line else path


def format_problem_message(problem: Problem, masker: Masker) -> str:
    """Return the message of a problem after its field."""
    # Each part is masked by itself: a field's name before a message looks like a key.
    parts = (escape_controls(masker.mask_text(part)) for part in (problem.field, problem.message))
    return ": ".join(part for part in parts if part)


def format_problem_counts(findings: Findings) -> str:
    """Format the number of findings: `2 errors and 1 warning in 2 files.`."""
    files = {problem.path for problem in (*findings.problems, *findings.warnings)}
    errors = _format_count(findings.problems, "error")
    warnings = _format_count(findings.warnings, "warning")
    return f"{errors} and {warnings} in {_format_count(tuple(files), 'file')}."


def _format_problem(problem: Problem, severity: str, masker: Masker, options: TextOptions) -> str:
    head = (options.paint("bold", format_location(problem, masker)), options.paint("~", severity))
    message = escape_line(format_problem_message(problem, masker))
    return ": ".join(part for part in (*head, message) if part)


def _format_count(items: Sequence[object], noun: str) -> str:
    return f"{len(items)} {noun}" if len(items) == 1 else f"{len(items)} {noun}s"
