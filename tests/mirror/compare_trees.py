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
    """All of one entry that a round trip must keep; `names` are the hard links of a file."""

    kind: str
    mode: int
    mtime: int
    content: bytes
    names: tuple[bytes, ...]


def differences(left: Path, right: Path) -> list[str]:
    """Return one line for each name at which the trees differ; `.` is not compared."""
    here, there = facts(left), facts(right)
    return [
        f"{name!r}: {_word(here.get(name))} became {_word(there.get(name))}"
        for name in sorted(here.keys() | there.keys())
        if here.get(name) != there.get(name)
    ]


def facts(root: Path) -> dict[bytes, Fact]:
    """Describe every entry below `root`, by its name as bytes."""
    base = os.fsencode(root)
    links: dict[tuple[int, int], list[bytes]] = defaultdict(list)
    found: dict[bytes, tuple[os.stat_result, bytes]] = {}
    for folder, folders, files in os.walk(base):
        for last in (*folders, *files):
            path = folder + b"/" + last
            name = path.removeprefix(base + b"/")
            status = os.lstat(path)
            found[name] = (status, _content(path, status.st_mode))
            links[status.st_dev, status.st_ino].append(name)
    return {
        name: Fact(
            _kind(status.st_mode),
            stat.S_IMODE(status.st_mode),
            status.st_mtime_ns,
            content,
            tuple(sorted(links[status.st_dev, status.st_ino])),
        )
        for name, (status, content) in found.items()
    }


def rsync_differences(left: Path, right: Path) -> list[str]:
    """Ask rsync itself what it would do to make the right tree equal to the left one."""
    rsync = command("rsync", "rsync", "libpopt0", "libxxhash0")
    completed = subprocess.run(
        [*rsync, "-naiHc", "--delete", f"{left}/", f"{right}/"], check=True, capture_output=True
    )
    return [line for line in os.fsdecode(completed.stdout).splitlines() if not line.endswith(" ./")]


def _kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: "directory", stat.S_IFLNK: "link", stat.S_IFREG: "file"}
    return kinds.get(stat.S_IFMT(mode), "other")


def _content(path: bytes, mode: int) -> bytes:
    if stat.S_ISLNK(mode):
        return os.fsencode(Path(os.fsdecode(path)).readlink())
    return Path(os.fsdecode(path)).read_bytes() if stat.S_ISREG(mode) else b""


def _word(fact: Fact | None) -> str:
    if fact is None:
        return "nothing"
    links = f" linked as {fact.names}" if len(fact.names) > 1 else ""
    content = f"{len(fact.content)} bytes {fact.content[:20]!r}"
    return f"{fact.kind} {fact.mode:04o} {fact.mtime} {content}{links}"
