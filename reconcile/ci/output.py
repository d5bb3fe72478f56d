"""Where a job shows results beside the comment: log, job summary, outputs.

What the comment says: the diff as it was printed, or why there is none.
"""

import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import quote

from reconcile.ci.forge import ProcessResult

COMMENT_LIMIT: Final = 65_536
"""What a comment on GitHub holds, in bytes, the strictest way to count; others hold more."""

FIRST_ERROR_CODE: Final = 2
"""Exit codes from here on mean that something is wrong; 1 means changes."""

MIN_COMMENT_LIMIT: Final = 5_000
"""The least limit: what `diff` takes at least, and room for the marker."""

_DIGEST: Final = re.compile(r"^Plan digest: `(sha256:[0-9a-f]{64})`$", re.MULTILINE)
_MAX_FOLDER: Final = 200
_MAX_LINES: Final = 60
_MAX_LINE: Final = 300


def build_marker(folder: str, *, live: bool) -> str:
    """Make the hidden first line by which the comment is found again.

    It depends on what was asked and not on what the files say, so that a run which cannot read
    them finds the comment as well.
    """
    kind = "live review" if live else "review"
    return f"<!-- reconcile {kind}: {quote(folder, safe='/._')[-_MAX_FOLDER:]} -->"


def limit_without_marker(limit: int, marker: str) -> int:
    """Leave room for the marker in what the comment may hold."""
    return limit - len(marker) - 1


def build_comment_body(marker: str, result: ProcessResult, limit: int) -> str:
    """Make the comment from how the diff ended; what printed nothing is told in our own words."""
    shown = result.out.strip()
    if not shown:
        shown = _format_failure(result)
    return f"{marker}\n{_enforce_limit(shown, limit_without_marker(limit, marker))}"


def find_plan_digest(result: ProcessResult) -> str:
    """Find the plan digest, which stands at the end on its line; empty where the diff failed."""
    found = _DIGEST.findall(result.out) if result.code < FIRST_ERROR_CODE else []
    return found[-1] if found else ""


def _format_failure(result: ProcessResult) -> str:
    said = [line[:_MAX_LINE] for line in result.err.strip().splitlines()] or ["It said nothing."]
    hidden = len(said) - _MAX_LINES
    if hidden > 0:
        said = [f"({hidden} lines before)", *said[-_MAX_LINES:]]
    fence = "`" * max(3, 1 + max(map(len, re.findall(r"`+", "\n".join(said))), default=0))
    words = "\n".join(said)
    return (
        "### reconcile: no diff\n\n"
        "What this change does is not known: "
        f"`reconcile diff` ended with exit code {result.code}.\n\n"
        f"{fence}text\n{words}\n{fence}"
    )


def _enforce_limit(text: str, limit: int) -> str:
    """Refuse to lose anything unsaid: what is too long is replaced, since a cut may end a fence."""
    if len(text.encode()) <= limit:
        return text
    return "### reconcile: no diff\n\nThe diff is longer than a comment may be; see the job's log."


OutputMask: TypeAlias = Callable[[str], str]
"""Takes the secrets out of a text."""

LinePrinter: TypeAlias = Callable[[str], None]
"""Prints a text and ends its line."""


class JobOutput:
    """What GitHub offers by files and by lines in the log; elsewhere the log alone is used."""

    def __init__(
        self, forge: str, environ: Mapping[str, str], print_line: LinePrinter, mask: OutputMask
    ) -> None:
        self.mask = mask
        self._github = forge == "github"
        self._environ = environ
        self._print_line = print_line

    @contextmanager
    def group(self, title: str) -> Iterator[None]:
        """Put what is said meanwhile under a title that can be folded."""
        self._print_line(f"::group::{title}" if self._github else f"== {title}")
        yield
        if self._github:
            self._print_line("::endgroup::")

    def info(self, text: str) -> None:
        """Show text that may hold anything: no line in it is taken for a command of the log."""
        if not text.strip():
            return
        if self._github:
            word = secrets.token_hex(16)
            self._print_line(f"::stop-commands::{word}\n{text.rstrip()}\n::{word}::")
        else:
            self._print_line(text.rstrip())

    def workflow_commands(self, text: str) -> None:
        """Pass on what the program has written for this log, such as annotations."""
        if text.strip():
            self._print_line(text.rstrip())

    def notice(self, text: str) -> None:
        """Tell something that people should know, and that is no failure."""
        self._annotate("notice", text)

    def error(self, text: str) -> None:
        """Tell why the job fails."""
        self._annotate("error", text)

    def _annotate(self, kind: str, text: str) -> None:
        shown = self.mask(text)
        self._print_line(
            f"::{kind} title=reconcile::{_escape_command(shown)}" if self._github else shown
        )

    def write_summary(self, markdown: str) -> None:
        """Show the comment's text on the page of the job, or in its log."""
        self._append("GITHUB_STEP_SUMMARY", f"{markdown}\n")
        if not self._github:
            self._print_line(markdown)

    def set_output(self, name: str, value: str) -> None:
        """Give a value to the steps that follow."""
        self._append("GITHUB_OUTPUT", f"{name}={' '.join(value.split())}\n")

    def _append(self, variable: str, text: str) -> None:
        path = self._environ.get(variable, "")
        if path:
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(text)


def _escape_command(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
