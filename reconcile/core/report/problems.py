"""The problems and warnings of a desired tree, as text."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, assert_never

from reconcile.core.changes import ABSENT
from reconcile.core.errors import Problem
from reconcile.core.mask.masker import Masker
from reconcile.core.model import ObjectRef
from reconcile.core.plan.settings import FieldSetting, SettingChange, WholeFile
from reconcile.core.report.escape import TextOptions, escape_controls, escape_line, truncate_text

_PLAIN: Final = TextOptions()
_MAX_ITEMS: Final = 8
_MAX_VALUE_WIDTH: Final = 80


@dataclass(frozen=True, slots=True)
class Findings:
    """The problems and warnings of a desired tree, and what changes in its settings.

    `settings` are known only where two revisions are compared.
    """

    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    settings: tuple[SettingChange, ...] = ()


def format_problems(findings: Findings, masker: Masker, options: TextOptions = _PLAIN) -> str:
    """Format all findings, one per line, as `path:line:column: field: message`; empty for none.

    A warning has `warning` after its location, as in the output of compilers.
    """
    errors = (_format_problem(problem, "", masker, options) for problem in findings.problems)
    warnings = (
        _format_problem(problem, "warning", masker, options) for problem in findings.warnings
    )
    changes = (
        escape_line(f"{change.file}: {change.text}")
        for change in mask_settings(findings.settings, masker)
    )
    return "".join(f"{line}\n" for line in (*changes, *errors, *warnings))


@dataclass(frozen=True, slots=True)
class SettingView:
    """A change of a setting, masked: `text` has values in backticks."""

    file: str
    field: str
    text: str


def mask_settings(settings: Iterable[SettingChange], masker: Masker) -> Iterator[SettingView]:
    """Yield the changes of settings, with their secrets masked."""
    for setting in settings:
        match setting:
            case WholeFile(file, event):
                yield SettingView(masker.mask_text(file), "", event)
            case FieldSetting(file, change):
                masked = masker.mask_change(ObjectRef("", "", "", file), change)
                text = f"`{masked.path}`: {_format_sides(masked.before, masked.after)}"
                yield SettingView(masker.mask_text(file), masked.path, text)
            case _:
                assert_never(setting)


def _format_sides(before: Any, after: Any) -> str:
    if before is ABSENT:
        return f"`{_format_value(after)}` added"
    if after is ABSENT:
        return f"`{_format_value(before)}` removed"
    return f"`{_format_value(before)}` becomes `{_format_value(after)}`"


def _format_value(value: Any) -> str:
    if isinstance(value, list):
        named = ", ".join(map(_format_value, value[:_MAX_ITEMS]))
        more = len(value) - _MAX_ITEMS
        return f"{named} and {more} more" if more > 0 else named
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return truncate_text(text.replace("`", "'"), _MAX_VALUE_WIDTH)


def format_location(problem: Problem, masker: Masker) -> str:
    """Return the location of a problem in the format of compilers."""
    path = masker.mask_text(problem.path)
    place = f"{path}:{problem.line}:{problem.column}" if problem.line else path
    return escape_line(place)


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
