"""The command `apply`: makes the cluster equal to the session files."""

import click

from reconcile.cli.exit_codes import Exit, exit_of_apply
from reconcile.cli.options import (
    Connection,
    Desire,
    Output,
    connection_options,
    desire_options,
    output_options,
    pass_options,
    plan_digest_option,
)
from reconcile.cli.output import failures_shown, show_plan
from reconcile.cli.terminal import Terminal
from reconcile.cli.wiring import findings_of, plan_of, reconciler_of, report_of
from reconcile.core.changes import Outcome, Status
from reconcile.core.errors import ClusterError, Problem
from reconcile.core.plan.approval import Approved, refusal
from reconcile.core.report.json_output import outcomes_json, to_json
from reconcile.core.report.problems import Findings
from reconcile.core.report.results import format_applied, format_ended
from reconcile.engine.reconciler import Options, Planned, Reconciler, SessionDone


@click.command()
@desire_options
@connection_options
@pass_options
@plan_digest_option
@output_options("text", "json")
def apply(
    desire: Desire,
    connection: Connection,
    options: Options,
    approved: Approved | None,
    output: Output,
) -> int:
    """Make the cluster equal to the session files.

    Shows the plan first. Running work is not restarted unless its session says so, and what would
    delete or restart too much at once is held back: see budgets and approvals in policy.yaml.
    """
    terminal = Terminal(output)
    with failures_shown(desire, terminal):
        reconciler = reconciler_of(connection, terminal, options)
        planned = plan_of(reconciler, desire, terminal)
    if approved is not None and (reasons := refusal(planned.plan, approved)):
        show_plan(report_of(planned, desire), terminal)
        return _refused(planned, reasons, terminal)
    if output.form == "text":
        show_plan(report_of(planned, desire), terminal)
    outcomes, failures = _carry_out(reconciler, planned, terminal)
    if output.form == "json":
        findings = findings_of(planned, failures)
        document = outcomes_json(planned.plan, outcomes, findings, terminal.masker)
        terminal.show(to_json(document))
    else:
        terminal.show(format_applied(outcomes, terminal.text_options()))
        terminal.tell_findings(Findings(failures))
    return exit_of_apply(
        [outcome.change for outcome in outcomes],
        unread=bool(planned.problems),
        failed=bool(failures) or any(o.status is Status.FAILED for o in outcomes),
        invalid=bool(planned.desired.problems),
    )


def _refused(planned: Planned, reasons: str, terminal: Terminal) -> int:
    """End without having written anything; what is graver than another plan is told first."""
    terminal.tell(f"Error: {reasons}")
    graver = exit_of_apply(
        (), unread=bool(planned.problems), failed=False, invalid=bool(planned.desired.problems)
    )
    return graver or Exit.HELD


def _carry_out(
    reconciler: Reconciler, planned: Planned, terminal: Terminal
) -> tuple[list[Outcome], tuple[Problem, ...]]:
    """Apply, and tell of each session as soon as it has ended."""
    outcomes: list[Outcome] = []
    failures: list[Problem] = []
    try:
        for count, done in enumerate(reconciler.apply(planned), 1):
            outcomes.extend(done.outcomes)
            failures.extend(Problem(str(done.session), 0, 0, "", text) for text in done.failures)
            _tell_ended(done, count, terminal)
    except ClusterError as error:
        failures.append(Problem(planned.plan.installation, 0, 0, "", str(error)))
    terminal.progress("")
    return outcomes, tuple(failures)


def _tell_ended(done: SessionDone, count: int, terminal: Terminal) -> None:
    terminal.progress("")
    if terminal.output.form == "text":
        options = terminal.text_options()
        terminal.show(format_ended(done.outcomes, terminal.masker, options))
    terminal.progress(f"{count} sessions done")
