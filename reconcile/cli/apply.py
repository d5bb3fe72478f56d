"""The command `apply`: makes the cluster equal to the session files."""

import click

from reconcile.cli.exit_codes import ExitCode, apply_exit_code
from reconcile.cli.options import (
    Connection,
    Output,
    SourceOptions,
    connection_options,
    output_options,
    pass_options,
    plan_digest_option,
    source_options,
)
from reconcile.cli.output import report_failures, show_plan
from reconcile.cli.terminal import Terminal
from reconcile.cli.wiring import build_plan_report, build_reconciler, collect_findings, compute_plan
from reconcile.core.changes import Outcome, Status
from reconcile.core.errors import ClusterError, Problem
from reconcile.core.plan.approval import Approval, describe_approval_mismatch
from reconcile.core.report.json_output import outcomes_json, to_json
from reconcile.core.report.problems import Findings
from reconcile.core.report.results import format_finished_outcomes, format_outcome_totals
from reconcile.engine.reconciler import PassPlan, Reconciler, ReconcilerOptions, SessionResult


@click.command()
@source_options
@connection_options
@pass_options
@plan_digest_option
@output_options("text", "json")
def apply(
    source: SourceOptions,
    connection: Connection,
    options: ReconcilerOptions,
    approved: Approval | None,
    output: Output,
) -> int:
    """Make the cluster equal to the session files.

    Shows the plan first. Running work is not restarted unless its session says so. Changes that
    would delete or restart too much at once are held: see budgets and approvals in policy.yaml.
    """
    terminal = Terminal(output)
    with report_failures(source, terminal):
        reconciler = build_reconciler(connection, terminal, options)
        planned = compute_plan(reconciler, source, terminal)
    if approved is not None and (reasons := _describe_mismatch(planned, approved)):
        show_plan(build_plan_report(planned, source), terminal)
        return _report_refused(planned, reasons, terminal)
    if output.form == "text":
        show_plan(build_plan_report(planned, source), terminal)
    outcomes, failures = _apply_plan(reconciler, planned, terminal)
    if output.form == "json":
        findings = collect_findings(planned, failures)
        document = outcomes_json(planned.plan, outcomes, findings, terminal.masker)
        terminal.show(to_json(document))
    else:
        terminal.show(format_outcome_totals(outcomes, terminal.text_options()))
        terminal.show_problems(Findings(failures))
    return apply_exit_code(
        [outcome.change for outcome in outcomes],
        unreadable=bool(planned.problems),
        failed=bool(failures) or any(o.status is Status.FAILED for o in outcomes),
        invalid=bool(planned.desired.problems),
    )


def _describe_mismatch(planned: PassPlan, approved: Approval) -> str:
    return describe_approval_mismatch(planned.plan, planned.desired, approved)


def _report_refused(planned: PassPlan, reasons: str, terminal: Terminal) -> int:
    """Refuse the plan and write nothing; unreadable or invalid input has its own exit code."""
    terminal.show_messages(f"Error: {reasons}".split("\n"))
    code = apply_exit_code(
        (), unreadable=bool(planned.problems), failed=False, invalid=bool(planned.desired.problems)
    )
    return code or ExitCode.HELD


def _apply_plan(
    reconciler: Reconciler, planned: PassPlan, terminal: Terminal
) -> tuple[list[Outcome], tuple[Problem, ...]]:
    """Apply, and show the result of each session as soon as it has ended."""
    outcomes: list[Outcome] = []
    failures: list[Problem] = []
    try:
        for count, done in enumerate(reconciler.apply(planned), 1):
            outcomes.extend(done.outcomes)
            failures.extend(Problem(str(done.session), 0, 0, "", text) for text in done.failures)
            _show_session_result(done, count, terminal)
    except ClusterError as error:
        failures.append(Problem(planned.plan.installation, 0, 0, "", str(error)))
    terminal.show_progress("")
    return outcomes, tuple(failures)


def _show_session_result(result: SessionResult, count: int, terminal: Terminal) -> None:
    terminal.show_progress("")
    if terminal.output.form == "text":
        options = terminal.text_options()
        terminal.show(format_finished_outcomes(result.outcomes, terminal.masker, options))
    terminal.show_progress(f"{count} sessions done")
