"""Compares two trees as `rsync -naiH --delete` does: names, kinds, modes, times, links, bytes."""

import os
import stat
import subprocess
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from tests.mirror.tools import command


@dataclass(frozen=True, slots=True)
class Fact:
    """What a round trip must keep of one entry; `names` are the hard links of a file."""

    kind: str
    mode: int
    mtime: int
    content: bytes
    names: tuple[bytes, ...]


def differences(left: Path, right: Path) -> list[str]:
    """Return one line for each name that differs between the trees; `.` is not compared."""
    before, after = facts(left), facts(right)
    return [
        f"{name!r}: {_describe(before.get(name))} became {_describe(after.get(name))}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def facts(root: Path) -> dict[bytes, Fact]:
    """Describe every entry below `root`, by its name as bytes."""
    base = os.fsencode(root)
    links: dict[tuple[int, int], list[bytes]] = defaultdict(list)
    entries: dict[bytes, tuple[os.stat_result, bytes]] = {}
    for folder, folders, files in os.walk(base):
        for last in (*folders, *files):
            path = folder + b"/" + last
            name = path.removeprefix(base + b"/")
            status = os.lstat(path)
            entries[name] = (status, _content(path, status.st_mode))
            links[status.st_dev, status.st_ino].append(name)
    return {
        name: Fact(
            _kind(status.st_mode),
            _restorable_mode(status.st_mode),
            status.st_mtime_ns,
            content,
            tuple(sorted(links[status.st_dev, status.st_ino])),
        )
        for name, (status, content) in entries.items()
    }


def rsync_differences(left: Path, right: Path) -> list[str]:
    """Return the changes that rsync would make to the right tree; empty if they are equal."""
    rsync = command("rsync", "rsync", "libpopt0", "libxxhash0")
    chmod = ["--chmod=Fug-s"] if os.geteuid() == 0 else []
    result = subprocess.run(
        [*rsync, "-naiHc", "--delete", *chmod, f"{left}/", f"{right}/"],
        check=True,
        capture_output=True,
    )
    return [line for line in os.fsdecode(result.stdout).splitlines() if not line.endswith(" ./")]


def _restorable_mode(mode: int) -> int:
    """Root restores no set-user-ID and set-group-ID bits of files."""
    lost = 0o6000 if stat.S_ISREG(mode) and os.geteuid() == 0 else 0
    return stat.S_IMODE(mode) & ~lost


def _kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: "directory", stat.S_IFLNK: "link", stat.S_IFREG: "file"}
    return kinds.get(stat.S_IFMT(mode), "other")


def _content(path: bytes, mode: int) -> bytes:
    if stat.S_ISLNK(mode):
        return os.fsencode(Path(os.fsdecode(path)).readlink())
    return Path(os.fsdecode(path)).read_bytes() if stat.S_ISREG(mode) else b""


def _describe(fact: Fact | None) -> str:
    if fact is None:
        return "nothing"
    links = f" linked as {fact.names}" if len(fact.names) > 1 else ""
    content = f"{len(fact.content)} bytes {fact.content[:20]!r}"
    return f"{fact.kind} {fact.mode:04o} {fact.mtime} {content}{links}"
