"""The command `diff`: what `apply` would change."""

import click

from reconcile.cli.exitcodes import exit_of_diff
from reconcile.cli.options import (
    Connection,
    Desire,
    Output,
    connection_options,
    desire_options,
    limit_option,
    output_options,
    prune_option,
    server_dry_run_option,
)
from reconcile.cli.planning import plan_of, reconciler_of, rehearsed, report_of
from reconcile.cli.showing import failures_shown, show_plan
from reconcile.cli.terminal import Terminal
from reconcile.core.admission import Refused
from reconcile.engine.reconciler import Options


@click.command()
@desire_options
@connection_options
@prune_option
@output_options("text", "unified", "markdown", "json", "names", "github")
@limit_option
@server_dry_run_option
def diff(
    desire: Desire,
    connection: Connection,
    prune: bool,  # noqa: FBT001
    output: Output,
    server_dry_run: bool,  # noqa: FBT001
) -> int:
    """Show what `apply` would change, and change nothing.

    Needs the rights to get and list, no more. Exit code 0 means no change, 1 that there are some
    (held ones count), 2 and above that something is wrong.
    """
    terminal = Terminal(output)
    with failures_shown(desire, terminal):
        reconciler = reconciler_of(connection, terminal, Options(prune=prune))
        planned = plan_of(reconciler, desire, terminal)
    report = report_of(planned, desire)
    if server_dry_run:
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
