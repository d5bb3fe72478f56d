"""Commands that read files only: validate, render, schema."""

import click

from reconcile.cli.exit_codes import Exit
from reconcile.cli.options import Desire, Output, desire_options, output_options
from reconcile.cli.output import failures_shown, show_findings
from reconcile.cli.terminal import Terminal
from reconcile.cli.wiring import desired_state
from reconcile.core.errors import SpecError
from reconcile.core.render.filters import toyaml
from reconcile.core.report.json_output import to_json
from reconcile.core.report.problems import Findings
from reconcile.core.spec.json_schema import combined_schema, json_schema
from reconcile.core.spec.kinds import KINDS


@click.command()
@desire_options
@output_options("text", "json", "github")
def validate(desire: Desire, output: Output) -> int:
    """Check session files and templates; needs no cluster.

    Every reason is told at once, each with its place: `path:line:column: field: what is wrong`.
    """
    terminal = Terminal(output)
    with failures_shown(desire, terminal):
        findings, count = _validated(desire, terminal)
    show_findings(findings, desire, terminal)
    if output.form != "json":
        terminal.tell(f"{count} session{'' if count == 1 else 's'} can be used.")
    return Exit.INVALID if findings.problems else Exit.OK


def _validated(desire: Desire, terminal: Terminal) -> tuple[Findings, int]:
    """Find what is wrong, and count the sessions that can be used."""
    try:
        desired = desired_state(desire, terminal)
    except SpecError as error:
        return Findings(error.problems), 0
    return Findings(desired.problems, desired.warnings), len(desired.sessions)


@click.command()
@desire_options
def render(desire: Desire) -> int:
    """Print all objects that the session files ask for, as YAML; needs no cluster.

    Secrets are masked, so this is for reading; `apply` is for applying.
    """
    terminal = Terminal(Output("yaml"))
    desired = desired_state(desire, terminal)
    for wanted in desired.sessions:
        for manifest in wanted.manifests:
            terminal.show(f"---\n{toyaml(terminal.masker.object(manifest.body))}\n")
    terminal.tell_findings(Findings(desired.problems, desired.warnings))
    return Exit.INVALID if desired.problems else Exit.OK


@click.command()
@click.option("--kind", type=click.Choice(sorted(KINDS)), help="The schema of one kind alone.")
def schema(kind: str | None) -> int:
    """Print the JSON Schema of the files, for editors and CI."""
    document = combined_schema() if kind is None else json_schema(kind)
    Terminal(Output("json")).show(to_json(document))
    return Exit.OK
