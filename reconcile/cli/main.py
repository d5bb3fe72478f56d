"""The program `reconcile`: its commands, and the mapping from errors to exit codes."""

import re
import sys
import traceback
from contextlib import suppress
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
from reconcile.core.report.escape import escape_line
from reconcile.core.report.problems import Findings, format_problems
from reconcile.runtime.process import (
    TerminatedError,
    describe_os_error,
    discard_unwritable_output,
    exit_on_sigterm,
    prepare_standard_streams,
)

_MASKER = Masker()
_UNDECODABLE = re.compile(r"[\x00\ud800-\udfff]")


class _ReconcileGroup(click.Group):
    """Handles a closed pipe before click, which would exit with 1: that code means changes."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            discard_unwritable_output()
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
    prepare_standard_streams()
    exit_on_sigterm()
    code = run_reconcile_cli(sys.argv[1:])
    discard_unwritable_output()
    sys.exit(code)


def run_reconcile_cli(arguments: list[str]) -> int:
    """Run one command and return its exit code; never raises."""
    try:
        _reject_undecodable(arguments)
        result = reconcile_cli.main(arguments, prog_name="reconcile", standalone_mode=False)
    except BaseException as error:  # noqa: BLE001 - no error may end in a traceback
        return _handle_error(error)
    return result if isinstance(result, int) else ExitCode.OK


def _reject_undecodable(arguments: list[str]) -> None:
    """Refuse bytes that are not UTF-8: no name in a cluster or a report can have them."""
    for argument in arguments:
        if _UNDECODABLE.search(argument):
            raise click.UsageError(f"this argument is not UTF-8: {argument!r}")


def _handle_error(error: BaseException) -> int:
    """Print why the program ends, and return its exit code."""
    match error:
        case click.ClickException():
            _show(error)
            return ExitCode.USAGE
        case ReconcileError() | OSError():
            _print_error(_describe(error))
            return exit_code_for_error(error)
        case SystemExit(code=int(code)):
            return code  # click exits so after shell completion
        case TerminatedError():
            return ExitCode.TERMINATED
        case click.Abort() | KeyboardInterrupt():
            return ExitCode.INTERRUPTED
        case _:
            _print_error(_mask_lines("".join(traceback.format_exception(error))))
            _print_error("Error: this is a defect of reconcile. Please report it with these lines.")
            return ExitCode.BUG


def _describe(error: ReconcileError | OSError) -> str:
    if isinstance(error, SpecError):
        return format_problems(Findings(error.problems), _MASKER).rstrip("\n")
    text = describe_os_error(error) if isinstance(error, OSError) else str(error)
    return f"Error: {escape_line(_MASKER.mask_text(text))}"


def _mask_lines(text: str) -> str:
    return "\n".join(map(escape_line, _MASKER.mask_text(text).splitlines()))


def _show(error: click.ClickException) -> None:
    """Show how to call the program, without control characters of the arguments."""
    message = escape_line(error.format_message())
    shown = click.ClickException(message)
    if isinstance(error, click.UsageError):
        shown = click.UsageError(message, error.ctx)
    with suppress(OSError):
        shown.show()


def _print_error(text: str) -> None:
    """Print a text that is masked; without standard error, the exit code says it."""
    with suppress(OSError):
        click.echo(text, err=True)
