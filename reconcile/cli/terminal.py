"""Everything that is printed goes through here, and through the masker."""

import sys

import click

from reconcile.cli.options import Output
from reconcile.core.mask.masker import Masker
from reconcile.core.report.escape import TextOptions
from reconcile.core.report.problems import Findings, format_problems
from reconcile.runtime.settings import read_process_settings


class Terminal:
    """Where results and complaints of one command go.

    Results go to standard output, everything else to standard error, so that `-o json` can be
    piped. `masker` is replaced once the policy with its patterns is known; `installation` is empty
    until then.
    """

    def __init__(self, output: Output) -> None:
        self.output = output
        self.settings = read_process_settings()
        self.masker = Masker()
        self.installation = ""

    def text_options(self, *, error: bool = False) -> TextOptions:
        """How text is to be shown on the stream that it goes to."""
        stream = sys.stderr if error else sys.stdout
        colour = self.output.colour
        if colour is None:
            colour = stream.isatty() and not self.settings.no_color
        return TextOptions(colour=colour, verbose=self.output.verbose)

    def mask(self, text: str) -> str:
        """Hide the secrets in a text, by the patterns that are known at this moment."""
        return self.masker.mask_text(text)

    def show(self, text: str) -> None:
        """Print a result; what made it has masked it already."""
        click.echo(text, nl=False, color=True)

    def show_message(self, text: str) -> None:
        """Say something beside the result."""
        click.echo(self.mask(text), err=True)

    def show_problems(self, findings: Findings) -> None:
        """Say what is wrong with the files, and what is odd, beside the result."""
        text = format_problems(findings, self.masker, self.text_options(error=True))
        click.echo(text, nl=False, err=True, color=True)

    def show_progress(self, text: str) -> None:
        """Say how far it is, on a line that the next one replaces; only to a person."""
        if sys.stderr.isatty():
            click.echo(f"\r\x1b[K{text}", nl=False, err=True, color=True)
