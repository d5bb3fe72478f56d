"""Runs git on a checkout that is trusted with its files, but not with running programs here."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reconcile.runtime.settings import settings

_TIMEOUT_SECONDS: Final = 30
_HARMLESS: Final = ("core.fsmonitor=false", "core.hooksPath=/dev/null", "protocol.allow=never")


@dataclass(frozen=True, slots=True)
class Answer:
    """What git said; `ok` tells whether it did what it was asked."""

    ok: bool
    out: bytes

    @property
    def text(self) -> str:
        """The output as one line, names that are not UTF-8 kept."""
        return self.out.decode(errors="surrogateescape").rstrip("\n")


def git(folder: Path, *arguments: str, stdin: bytes = b"") -> Answer:
    """Run one git command in a folder; not `ok` also where there is no git, or it takes too long.

    No hook, no file system monitor and no transport is used: a clone that lacks objects does not
    fetch them.
    """
    # A checkout is often made by another user than the one that reads it (an init container).
    settled = (f"safe.directory={_top(folder)}", *_HARMLESS)
    options = [part for setting in settled for part in ("-c", setting)]
    command = ["git", "--no-optional-locks", *options, "-C", str(folder), *arguments]
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program, arguments after options
            command,
            input=stdin,
            capture_output=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
            env=_environment(),
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return Answer(ok=False, out=b"")
    return Answer(ok=done.returncode == 0, out=done.stdout)


def _environment() -> dict[str, str]:
    """Leave out what git sets for hooks, which would lead to the hook's own repository."""
    inherited = settings().environ.items()
    kept = {name: value for name, value in inherited if not name.startswith("GIT_")}
    return {**kept, "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0"}


def _top(folder: Path) -> str:
    for candidate in (folder, *folder.parents):
        if (candidate / ".git").exists():
            return str(candidate)
    return str(folder)
