"""Runs git on a checkout that is trusted with its files, but not with running programs here.

Asks git which commit a folder is at, and what a name for a commit means.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reconcile.core.errors import SourceError
from reconcile.runtime.settings import read_process_settings

_TIMEOUT_SECONDS: Final = 30
_SAFE_CONFIG: Final = (
    "safe.bareRepository=explicit",
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "protocol.allow=never",
)


@dataclass(frozen=True, slots=True)
class GitResult:
    """What git said; `ok` tells whether it did what it was asked."""

    ok: bool
    out: bytes

    @property
    def text(self) -> str:
        """The output as one line, names that are not UTF-8 kept."""
        return self.out.decode(errors="surrogateescape").rstrip("\n")


def run_git(folder: Path, *arguments: str, stdin: bytes = b"") -> GitResult:
    """Run one git command in a folder; not `ok` also where there is no git, or it takes too long.

    No hook, no file system monitor and no transport is used: a clone that lacks objects does not
    fetch them.
    """
    options = [part for setting in _SAFE_CONFIG for part in ("-c", setting)]
    where = ["-C", str(folder), *_repository_options(folder)]
    command = ["git", "--no-optional-locks", *options, *where, *arguments]
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program, arguments after options
            command,
            input=stdin,
            capture_output=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
            env=_build_environment(),
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return GitResult(ok=False, out=b"")
    return GitResult(ok=done.returncode == 0, out=done.stdout)


def _build_environment() -> dict[str, str]:
    """Leave out what git sets for hooks, which would lead to the hook's own repository."""
    inherited = read_process_settings().environ.items()
    kept = {name: value for name, value in inherited if not name.startswith("GIT_")}
    return {**kept, "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0"}


def _repository_options(folder: Path) -> list[str]:
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


_EXPECTED_LINES: Final = 3


@dataclass(frozen=True, slots=True)
class Checkout:
    """Where a folder is in its repository: the work tree's top, and the path below it.

    `prefix` uses `/` and is empty at the top. `is_shallow` tells that history is cut off.
    """

    top: Path
    prefix: str
    is_shallow: bool


def read_revision(folder: Path) -> str:
    """Name the commit that a folder was checked out from.

    Ends in `-dirty` where something in the folder is not as committed; empty outside of git, and
    where there is no git.
    """
    head = run_git(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    if not head.ok or not head.text:
        return ""
    changed = run_git(folder, "status", "--porcelain", "--untracked-files=all", "--", ".")
    return head.text if changed.ok and not changed.out else f"{head.text}-dirty"


def find_checkout(folder: Path) -> Checkout:
    """Find the work tree that a folder is in; SourceError where there is none, or no git."""
    asked = ("--show-toplevel", "--show-prefix", "--is-shallow-repository")
    answer = run_git(folder, "rev-parse", *asked)
    lines = answer.text.split("\n")
    if not answer.ok or len(lines) != _EXPECTED_LINES:
        raise SourceError(
            f"{folder}: there is no git work tree, or no git program, so that there is nothing to "
            "compare with: run this in a clone, or leave out --against"
        )
    top, prefix, shallow = lines
    return Checkout(Path(top), prefix.rstrip("/"), shallow == "true")


def resolve_commit(checkout: Checkout, name: str) -> str:
    """Look up a commit by any name that git knows; SourceError with what to do where there is none.

    A name that begins with `-` is none: git would take it for an option.
    """
    asked = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    answer = run_git(checkout.top, *asked) if name and not name.startswith("-") else None
    if answer is not None and answer.ok and answer.text:
        return answer.text
    if checkout.is_shallow:
        remedy = (
            "this clone is shallow: get more of its history with `git fetch --depth=100 origin "
            "BRANCH`, or all of it with `git fetch --unshallow`"
        )
    else:
        remedy = "name a branch, a tag or a commit of this clone; `git fetch` gets what it lacks"
    raise SourceError(f"`{name}` is no commit here: {remedy}")
