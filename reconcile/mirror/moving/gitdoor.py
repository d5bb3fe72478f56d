"""The one place that runs git: on what others have made, so with no configuration of anybody's."""

import os
import subprocess  # noqa: TID251 - the one place of the mirror that starts git
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_TIMEOUT: Final = 1800
_SAFE: Final = (
    "safe.bareRepository=explicit",
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.autocrlf=false",
    "protocol.allow=never",
    "protocol.file.allow=always",
    "fetch.recurseSubmodules=false",
    "gc.auto=0",
    "advice.detachedHead=false",
)


class GitError(Exception):
    """Git has refused; the message is its own last line."""


class Git:
    """Runs git in one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def run(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """Run one command and return what it prints; GitError if it fails or takes too long."""
        command = ["git", *(word for setting in _SAFE for word in ("-c", setting)), *arguments]
        try:
            done = subprocess.run(  # noqa: S603 - git, with arguments that are no options
                command,
                cwd=self._directory,
                env=_environment(),
                input=stdin,
                capture_output=True,
                check=False,
                timeout=_TIMEOUT,
            )
        except FileNotFoundError:
            raise GitError("there is no git here") from None
        except subprocess.TimeoutExpired:
            raise GitError(f"git {arguments[0]} took longer than {_TIMEOUT} s") from None
        if done.returncode:
            raise GitError(_last_line(done.stderr) or f"git {arguments[0]} failed")
        return done.stdout


def _environment() -> Mapping[str, str]:
    return {
        "PATH": os.defpath,
        "HOME": "/nonexistent",
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_COMMITTER_NAME": "reconcile-mirror",
        "GIT_COMMITTER_EMAIL": "reconcile-mirror@localhost",
    }


def _last_line(output: bytes) -> str:
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
