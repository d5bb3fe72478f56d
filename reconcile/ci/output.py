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

from reconcile.ci.forge import Ended

LIMIT: Final = 65_536
"""What a comment on GitHub holds, in bytes, the strictest way to count; others hold more."""

ERRORS_FROM: Final = 2
"""Exit codes from here on mean that something is wrong; 1 means changes."""

SMALLEST: Final = 5_000
"""The least limit: what `diff` takes at least, and room for the marker."""

_DIGEST: Final = re.compile(r"^Plan digest: `(sha256:[0-9a-f]{64})`$", re.MULTILINE)
_NAMED: Final = 200
_LINES: Final = 60
_LINE: Final = 300


def marker_of(folder: str, *, live: bool) -> str:
    """Make the hidden first line by which the comment is found again.

    It depends on what was asked and not on what the files say, so that a run which cannot read
    them finds the comment as well.
    """
    kind = "live review" if live else "review"
    return f"<!-- reconcile {kind}: {quote(folder, safe='/._')[-_NAMED:]} -->"


def limit_of(limit: int, marker: str) -> int:
    """Leave room for the marker in what the comment may hold."""
    return limit - len(marker) - 1


def body_of(marker: str, ended: Ended, limit: int) -> str:
    """Make the comment from how the diff ended; what printed nothing is told in our own words."""
    shown = ended.out.strip()
    if not shown:
        shown = _failed(ended)
    return f"{marker}\n{_cut(shown, limit_of(limit, marker))}"


def digest_of(ended: Ended) -> str:
    """Find the plan digest, which stands at the end on its line; empty where the diff failed."""
    found = _DIGEST.findall(ended.out) if ended.code < ERRORS_FROM else []
    return found[-1] if found else ""


def _failed(ended: Ended) -> str:
    said = [line[:_LINE] for line in ended.err.strip().splitlines()] or ["It said nothing."]
    hidden = len(said) - _LINES
    if hidden > 0:
        said = [f"({hidden} lines before)", *said[-_LINES:]]
    fence = "`" * max(3, 1 + max(map(len, re.findall(r"`+", "\n".join(said))), default=0))
    words = "\n".join(said)
    return (
        "### reconcile: no diff\n\n"
        "What this change does is not known: "
        f"`reconcile diff` ended with exit code {ended.code}.\n\n"
        f"{fence}text\n{words}\n{fence}"
    )


def _cut(text: str, limit: int) -> str:
    """Refuse to lose anything unsaid: what is too long is replaced, since a cut may end a fence."""
    if len(text.encode()) <= limit:
        return text
    return "### reconcile: no diff\n\nThe diff is longer than a comment may be; see the job's log."


Mask: TypeAlias = Callable[[str], str]
"""Takes the secrets out of a text."""

Say: TypeAlias = Callable[[str], None]
"""Prints a text and ends its line."""


class Outlets:
    """What GitHub offers by files and by lines in the log; elsewhere the log alone is used."""

    def __init__(self, forge: str, environ: Mapping[str, str], say: Say, mask: Mask) -> None:
        self.mask = mask
        self._github = forge == "github"
        self._environ = environ
        self._say = say

    @contextmanager
    def group(self, title: str) -> Iterator[None]:
        """Put what is said meanwhile under a title that can be folded."""
        self._say(f"::group::{title}" if self._github else f"== {title}")
        yield
        if self._github:
            self._say("::endgroup::")

    def say(self, text: str) -> None:
        """Show text that may hold anything: no line in it is taken for a command of the log."""
        if not text.strip():
            return
        if self._github:
            word = secrets.token_hex(16)
            self._say(f"::stop-commands::{word}\n{text.rstrip()}\n::{word}::")
        else:
            self._say(text.rstrip())

    def commands(self, text: str) -> None:
        """Pass on what the program has written for this log, such as annotations."""
        if text.strip():
            self._say(text.rstrip())

    def notice(self, text: str) -> None:
        """Tell something that people should know, and that is no failure."""
        self._told("notice", text)

    def error(self, text: str) -> None:
        """Tell why the job fails."""
        self._told("error", text)

    def _told(self, kind: str, text: str) -> None:
        shown = self.mask(text)
        self._say(f"::{kind} title=reconcile::{_escaped(shown)}" if self._github else shown)

    def summary(self, markdown: str) -> None:
        """Show the comment's text on the page of the job, or in its log."""
        self._append("GITHUB_STEP_SUMMARY", f"{markdown}\n")
        if not self._github:
            self._say(markdown)

    def output(self, name: str, value: str) -> None:
        """Give a value to the steps that follow."""
        self._append("GITHUB_OUTPUT", f"{name}={' '.join(value.split())}\n")

    def _append(self, variable: str, text: str) -> None:
        path = self._environ.get(variable, "")
        if path:
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(text)


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
