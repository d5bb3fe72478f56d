"""When a file or a whole workspace is quiet, told from times and numbers alone."""

from collections.abc import Iterable
from enum import Enum
from typing import Protocol

from msgspec import Struct

TICK = 20_000_000
"""Nanoseconds; the kernel's file times advance every 1 to 10 ms, and so two writes may look one."""

COARSE = 2_000_000_000
"""The same for file systems that keep whole seconds, told by a time without fractions."""

CALM = 1_000_000_000
"""Nanoseconds without a change after which a burst has ended."""


def fresh_for(ctime: int, now: int) -> int:
    """How many nanoseconds until a further write to this file is sure to change its `ctime`.

    0 for a time in the future: a clock that is ahead must not keep a file out for ever.
    """
    grain = TICK if ctime % 1_000_000_000 else COARSE
    age = now - ctime
    return grain - age if 0 <= age < grain else 0


class Stat(Protocol):
    """What is asked of an entry of a walk."""

    @property
    def size(self) -> int: ...

    @property
    def ctime(self) -> int: ...

    @property
    def inode(self) -> int: ...


class Pulse(Struct, frozen=True):
    """One walk in a few numbers: two walks with the same saw the same workspace."""

    newest: int = 0
    entries: int = 0
    size: int = 0
    mixed: int = 0


def pulse(seen: Iterable[Stat]) -> Pulse:
    """Sum up a walk."""
    newest = entries = size = mixed = 0
    for entry in seen:
        ctime = entry.ctime
        newest = max(newest, ctime)
        entries += 1
        size += entry.size
        mixed += ctime * entry.inode
    return Pulse(newest, entries, size, mixed & 0xFFFF_FFFF_FFFF_FFFF)


class Burst(Enum):
    """What the workspace is doing."""

    NONE = "none"
    GOING_ON = "going on"
    ENDED = "ended"


def burst(committed: Pulse, before: Pulse, now: Pulse, time: int) -> Burst:
    """Tell whether there is something to commit, and whether this is the moment.

    Args:
        committed: the walk that the last commit was made from.
        before: the walk before this one.
        now: this walk.
        time: when it began, in nanoseconds.

    Times in the future count as old: they must not keep a burst alive.
    """
    if now == committed:
        return Burst.NONE
    if now == before and not 0 <= time - now.newest < CALM:
        return Burst.ENDED
    return Burst.GOING_ON
