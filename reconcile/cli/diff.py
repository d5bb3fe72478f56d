"""The command `diff`: what `apply` would change."""

import click

from reconcile.cli.against import report_against
from reconcile.cli.exit_codes import exit_of_diff
from reconcile.cli.options import (
    Connection,
    Desire,
    Look,
    Output,
    connection_options,
    desire_options,
    limit_option,
    look_options,
    output_options,
)
from reconcile.cli.output import failures_shown, show_plan
from reconcile.cli.planning import plan_of, reconciler_of, rehearsed, report_of
from reconcile.cli.terminal import Terminal
from reconcile.core.plan.dry_run import Refused
from reconcile.engine.reconciler import Options


@click.command()
@desire_options
@connection_options
@look_options
@output_options("text", "unified", "markdown", "json", "names", "github")
@limit_option
def diff(desire: Desire, connection: Connection, look: Look, output: Output) -> int:
    """Show what `apply` would change, and change nothing.

    Needs the rights to get and list, no more. Exit code 0 means no change, 1 that there are some
    (held ones count), 2 and above that something is wrong.
    """
    terminal = Terminal(output)
    if look.against is not None:
        _check_offline(connection, look)
        return _offline(look.against, desire, terminal, prune=look.prune)
    with failures_shown(desire, terminal):
        reconciler = reconciler_of(connection, terminal, Options(prune=look.prune))
        planned = plan_of(reconciler, desire, terminal)
    report = report_of(planned, desire)
    if look.server_dry_run:
        report = rehearsed(reconciler, planned, report)
    show_plan(report, terminal)
    invalid = planned.desired.problems
    return exit_of_diff(
        planned.plan.changes,
        # All other problems are the cluster's.
        unread=len(report.findings.problems) > len(invalid),
        invalid=bool(invalid),
        refused=any(isinstance(each, Refused) for each in report.admission),
    )


def _check_offline(connection: Connection, look: Look) -> None:
    if connection != Connection("", "", "") or look.server_dry_run:
        raise click.UsageError(
            "--against goes without --cluster, --kubeconfig, --context and --server-dry-run"
        )


def _offline(against: str, desire: Desire, terminal: Terminal, *, prune: bool) -> int:
    with failures_shown(desire, terminal):
        report = report_against(against, desire, terminal, prune=prune)
    show_plan(report, terminal)
    invalid = bool(report.findings.problems)
    return exit_of_diff(report.plan.changes, unread=False, invalid=invalid, refused=False)
