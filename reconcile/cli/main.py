"""The program `reconcile`: its commands, and the one funnel from errors to exit codes."""

import os
import sys
import traceback

import click

from reconcile import __version__
from reconcile.cli.cluster_commands import apply, diff, status
from reconcile.cli.exitcodes import Exit, exit_for
from reconcile.cli.file_commands import render, schema, validate
from reconcile.core.errors import ReconcileError, SpecError
from reconcile.core.mask.masker import Masker

_MASKER = Masker()


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="reconcile")
def program() -> None:
    r"""Make the agent sessions in a Kubernetes cluster equal to the session files in a folder.

    Write session files, look at what would change with `diff`, make it so with `apply`.

    \b
      reconcile validate desired      are the files right?
      reconcile diff desired          what would change in the cluster?
      reconcile apply desired         change it
      reconcile status                what are the sessions doing?

    Exit codes: 0 done or nothing to do, 1 changes (`diff`), 2 and above are errors.
    """


for command in (validate, render, diff, apply, status, schema):
    program.add_command(command)


def main() -> None:
    """Run the program and exit."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and give its exit code; never raises."""
    try:
        result = program.main(arguments, prog_name="reconcile", standalone_mode=False)
        return result if isinstance(result, int) else Exit.OK
    except click.ClickException as error:
        error.show()
        return Exit.USAGE
    except (click.Abort, KeyboardInterrupt):
        _complain("interrupted")
        return Exit.INTERRUPTED
    except BrokenPipeError:
        _discard_output()
        return Exit.PIPE
    except ReconcileError as error:
        _complain(str(error) if isinstance(error, SpecError) else f"Error: {error}")
        return exit_for(error)
    except Exception:  # noqa: BLE001 - the funnel: whatever is left is a defect
        _complain(traceback.format_exc())
        _complain("Error: this is a defect of reconcile. Please report it with the lines above.")
        return Exit.BUG


def _complain(text: str) -> None:
    click.echo(_MASKER.text(text), err=True)


def _discard_output() -> None:
    """Keep the interpreter from writing to the closed pipe again when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
