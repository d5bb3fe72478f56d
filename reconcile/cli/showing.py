"""Prints a plan in the form that was asked for."""

from reconcile.cli.terminal import Terminal
from reconcile.core.report.documents import plan_json, to_json
from reconcile.core.report.plan_report import PlanReport
from reconcile.core.report.text import format_text


def show_plan(report: PlanReport, terminal: Terminal) -> None:
    """Print a plan; as text its findings go beside it, in all other forms they are part of it."""
    masker = terminal.masker
    match terminal.output.form:
        case "json":
            terminal.show(to_json(plan_json(report.plan, report.findings, masker)))
        case _:
            options = terminal.text_options()
            terminal.show(format_text(report.plan, masker, options, report.findings))
            terminal.tell_findings(report.findings)
