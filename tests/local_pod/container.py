"""The first process of a container: builds its root, drops its rights, becomes its program.

It is started by `unshare --mount`, with the path of a JSON file: `root`, `system` (folders of this
machine to show, read-only), `folders` (made in the root, of group 0 and writable for it), `mounts`
(source, target, whether read-only), `scripts` (name to text), `user`, `groups`, `variables`,
`directory`, `command`, `is_read_only`.
"""

import json
import os
import subprocess
import sys
from pathlib import Path


def main(path: str) -> None:
    """Read the file and become the program; a container that cannot start ends with 128."""
    spec = json.loads(Path(path).read_text())
    root = Path(spec["root"])
    _mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", root)
    _fill(root, spec)
    for source, target, is_read_only in spec["mounts"]:
        _bind(Path(source), root / target.lstrip("/"), is_read_only=is_read_only)
    if spec["is_read_only"]:
        _mount("-o", "remount,ro", root)
    os.chroot(root)
    os.chdir(spec["directory"])
    _become(spec["user"], spec["groups"])
    variables = spec["variables"]
    os.execvpe(spec["command"][0], spec["command"], variables)


def _fill(root: Path, spec: dict) -> None:
    (root / "tmp").mkdir(mode=0o1777)
    (root / "tmp").chmod(0o1777)
    scripts = root / "opt" / "bin"
    scripts.mkdir(parents=True)
    for name, text in spec["scripts"].items():
        (scripts / name).write_text(text)
        (scripts / name).chmod(0o755)
    for each in spec["folders"]:
        folder = root / each.lstrip("/")
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o775)
    for each in spec["system"]:
        _show(Path(each), root)
    (root / "dev" / "shm").mkdir(parents=True)
    for name in ("null", "zero", "full", "random", "urandom"):
        _bind(Path("/dev") / name, root / "dev" / name, is_read_only=False)


def _show(path: Path, root: Path) -> None:
    """Show a folder of the machine at the same place; /bin and others may be links."""
    target = root / str(path).lstrip("/")
    if target.exists():
        return
    if path.is_symlink():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(path.readlink())
    else:
        _bind(path, target, is_read_only=str(path) != "/proc")


def _bind(source: Path, target: Path, *, is_read_only: bool) -> None:
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            target.touch()
    _mount("--rbind", source, target)
    if is_read_only:
        _mount("-o", "remount,bind,ro", target)


def _become(user: int, groups: list[int]) -> None:
    if os.geteuid() != 0:
        return
    os.setgroups(groups)
    os.setgid(groups[0])
    os.setuid(user)


def _mount(*arguments: str | Path) -> None:
    command = ["mount", *map(str, arguments)]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"the container cannot start: {error}", file=sys.stderr)
        sys.exit(128)
