"""Commands that read files only: validate, render, schema."""

import click

from reconcile.cli.exit_codes import ExitCode
from reconcile.cli.options import Output, SourceOptions, output_options, source_options
from reconcile.cli.output import report_failures, show_findings
from reconcile.cli.terminal import Terminal
from reconcile.cli.wiring import load_desired
from reconcile.core.errors import SpecError
from reconcile.core.render.filters import toyaml
from reconcile.core.report.json_output import to_json
from reconcile.core.report.problems import Findings
from reconcile.core.report.view import MaskedObject
from reconcile.core.spec.json_schema import build_combined_schema, build_kind_schema
from reconcile.core.spec.kinds import KINDS


@click.command()
@source_options
@output_options("text", "json", "github")
def validate(source: SourceOptions, output: Output) -> int:
    """Check session files and templates; needs no cluster.

    Reports all problems at once, in the form `path:line:column: field: what is wrong`.
    """
    terminal = Terminal(output)
    with report_failures(source, terminal):
        findings, count = _validate(source, terminal)
    show_findings(findings, source, terminal)
    if output.form != "json":
        terminal.show_message(f"{count} session{'' if count == 1 else 's'} can be used.")
    return ExitCode.INVALID if findings.problems else ExitCode.OK


def _validate(source: SourceOptions, terminal: Terminal) -> tuple[Findings, int]:
    """Return the problems, and the number of usable sessions."""
    try:
        desired = load_desired(source, terminal)
    except SpecError as error:
        return Findings(error.problems), 0
    return Findings(desired.problems, desired.warnings), len(desired.sessions)


@click.command()
@source_options
def render(source: SourceOptions) -> int:
    """Print all objects that the session files declare, as YAML; needs no cluster.

    Secrets are masked, so the output is for reading; use `apply` to apply it.
    """
    terminal = Terminal(Output("yaml"))
    desired = load_desired(source, terminal)
    bodies = [each.body for wanted in desired.sessions for each in wanted.manifests]
    for body in bodies:
        terminal.masker.learn(body)
    for body in bodies:
        terminal.show(f"---\n{toyaml(MaskedObject(body, terminal.masker).mask())}\n")
    terminal.show_problems(Findings(desired.problems, desired.warnings))
    return ExitCode.INVALID if desired.problems else ExitCode.OK


@click.command()
@click.option(
    "--kind", type=click.Choice(sorted(KINDS)), help="Print the schema of this kind only."
)
def schema(kind: str | None) -> int:
    """Print the JSON Schema of the files, for editors and CI."""
    document = build_combined_schema() if kind is None else build_kind_schema(kind)
    Terminal(Output("json")).show(to_json(document))
    return ExitCode.OK
