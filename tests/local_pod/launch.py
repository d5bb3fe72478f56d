"""Starts the process of a container, with a root of its own where this machine allows it.

Otherwise the container has the rights of this process, and the paths of its mounts are replaced by
the folders of the volumes in all variables and arguments: enough to see what it does, but not that
its user and mounts are right.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from tests.controlplane.errors import ControlPlaneMissing

_LOG_VARIABLES = ("RECONCILE_MIRROR_TERMINATION_LOG", "RECONCILE_RUNNER_TERMINATION_LOG")


@lru_cache(maxsize=1)
def has_mount_namespaces() -> bool:
    """Whether containers can have mounts and users of their own on this machine."""
    if os.geteuid() != 0:
        return False
    done = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    return done.returncode == 0


def require_users() -> None:
    """Raise where containers have the user of this process.

    Raises:
        ControlPlaneMissing: This machine does not allow mount namespaces and other users.
    """
    if not has_mount_namespaces():
        raise ControlPlaneMissing("containers with a user of their own: run the tests as root")


def launch(values: Mapping[str, Any], folder: Path, output: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a container; `values` are those of `tests.local_pod.container`."""
    if not has_mount_namespaces():
        return _launch_plainly(values, folder, output)
    path = folder / "start.json"
    path.write_text(json.dumps(values))
    module = [sys.executable, "-m", "tests.local_pod.container", str(path)]
    command = ["unshare", "--mount", *module]
    return subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)


def _launch_plainly(
    values: Mapping[str, Any], folder: Path, output: IO[bytes]
) -> subprocess.Popen[bytes]:
    root = folder / "plain"
    for name, text in values["scripts"].items():
        script = root / "opt" / "bin" / name
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text(text)
        script.chmod(0o755)
    places = {each: str(root / each.lstrip("/")) for each in (*values["folders"], "/opt/bin")}
    for each in values["folders"]:
        (root / each.lstrip("/")).mkdir(parents=True, exist_ok=True)
    for source, target, _ in sorted(values["mounts"], key=lambda mount: mount[1]):
        _link_into_folder(Path(source), target, places)
        places.setdefault(target, source)
    variables = {name: _replace(text, places) for name, text in values["variables"].items()}
    variables |= dict.fromkeys(_LOG_VARIABLES, places["/dev/termination-log"])
    return subprocess.Popen(
        [_replace(each, places) for each in values["command"]],
        cwd=_replace(values["directory"], places),
        env=variables,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )


def _link_into_folder(source: Path, target: str, places: Mapping[str, str]) -> None:
    """Show a mount below another place, such as the runner's state below its home folder."""
    parent = places.get(target.rpartition("/")[0])
    if parent is not None and not os.path.lexists(f"{parent}/{Path(target).name}"):
        Path(parent, Path(target).name).symlink_to(source)


def _replace(text: str, places: Mapping[str, str]) -> str:
    for path in sorted(places, key=len, reverse=True):
        text = re.sub(rf"(?<![\w/.-]){re.escape(path)}(?![\w.-])", lambda _: places[path], text)  # noqa: B023
    return text
