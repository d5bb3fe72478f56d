"""Commands that look at a cluster: diff, apply, status."""

from dataclasses import replace

import click

from reconcile.cli.exitcodes import Exit, exit_of_apply, exit_of_diff
from reconcile.cli.options import (
    MAX_CONCURRENCY,
    Connection,
    Desire,
    Output,
    connection_options,
    desire_options,
    output_options,
    prune_option,
)
from reconcile.cli.terminal import Terminal
from reconcile.cli.wiring import cluster_of, desired_state
from reconcile.core.changes import Outcome, Status
from reconcile.core.errors import ClusterError, Problem
from reconcile.core.report.documents import outcomes_json, plan_json, status_json, to_json
from reconcile.core.report.outcomes import format_applied, format_ended
from reconcile.core.report.problems import Findings
from reconcile.core.report.status import format_status
from reconcile.core.report.text import format_text
from reconcile.engine.reconciler import Options, Planned, Reconciler, SessionDone
from reconcile.engine.status import read_status
from reconcile.runtime.clock import SystemClock


@click.command()
@desire_options
@connection_options
@prune_option
@output_options("text", "json")
def diff(desire: Desire, connection: Connection, prune: bool, output: Output) -> int:  # noqa: FBT001
    """Show what `apply` would change, and change nothing.

    Needs the rights to get and list, no more. Exit code 0 means no change, 1 that there are some
    (held ones count), 2 and above that something is wrong.
    """
    terminal = Terminal(output)
    planned = _plan(_reconciler(connection, terminal, Options(prune=prune)), desire, terminal)
    if output.form == "json":
        terminal.show(to_json(plan_json(planned.plan, _findings(planned), terminal.masker)))
    else:
        _show_plan(planned, terminal)
    return exit_of_diff(
        planned.plan.changes,
        unread=bool(planned.problems),
        invalid=bool(planned.desired.problems),
    )


@click.command()
@desire_options
@connection_options
@prune_option
@click.option(
    "--concurrency",
    type=click.IntRange(1, MAX_CONCURRENCY),
    default=16,
    show_default=True,
    help="How many sessions are worked on at a time.",
)
@output_options("text", "json")
def apply(
    desire: Desire,
    connection: Connection,
    prune: bool,  # noqa: FBT001
    concurrency: int,
    output: Output,
) -> int:
    """Make the cluster equal to the session files.

    Shows the plan first. Running work is not restarted unless its session says so, and what would
    delete or restart too much at once is held back: see budgets and approvals in policy.yaml.
    """
    terminal = Terminal(output)
    options = Options(prune=prune, concurrency=concurrency)
    reconciler = _reconciler(connection, terminal, options)
    planned = _plan(reconciler, desire, terminal)
    if output.form == "text":
        _show_plan(planned, terminal)
    outcomes, failures = _carry_out(reconciler, planned, terminal)
    if output.form == "json":
        findings = _findings(planned, failures)
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


@click.command()
@desire_options
@connection_options
@click.option(
    "-n", "--namespace", "namespaces", multiple=True, help="Only this namespace; may be repeated."
)
@output_options("text", "wide", "json")
def status(
    desire: Desire, connection: Connection, namespaces: tuple[str, ...], output: Output
) -> int:
    """Show what the sessions are doing: phase, reason, age, revision, what is held back.

    DIR tells which installation and which namespaces are meant.
    """
    terminal = Terminal(output)
    desired = desired_state(desire, terminal)
    clock = SystemClock()
    rows = read_status(
        cluster_of(connection, terminal, clock),
        clock,
        desired.policy.installation,
        namespaces or desired.namespaces,
    )
    if output.form == "json":
        terminal.show(to_json(status_json(desired.policy.installation, rows, terminal.masker)))
    else:
        options = replace(terminal.text_options(), verbose=output.form == "wide")
        terminal.show(format_status(rows, terminal.masker, options))
    return Exit.OK


def _reconciler(connection: Connection, terminal: Terminal, options: Options) -> Reconciler:
    clock = SystemClock()
    return Reconciler(cluster_of(connection, terminal, clock), clock, options)


def _plan(reconciler: Reconciler, desire: Desire, terminal: Terminal) -> Planned:
    return reconciler.plan(desired_state(desire, terminal), {})


def _show_plan(planned: Planned, terminal: Terminal) -> None:
    findings = _findings(planned)
    options = terminal.text_options()
    terminal.show(format_text(planned.plan, terminal.masker, options, findings))
    terminal.tell_findings(findings)


def _findings(planned: Planned, failures: tuple[Problem, ...] = ()) -> Findings:
    problems = (*planned.desired.problems, *planned.problems, *failures)
    return Findings(problems, planned.desired.warnings)


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
