"""The command `status`: what the sessions are doing."""

from dataclasses import replace

import click

from reconcile.cli.exit_codes import Exit
from reconcile.cli.options import (
    Connection,
    Desire,
    Output,
    connection_options,
    desire_options,
    output_options,
)
from reconcile.cli.output import failures_shown
from reconcile.cli.terminal import Terminal
from reconcile.cli.wiring import cluster_of, desired_state
from reconcile.core.report.json_output import status_json, to_json
from reconcile.core.report.status import format_status
from reconcile.engine.status import read_status
from reconcile.runtime.clock import SystemClock


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
    with failures_shown(desire, terminal):
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
