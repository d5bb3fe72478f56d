"""Runs git on a checkout that is trusted with its files, but not with running programs here."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reconcile.runtime.settings import settings

_TIMEOUT_SECONDS: Final = 30
_HARMLESS: Final = (
    "safe.bareRepository=explicit",
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "protocol.allow=never",
)


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
    options = [part for setting in _HARMLESS for part in ("-c", setting)]
    where = ["-C", str(folder), *_repository(folder)]
    command = ["git", "--no-optional-locks", *options, *where, *arguments]
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


def _repository(folder: Path) -> list[str]:
    """Name the repository to use, so that git does not search for one.

    A search would take tracked files that look like a bare repository (HEAD, config, objects, refs)
    for one, and run the programs that their config names. It would also refuse a checkout that
    another user has made, as an init container does.
    """
    here = Path(os.path.realpath(folder))
    for top in (here, *here.parents):
        if (top / ".git").exists():
            return [f"--git-dir={top / '.git'}", f"--work-tree={top}"]
    return []
