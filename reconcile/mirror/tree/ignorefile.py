"""Reads `.mirrorignore`: patterns that the agent wrote, and so nobody has checked."""

import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from reconcile.mirror.tree.excludes import problem

NAME = ".mirrorignore"
MAX_BYTES = 32 << 10
MAX_PATTERNS = 200
MAX_STARS = 3
"""More `*` in one pattern could make a single hostile name cost seconds to match."""
MAX_LENGTH = 255

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class IgnoreFile(Struct, frozen=True):
    """Patterns that may be used, and one message for each that may not."""

    patterns: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def read_ignore_file(root: int | Path) -> IgnoreFile:
    """Read the file in the workspace's root; its absence is no problem, all else is one."""
    try:
        data = _read(root)
    except FileNotFoundError:
        return IgnoreFile()
    except OSError as error:
        return IgnoreFile(problems=(f"{NAME}: it cannot be read: {error.strerror}",))
    if data is None:
        return IgnoreFile(problems=(f"{NAME}: it is no regular file: nothing of it is used",))
    if len(data) > MAX_BYTES:
        text = f"{NAME}: it is larger than {MAX_BYTES >> 10} KiB: nothing of it is used"
        return IgnoreFile(problems=(text,))
    return judge(os.fsdecode(data).split("\n"))


def judge(lines: Sequence[str]) -> IgnoreFile:
    """Tell the lines that may be used from those that may not."""
    patterns: list[str] = []
    problems: list[str] = []
    for number, line in enumerate(lines, start=1):
        pattern = line.removesuffix("\r")
        if not pattern.strip() or pattern.startswith("#"):
            continue
        reason = _refusal(pattern)
        if not reason and len(patterns) == MAX_PATTERNS:
            problems.append(f"{NAME}:{number}: more than {MAX_PATTERNS} patterns: the rest is left")
            break
        if reason:
            problems.append(f"{NAME}:{number}: {reason}")
        else:
            patterns.append(pattern)
    return IgnoreFile(tuple(patterns), tuple(problems))


def _refusal(pattern: str) -> str:
    if len(pattern) > MAX_LENGTH:
        return f"it is longer than {MAX_LENGTH} characters"
    if len(re.findall(r"\*+", pattern)) > MAX_STARS:
        return f"it has more than {MAX_STARS} times `*`"
    return problem(pattern)


def _read(root: int | Path) -> bytes | None:
    """Return at most one byte too many, or None where it is no regular file."""
    if isinstance(root, Path):
        descriptor = os.open(root / NAME, _FLAGS)
    else:
        descriptor = os.open(NAME, _FLAGS, dir_fd=root)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        return os.read(descriptor, MAX_BYTES + 1)
    finally:
        os.close(descriptor)
