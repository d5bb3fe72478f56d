"""Prints all output of a command, masked."""

import sys
from collections.abc import Callable, Iterable
from typing import Any

import click

from reconcile.cli.options import Output
from reconcile.core.mask.masker import Masker
from reconcile.core.report.escape import TextOptions, escape_line
from reconcile.core.report.problems import Findings, format_problems
from reconcile.runtime.settings import read_process_settings


class Terminal:
    """The output of one command.

    Results go to standard output, everything else to standard error, so that `-o json` can be
    piped. `masker` is replaced when the policy with its patterns is read; `installation` is empty
    until then.
    """

    def __init__(self, output: Output) -> None:
        self.output = output
        self.settings = read_process_settings()
        self.masker = Masker()
        self.installation = ""
        self._sources: list[Callable[[], Iterable[Any]]] = []

    def learn_later(self, source: Callable[[], Iterable[Any]]) -> None:
        """Name a source of objects whose secrets are learned before anything is masked."""
        self._sources.append(source)
        self.masker.learn_later(source)

    def use_masks(self, globs: Iterable[str]) -> None:
        """Mask by the patterns of a policy from now on, too."""
        self.masker = Masker(globs)
        for source in self._sources:
            self.masker.learn_later(source)

    def text_options(self, *, error: bool = False) -> TextOptions:
        """Return how to format text for standard output, or for standard error."""
        stream = sys.stderr if error else sys.stdout
        colour = self.output.colour
        if colour is None:
            colour = stream.isatty() and not self.settings.no_color
        return TextOptions(colour=colour, verbose=self.output.verbose)

    def mask(self, text: str) -> str:
        """Mask the secrets in a text, by the patterns that are set now."""
        return self.masker.mask_text(text)

    def show(self, text: str) -> None:
        """Print a result, which must be masked already."""
        try:
            click.echo(text, nl=False, color=True)
        except OSError as error:
            raise OSError(error.errno, error.strerror, "standard output") from error

    def show_message(self, text: str) -> None:
        """Print a message on standard error."""
        self.show_messages((text,))

    def show_messages(self, lines: Iterable[str]) -> None:
        """Print a message of several lines on standard error."""
        masked = (escape_line(self.mask(line)) for line in lines)
        self._echo_error("".join(f"{line}\n" for line in masked))

    def show_problems(self, findings: Findings) -> None:
        """Print problems and warnings on standard error."""
        text = format_problems(findings, self.masker, self.text_options(error=True))
        self._echo_error(text)

    def show_progress(self, text: str) -> None:
        """Show progress on one line, which the next call replaces; on a terminal only."""
        if sys.stderr.isatty():
            self._echo_error(f"\r\x1b[K{text}")

    def _echo_error(self, text: str) -> None:
        """Print on standard error; where that is not possible, the work goes on all the same."""
        try:
            click.echo(text, nl=False, err=True, color=True)
        except BrokenPipeError:
            raise
        except OSError:
            return
