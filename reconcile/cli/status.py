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
from reconcile.core.report.problems import Findings
from reconcile.core.report.status import format_status
from reconcile.engine.status import StatusResult, read_status
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
    """Show the state of the sessions: phase, reason, ages, restarts, revision, held changes.

    Below a session: why its containers wait, ended or were restarted, and what they said at last.

    DIR has the policy that names the installation and its namespaces.
    """
    terminal = Terminal(output)
    with report_failures(source, terminal):
        desired = load_desired(source, terminal)
        clock = SystemClock()
        cluster = open_cluster(connection, terminal, clock)
        chosen = namespaces or desired.namespaces
        result = read_status(cluster, clock, desired, chosen, terminal.masker.learn)
    _show_status(result, desired.policy.installation, terminal)
    return ExitCode.UNREACHABLE if result.problems else ExitCode.OK


def _show_status(result: StatusResult, installation: str, terminal: Terminal) -> None:
    """Show the sessions that could be read; in JSON the problems are part of the document."""
    findings = Findings(result.problems)
    if terminal.output.form == "json":
        document = status_json(installation, result.rows, findings, terminal.masker)
        terminal.show(to_json(document))
        return
    options = replace(terminal.text_options(), verbose=terminal.output.form == "wide")
    if result.rows or not result.problems:
        terminal.show(format_status(result.rows, terminal.masker, options))
    terminal.show_problems(findings)
