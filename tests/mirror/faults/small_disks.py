"""File systems that are soon full, or that take any size and time, seen by one process alone.

A child with mounts of its own makes them, so that whatever happens to it, nothing stays mounted.
"""

import ctypes
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.mirror.workspace.unprivileged import as_nobody

_NEW_MOUNTS = 0x00020000
_NEW_USERS = 0x10000000
WITHOUT = "no real server of file systems: this user may mount none"


def with_disks(check: Callable[[], None]) -> None:
    """Call `check` where it may mount; elsewhere it fails with CI=true, and is skipped loudly."""
    if not _may_mount():
        assert os.environ.get("CI") != "true", WITHOUT
        pytest.skip(WITHOUT)
    as_nobody(lambda: _apart(check), who=os.getuid())


def disk(folder: Path, size: str) -> None:
    """Mount an empty file system of that size, such as `1m`."""
    folder.mkdir(parents=True, exist_ok=True)
    options = f"size={size},nr_inodes=100k"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)


def grow(folder: Path, size: str) -> None:
    """Make it larger."""
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Fill it to the last byte; returns the file that does."""
    filler = folder / "filler"
    with filler.open("wb", 0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return filler


def _may_mount() -> bool:
    command = ["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def _apart(check: Callable[[], None]) -> None:
    user, group = os.getuid(), os.getgid()
    flags = _NEW_MOUNTS | (_NEW_USERS if user else 0)
    library = ctypes.CDLL(None, use_errno=True)
    assert library.unshare(flags) == 0, os.strerror(ctypes.get_errno())
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    check()
