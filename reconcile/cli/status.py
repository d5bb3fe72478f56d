"""The command `status`: the state of the sessions."""

from dataclasses import replace

import click

from reconcile.cli.exit_codes import ExitCode
from reconcile.cli.options import (
    Connection,
    Output,
    SourceOptions,
    connection_options,
    output_options,
    source_options,
)
from reconcile.cli.output import report_failures
from reconcile.cli.terminal import Terminal
from reconcile.cli.wiring import load_desired, open_cluster
from reconcile.core.report.json_output import status_json, to_json
from reconcile.core.report.status import format_status
from reconcile.engine.status import read_status
from reconcile.runtime.clock import SystemClock


@click.command()
@source_options
@connection_options
@click.option(
    "-n",
    "--namespace",
    "namespaces",
    multiple=True,
    help="Show only this namespace; can be repeated.",
)
@output_options("text", "wide", "json")
def status(
    source: SourceOptions, connection: Connection, namespaces: tuple[str, ...], output: Output
) -> int:
    """Show the state of the sessions: phase, reason, age, revision, held changes.

    DIR has the policy that names the installation and its namespaces.
    """
    terminal = Terminal(output)
    with report_failures(source, terminal):
        desired = load_desired(source, terminal)
        clock = SystemClock()
        rows = read_status(
            open_cluster(connection, terminal, clock),
            clock,
            desired.policy.installation,
            namespaces or desired.namespaces,
        )
    if output.form == "json":
        terminal.show(to_json(status_json(desired.policy.installation, rows, terminal.masker)))
    else:
        options = replace(terminal.text_options(), verbose=output.form == "wide")
        terminal.show(format_status(rows, terminal.masker, options))
    return ExitCode.OK
