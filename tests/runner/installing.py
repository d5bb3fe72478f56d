"""The requirements of the platform's runner, in a virtual environment of the cache."""

import hashlib
import os
import shutil
from pathlib import Path

from tests.controlplane import build, processes
from tests.controlplane.errors import ControlPlaneError

BELOW_THE_ROOT = Path("components/runners/ambient-runner")
VERSION = (3, 12)
ADVICE = "It needs Python 3.12 or newer with venv (--python), and a package index for pip."
NOT_COPIED = shutil.ignore_patterns("build", "*.egg-info", ".venv", "venv", "__pycache__", ".git")


def find_source(directory: Path) -> Path:
    """Return the folder of the runner's code: that one, or the one below a checkout's root.

    Raises:
        ControlPlaneError: There is none.
    """
    for folder in (directory, directory / BELOW_THE_ROOT):
        if (folder / "main.py").is_file() and (folder / "pyproject.toml").is_file():
            return folder.resolve()
    raise ControlPlaneError(
        f"--source {directory}: no main.py and pyproject.toml there or in {BELOW_THE_ROOT}; "
        "give a checkout of the platform"
    )


def find_python(name: str) -> Path:
    """Return the path of a Python that is new enough.

    Raises:
        ControlPlaneError: There is no such program, or it is too old.
    """
    path = shutil.which(name)
    if path is None:
        raise ControlPlaneError(f"--python {name}: there is no such program. {ADVICE}")
    show = "import sys; print(*sys.version_info[:2])"
    found = processes.output([path, "-c", show], env=dict(os.environ)).split()
    if tuple(map(int, found)) < VERSION:
        raise ControlPlaneError(f"--python {name} is Python {'.'.join(found)}. {ADVICE}")
    return Path(path)


def install(source: Path, python: Path) -> Path:
    """Return a Python with the runner's requirements, which are installed if they are not there.

    Raises:
        ControlPlaneMissing: They cannot be installed; with the command and the end of its log.
    """
    parts = ((source / "pyproject.toml").read_bytes(), str(python.resolve()).encode())
    digest = hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]

    def make(work: Path, into: Path) -> None:
        # pip writes into the folder that it builds from.
        copy = shutil.copytree(source, work / "source", ignore=NOT_COPIED)
        log, env = work / "steps.log", dict(os.environ)
        processes.run([str(python), "-m", "venv", str(into)], log=log, cwd=work, env=env)
        pip = [str(into / "bin/python"), "-m", "pip", "install", "--quiet", f"{copy}[claude]"]
        processes.run(pip, log=log, cwd=work, env=env)

    return build.made(f"runner-{digest}", make, ADVICE) / "bin" / "python"
