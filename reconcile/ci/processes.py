"""Runs other programs: git, and this program itself."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconcile.ci.ports import Ended, Run

_TIMEOUT_SECONDS: Final = 1800
_MISSING: Final = 127
_TOO_LONG: Final = 124
_SIGNALS: Final = 128


def run_process(command: Sequence[str], environ: Mapping[str, str], folder: Path) -> Ended:
    """Run a program without input.

    One that is too slow ends as 124, one that a signal has ended as 128 and its number, as shells
    have it.
    """
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program, values behind `--` or `--name=`
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="backslashreplace",
            timeout=_TIMEOUT_SECONDS,
            check=False,
            env=dict(environ),
        )
    except subprocess.TimeoutExpired:
        return Ended(_TOO_LONG, "", f"{command[0]}: no end after {_TIMEOUT_SECONDS} seconds")
    except OSError as error:
        return Ended(_MISSING, "", f"{command[0]}: {error.strerror}")
    code = done.returncode if done.returncode >= 0 else _SIGNALS - done.returncode
    return Ended(code, done.stdout, done.stderr)


if TYPE_CHECKING:
    _conforms: Run = run_process
