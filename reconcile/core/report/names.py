"""A plan as one line for each object that changes, for scripts: `patch Service team-a/fix-login`.

The order is that of the plan. A kind outside the core group has its group behind it, as kubectl
takes it: `NetworkPolicy.networking.k8s.io`. What could not be read has a line that begins with
`error`, so that an empty output means that there is nothing to do.
"""

from collections.abc import Iterator

from reconcile.core.errors import Problem
from reconcile.core.mask.masker import Masker
from reconcile.core.model import ObjectRef
from reconcile.core.report.escape_part import visible
from reconcile.core.report.plan_report import PlanReport
from reconcile.core.report.problems import Findings, place
from reconcile.core.report.summary import action_name


def format_names(report: PlanReport, masker: Masker) -> str:
    """Name what changes; held objects have the action `hold`."""
    lines = (
        f"{action} {kind_name(change.ref)} {change.ref.namespace}/{change.ref.name}"
        for change in report.plan.changes
        if (action := action_name(change)) != "keep"
    )
    return format_error_names(report.findings, masker) + _lines(map(visible, lines))


def format_error_names(findings: Findings, masker: Masker) -> str:
    """Name the places of errors, one a line."""
    return _lines(_error(problem, masker) for problem in findings.problems)


def kind_name(ref: ObjectRef) -> str:
    """Name a kind as kubectl takes it."""
    return f"{ref.kind}.{ref.group}" if ref.group else ref.kind


def _error(problem: Problem, masker: Masker) -> str:
    return f"error {place(problem, masker)}".rstrip()


def _lines(lines: Iterator[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
