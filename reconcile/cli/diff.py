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
)
from reconcile.cli.planning import plan_of, reconciler_of, report_of
from reconcile.cli.showing import failures_shown, show_plan
from reconcile.cli.terminal import Terminal
from reconcile.engine.reconciler import Options


@click.command()
@desire_options
@connection_options
@prune_option
@output_options("text", "unified", "markdown", "json", "names", "github")
@limit_option
def diff(desire: Desire, connection: Connection, prune: bool, output: Output) -> int:  # noqa: FBT001
    """Show what `apply` would change, and change nothing.

    Needs the rights to get and list, no more. Exit code 0 means no change, 1 that there are some
    (held ones count), 2 and above that something is wrong.
    """
    terminal = Terminal(output)
    with failures_shown(desire, terminal):
        reconciler = reconciler_of(connection, terminal, Options(prune=prune))
        planned = plan_of(reconciler, desire, terminal)
    show_plan(report_of(planned, desire), terminal)
    return exit_of_diff(
        planned.plan.changes,
        unread=bool(planned.problems),
        invalid=bool(planned.desired.problems),
    )
