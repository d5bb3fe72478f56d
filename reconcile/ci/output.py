"""The text of the comment, and the other outputs of a job: log, job summary, step outputs.

The comment has the diff as `reconcile diff` printed it, or the reason why there is none.
"""

import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import quote

from reconcile.ci.forge import ProcessResult
from reconcile.core.errors import SourceError
from reconcile.runtime.git import find_tracked_link
from reconcile.runtime.settings import build_child_environ

COMMENT_LIMIT: Final = 65_536
"""The maximum size of a comment on GitHub, counted in bytes to be safe; GitLab allows more."""

FIRST_ERROR_CODE: Final = 2
"""Exit codes from here on mean that something is wrong; 1 means changes."""

MIN_COMMENT_LIMIT: Final = 5_000
"""The smallest limit: the minimum of `diff --limit`, and space for the marker."""

_DIGEST: Final = re.compile(r"^Plan digest: `(sha256:[0-9a-f]{64})`$", re.MULTILINE)
_MAX_FOLDER: Final = 200
_MAX_LINES: Final = 60
_MAX_LINE: Final = 300


def build_marker(folder: str, *, live: bool) -> str:
    """Make the hidden first line that identifies the comment.

    It depends on the options and not on the files, so that a run that cannot read the files finds
    the comment too.
    """
    kind = "live review" if live else "review"
    return f"<!-- reconcile {kind}: {quote(folder, safe='/._')[-_MAX_FOLDER:]} -->"


def limit_without_marker(limit: int, marker: str) -> int:
    """Subtract the size of the marker from the maximum size of the comment."""
    return limit - len(marker) - 1


def build_comment_body(marker: str, result: ProcessResult, limit: int) -> str:
    """Make the comment from the output of the diff; if it is empty, report how the diff ended."""
    shown = result.out.strip() or _format_failure(result)
    return f"{marker}\n{_enforce_limit(shown, limit_without_marker(limit, marker))}"


def find_plan_digest(result: ProcessResult) -> str:
    """Find the plan digest, on a line at the end; empty where the diff failed."""
    digests = _DIGEST.findall(result.out) if result.code < FIRST_ERROR_CODE else []
    return digests[-1] if digests else ""


def _format_failure(result: ProcessResult) -> str:
    lines = [line[:_MAX_LINE] for line in result.err.strip().splitlines()] or ["(no output)"]
    hidden = len(lines) - _MAX_LINES
    if hidden > 0:
        lines = [f"({hidden} earlier lines)", *lines[-_MAX_LINES:]]
    fence = "`" * max(3, 1 + max(map(len, re.findall(r"`+", "\n".join(lines))), default=0))
    text = "\n".join(lines)
    return (
        "### reconcile: no diff\n\n"
        "The effect of this change is not known: "
        f"`reconcile diff` ended with exit code {result.code}.\n\n"
        f"{fence}text\n{text}\n{fence}"
    )


def _enforce_limit(text: str, limit: int) -> str:
    """Replace a text that is too long; a truncated one could be misread, or end inside a fence."""
    if len(text.encode()) <= limit:
        return text
    return "### reconcile: no diff\n\nThe diff is longer than a comment may be; see the job's log."


OutputMask: TypeAlias = Callable[[str], str]
"""Masks the secrets in a text."""

LinePrinter: TypeAlias = Callable[[str], None]
"""Prints a text and ends its line."""


class JobOutput:
    """Writes to the files and log commands of GitHub; elsewhere to the log only."""

    def __init__(
        self, forge: str, environ: Mapping[str, str], print_line: LinePrinter, mask: OutputMask
    ) -> None:
        self.mask = mask
        self._github = forge == "github"
        self._environ = environ
        self._print_line = print_line

    @contextmanager
    def group(self, title: str) -> Iterator[None]:
        """Put the output of the block under a title that can be folded."""
        self._print_line(f"::group::{title}" if self._github else f"== {title}")
        yield
        if self._github:
            self._print_line("::endgroup::")

    def info(self, text: str) -> None:
        """Show untrusted text; no line in it runs as a workflow command."""
        if not text.strip():
            return
        if self._github:
            token = secrets.token_hex(16)
            self._print_line(f"::stop-commands::{token}\n{text.rstrip()}\n::{token}::")
        else:
            self._print_line(text.rstrip())

    def workflow_commands(self, text: str) -> None:
        """Show text of `reconcile` that may contain workflow commands, such as annotations."""
        if text.strip():
            self._print_line(text.rstrip())

    def notice(self, text: str) -> None:
        """Show a notice, which is not a failure."""
        self._annotate("notice", text)

    def error(self, text: str) -> None:
        """Show why the job fails."""
        self._annotate("error", text)

    def _annotate(self, kind: str, text: str) -> None:
        shown = self.mask(text)
        self._print_line(
            f"::{kind} title=reconcile::{_escape_command(shown)}" if self._github else shown
        )

    def write_summary(self, markdown: str) -> None:
        """Show the comment's text in the job summary, or in the log."""
        self._append("GITHUB_STEP_SUMMARY", f"{markdown}\n")
        if not self._github:
            self._print_line(markdown)

    def set_output(self, name: str, value: str) -> None:
        """Set an output for the steps that follow."""
        self._append("GITHUB_OUTPUT", f"{name}={' '.join(value.split())}\n")

    def write_report(self, path: Path, text: str) -> None:
        """Write the comment's text to a file; SourceError if that is not possible."""
        try:
            self._write(path, text, "w")
        except OSError as error:
            raise SourceError(f"the report {path} cannot be written: {error.strerror}") from error

    def _append(self, variable: str, text: str) -> None:
        path = self._environ.get(variable, "")
        if path:
            self._write(Path(path), text, "a")

    def _write(self, path: Path, text: str, mode: str) -> None:
        """Write to a file, but never through a link that the author of the change has committed."""
        link = find_tracked_link(path, build_child_environ(self._environ))
        if link is not None:
            raise SourceError(f"{path} cannot be written: {link} is a link in the checkout")
        with path.open(mode, encoding="utf-8") as file:
            file.write(text)


def _escape_command(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
