"""The program `reconcile`: its commands, and the one funnel from errors to exit codes."""

import io
import os
import sys
import traceback
from typing import Any

import click

from reconcile import __version__
from reconcile.cli.apply import apply
from reconcile.cli.diff import diff
from reconcile.cli.exit_codes import Exit, exit_for
from reconcile.cli.files import render, schema, validate
from reconcile.cli.review import review
from reconcile.cli.status import status
from reconcile.core.errors import ReconcileError, SpecError
from reconcile.core.mask.masker import Masker
from reconcile.runtime.process import TerminatedError, end_on_terminate

_MASKER = Masker()


class _Program(click.Group):
    """Keeps a closed pipe from click, which would end the program with 1: that means changes."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            _discard_output()
            return Exit.PIPE


@click.group(
    cls=_Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="reconcile")
def program() -> None:
    """Make the agent sessions in a Kubernetes cluster equal to the session files in a folder.

    Write session files, look at what would change with `diff`, make it so with `apply`.

    Exit codes: 0 done or nothing to do, 1 changes (`diff`), 2 and above are errors.
    """


for command in (validate, render, diff, apply, status, schema, review):
    program.add_command(command)


def main() -> None:
    """Run the program and exit."""
    end_on_terminate()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A character that a terminal does not know is no reason to stop an apply half way.
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and give its exit code; never raises."""
    try:
        result = program.main(arguments, prog_name="reconcile", standalone_mode=False)
    except BaseException as error:  # noqa: BLE001 - the funnel: nothing may end in a traceback
        return _ended(error)
    return result if isinstance(result, int) else Exit.OK


def _ended(error: BaseException) -> int:
    """Tell people why the program ends, and give its exit code."""
    match error:
        case click.ClickException():
            error.show()
            return Exit.USAGE
        case ReconcileError():
            _complain(str(error) if isinstance(error, SpecError) else f"Error: {error}")
            return exit_for(error)
        case SystemExit(code=int(code)):
            return code  # click's own way to end after shell completion
        case TerminatedError():
            return Exit.TERMINATED
        case click.Abort() | KeyboardInterrupt():
            return Exit.INTERRUPTED
        case _:
            _complain("".join(traceback.format_exception(error)))
            _complain("Error: this is a defect of reconcile. Please report it with these lines.")
            return Exit.BUG


def _complain(text: str) -> None:
    click.echo(_MASKER.text(text), err=True)


def _discard_output() -> None:
    """Keep the interpreter from writing to the closed pipe again when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
