"""The program `reconcile`: its commands, and the mapping from errors to exit codes."""

import io
import os
import sys
import traceback
from typing import Any

import click

from reconcile import __version__
from reconcile.cli.apply import apply
from reconcile.cli.diff import diff
from reconcile.cli.exit_codes import ExitCode, exit_code_for_error
from reconcile.cli.files import render, schema, validate
from reconcile.cli.review import review
from reconcile.cli.status import status
from reconcile.core.errors import ReconcileError, SpecError
from reconcile.core.mask.masker import Masker
from reconcile.runtime.process import TerminatedError, exit_on_sigterm

_MASKER = Masker()


class _ReconcileGroup(click.Group):
    """Handles a closed pipe before click, which would exit with 1: that code means changes."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            _discard_output()
            return ExitCode.PIPE


@click.group(
    cls=_ReconcileGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="reconcile")
def reconcile_cli() -> None:
    """Make the agent sessions in a Kubernetes cluster equal to the session files in a folder.

    Write session files, see what would change with `diff`, and change it with `apply`.

    Exit codes: 0 done or nothing to do, 1 changes (`diff`), 2 and above are errors.
    """


for command in (validate, render, diff, apply, status, schema, review):
    reconcile_cli.add_command(command)


def main() -> None:
    """Run the program and exit."""
    exit_on_sigterm()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A character that the terminal cannot show must not stop an apply half way.
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run_reconcile_cli(sys.argv[1:]))


def run_reconcile_cli(arguments: list[str]) -> int:
    """Run one command and return its exit code; never raises."""
    try:
        result = reconcile_cli.main(arguments, prog_name="reconcile", standalone_mode=False)
    except BaseException as error:  # noqa: BLE001 - no error may end in a traceback
        return _handle_error(error)
    return result if isinstance(result, int) else ExitCode.OK


def _handle_error(error: BaseException) -> int:
    """Print why the program ends, and return its exit code."""
    match error:
        case click.ClickException():
            error.show()
            return ExitCode.USAGE
        case ReconcileError():
            _print_error(str(error) if isinstance(error, SpecError) else f"Error: {error}")
            return exit_code_for_error(error)
        case SystemExit(code=int(code)):
            return code  # click exits so after shell completion
        case TerminatedError():
            return ExitCode.TERMINATED
        case click.Abort() | KeyboardInterrupt():
            return ExitCode.INTERRUPTED
        case _:
            _print_error("".join(traceback.format_exception(error)))
            _print_error("Error: this is a defect of reconcile. Please report it with these lines.")
            return ExitCode.BUG


def _print_error(text: str) -> None:
    click.echo(_MASKER.mask_text(text), err=True)


def _discard_output() -> None:
    """Keep the interpreter from writing to the closed pipe again when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
