"""Programs that tests judge by: the machine's own, or Debian's without installing them."""

import platform
import shutil
from pathlib import Path

from tests.controlplane import build, fetching
from tests.controlplane.steps import Steps

ADVICE = "Install it, or run on Debian with apt's network."


def command(name: str, *packages: str) -> list[str]:
    """Return what runs a program; `packages` hold it and the libraries that a bare Debian lacks.

    Raises:
        ControlPlaneMissing: It is not here and cannot be had; the message says why.
    """
    if found := shutil.which(name):
        return [found]
    root = _unpacked(packages) / "usr"
    libraries = {library.parent for library in root.glob("lib/*/*.so*")}
    path = ":".join(sorted(map(str, libraries)))
    return ["/usr/bin/env", f"LD_LIBRARY_PATH={path}", f"{root}/bin/{name}"]


def _unpacked(packages: tuple[str, ...]) -> Path:
    def make(work: Path, into: Path) -> None:
        steps = Steps(work, packages[0])
        fetching.fetch(steps, packages=packages)
        for package in sorted(work.glob("*.deb")):
            steps.run(f"unpack {package.name}", ["dpkg", "-x", str(package), str(into)])

    name = "-".join((*packages, fetching.RELEASE, platform.machine()))
    return build.made(name, make, ADVICE)
