"""Reference programs of tests: the installed ones, or Debian's without an installation."""

import platform
import shutil
from pathlib import Path

from tests.controlplane import build, fetching
from tests.controlplane.steps import Steps

ADVICE = "Install it, or run on Debian with network access for apt."


def command(name: str, *packages: str) -> list[str]:
    """Return the command of a program; `packages` have it and the libraries that it needs.

    Raises:
        ControlPlaneMissing: It is not installed and cannot be downloaded; the message says why.
    """
    if path := shutil.which(name):
        return [path]
    root = unpacked(packages) / "usr"
    libraries = {library.parent for library in root.glob("lib/*/*.so*")}
    library_path = ":".join(sorted(map(str, libraries)))
    return ["/usr/bin/env", f"LD_LIBRARY_PATH={library_path}", f"{root}/bin/{name}"]


def unpacked(packages: tuple[str, ...]) -> Path:
    """Return a folder of the cache into which Debian's packages are unpacked.

    Raises:
        ControlPlaneMissing: They cannot be downloaded; the message says why.
    """

    def make(work: Path, into: Path) -> None:
        steps = Steps(work, packages[0])
        fetching.fetch(steps, packages=packages)
        for package in sorted(work.glob("*.deb")):
            steps.run(f"unpack {package.name}", ["dpkg", "-x", str(package), str(into)])

    name = "-".join((*packages, fetching.RELEASE, platform.machine()))
    return build.made(name, make, ADVICE)
