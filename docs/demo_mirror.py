"""The second half of `make demo`: a workspace that survives its pod, on an embedded S3 server."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from minio import Minio

from tests.s3 import motoserver
from tests.s3.access import S3Server

ROOT = Path(__file__).parent.parent
BUCKET = "workspaces"
FENCED = 6


class Pod:
    """What a pod gives its mirror: a workspace, a state directory, the mounted Secret, a UID."""

    def __init__(self, home: Path, uid: str) -> None:
        self.home, self.uid = home, uid
        self.workspace = home / uid / "workspace"
        self.state = home / uid / "state"
        for folder in (self.workspace, self.state):
            folder.mkdir(parents=True)

    def mirror(self, *arguments: str, expect: int = 0) -> bool:
        """Run one command of the mirror as its container would, and check its exit code."""
        print(f"\033[2m[{self.uid}] $ reconcile-mirror {' '.join(arguments)}\033[0m", flush=True)
        done = subprocess.run(
            [sys.executable, "-m", "reconcile.mirror", *arguments],
            env=self._environment(),
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        for line in done.stderr.splitlines():
            print(f"  {_worded(line)}")
        print(f"\033[2m(exit code {done.returncode})\033[0m", flush=True)
        return done.returncode == expect

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "RECONCILE_MIRROR_WORKSPACE": str(self.workspace),
            "RECONCILE_MIRROR_STATE": str(self.state),
            "RECONCILE_MIRROR_PREFIX": "team-a/fix-login",
            "RECONCILE_MIRROR_SHARED_SECRET": str(self.home / "secret"),
            "RECONCILE_MIRROR_POD_UID": self.uid,
            "RECONCILE_MIRROR_POD_NAME": f"fix-login-runner ({self.uid})",
            "RECONCILE_MIRROR_PORT": "0",
        }


def survive(home: Path) -> bool:
    """Show it; return whether every step succeeded."""
    with motoserver.running() as server:
        _prepare(home, server)
        return _tell(home)


def _prepare(home: Path, server: S3Server) -> None:
    """Make the bucket, and the Secret as the kubelet mounts it."""
    address = server.url.removeprefix("http://")
    Minio(
        address, access_key=server.keys.access_key, secret_key=server.keys.secret_key, secure=False
    ).make_bucket(BUCKET)
    secret = home / "secret"
    secret.mkdir()
    for name, value in {
        "STORAGE_MODE": "shared",
        "S3_ENDPOINT": server.url,
        "S3_BUCKET": BUCKET,
        "S3_REGION": "us-east-1",
        "S3_ACCESS_KEY": server.keys.access_key,
        "S3_SECRET_KEY": server.keys.secret_key,
    }.items():
        (secret / name).write_text(value, encoding="utf-8")


def _tell(home: Path) -> bool:
    _title("9. A new session claims its place in S3; the agent's work is stored as it goes")
    first = Pod(home, "pod-1")
    going = [first.mirror("hydrate")]
    _work(first.workspace)
    going += [first.mirror("sync", "--once"), first.mirror("sync", "--once")]

    _title("10. The pod is lost. The next one has the workspace as it was")
    second = Pod(home, "pod-2")
    going.append(second.mirror("hydrate"))
    going.append(_same(first.workspace, second.workspace))

    _title("11. The lost pod was not dead after all: it can harm nothing any more")
    (first.workspace / "late.txt").write_text("written by a pod that has been replaced\n")
    going.append(first.mirror("sync", "--once", expect=FENCED))
    (second.workspace / "notes.md").write_text("going on\n", encoding="utf-8")
    going.append(second.mirror("sync", "--once"))
    return all(going)


def _work(workspace: Path) -> None:
    """What an agent may leave: a clone with uncommitted work, links, a program, an empty folder."""
    if shutil.which("git") is not None:
        subprocess.run(["git", "init", "--quiet", workspace / "repos" / "shop"], check=True)
    shop = workspace / "repos" / "shop"
    (shop / "empty").mkdir(parents=True, exist_ok=True)
    (shop / "login.py").write_text("def login(): ...\n", encoding="utf-8")
    (shop / "run.sh").write_text("#!/bin/sh\n", encoding="utf-8")
    (shop / "run.sh").chmod(0o755)
    (shop / "latest").symlink_to("login.py")
    (workspace / "a name\twith a tab.txt").write_text("odd names too\n", encoding="utf-8")


def _same(one: Path, other: Path) -> bool:
    command: Sequence[str | Path] = ["diff", "--recursive", "--no-dereference", one, other]
    print("\033[2m$ diff --recursive pod-1/workspace pod-2/workspace\033[0m", flush=True)
    same = subprocess.run(command, check=False).returncode == 0
    print("  no difference" if same else "\033[31m  they differ\033[0m")
    return same


def _title(text: str) -> None:
    print(f"\n\033[1m━━ {text}\033[0m", flush=True)


def _worded(line: str) -> str:
    """Show a line of the log without what only programs read."""
    try:
        entry = json.loads(line)
    except ValueError:
        return line
    rest = {key: value for key, value in entry.items() if key not in {"time", "level", "event"}}
    return f"{entry['event']}: {json.dumps(rest, ensure_ascii=False)}" if rest else entry["event"]
