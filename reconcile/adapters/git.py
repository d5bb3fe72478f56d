"""Asks git which commit a folder is at."""

import subprocess
from pathlib import Path

from reconcile.runtime.settings import settings

_TIMEOUT_SECONDS = 30


def revision_of(folder: Path) -> str:
    """Name the commit that a folder was checked out from.

    Ends in `-dirty` where something in the folder is not as committed; empty outside of git, and
    where there is no git.
    """
    revision = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    if not revision:
        return ""
    changed = _git(folder, "status", "--porcelain", "--untracked-files=all", "--", ".")
    return f"{revision}-dirty" if changed is None or changed else revision


def _git(folder: Path, *arguments: str) -> str | None:
    # A checkout is often made by another user than the one that reads it (an init container), who
    # is trusted with the files, but not with running programs here.
    trust = ["-c", f"safe.directory={_top(folder)}", "-c", "core.fsmonitor=false"]
    command = ["git", "--no-optional-locks", *trust, "-C", str(folder), *arguments]
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program, arguments after options
            command,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
            env=_environment(),
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _environment() -> dict[str, str]:
    """Leave out what git sets for hooks, which would lead to the hook's own repository."""
    return {
        name: value for name, value in settings().environ.items() if not name.startswith("GIT_")
    }


def _top(folder: Path) -> str:
    for candidate in (folder, *folder.parents):
        if (candidate / ".git").exists():
            return str(candidate)
    return str(folder)
