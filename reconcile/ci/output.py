"""Where a job shows results beside the comment: log, job summary, outputs."""

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

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
