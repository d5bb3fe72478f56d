"""What a walk has seen, entry by entry, and what it has left out."""

import os

from msgspec import Struct, field

LONG = 128
"""Characters of a path for which an entry counts once more, see `weight`."""

_COMMON: dict[int, int] = {}
"""Modes and devices, of which there are few: equal numbers of 100,000 entries share memory."""


class Seen(Struct, frozen=True, gc=False):
    """What `lstat` says of one entry; times in nanoseconds since 1970, `mode` with the type."""

    path: str
    mode: int
    size: int
    mtime: int
    ctime: int
    inode: int
    device: int
    links: int


class Skipped(Struct):
    """How many entries were left out, by reason, and some of their paths by reason.

    `sockets` counts fifos too. `beyond` is for how many there was no room, at least: what is in
    directories that were not taken is not counted. `unknown` has the paths at and below which
    nothing could be learned this time: what an earlier walk saw there must not be taken for
    deleted.
    """

    sockets: int = 0
    devices: int = 0
    unreadable: int = 0
    excluded: int = 0
    mounts: int = 0
    too_deep: int = 0
    too_large: int = 0
    vanished: int = 0
    beyond: int = 0
    unknown: list[str] = field(default_factory=list)
    examples: dict[str, list[str]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """How many should perhaps have been taken: all but what is excluded or gone."""
        special = self.sockets + self.devices + self.mounts
        return special + self.unreadable + self.too_deep + self.too_large + self.beyond

    def add(self, reason: str, path: str) -> None:
        """Count one more for `reason`, which is the name of a field."""
        setattr(self, reason, getattr(self, reason) + 1)
        known = self.examples.setdefault(reason, [])
        if len(known) < 3:  # noqa: PLR2004 - enough to know what is meant
            known.append(path)


def as_seen(path: str, status: os.stat_result) -> Seen:
    """Return what `lstat` said as a value."""
    mtime, ctime = status.st_mtime_ns, status.st_ctime_ns
    mode, device = status.st_mode, status.st_dev
    return Seen(
        path,
        _COMMON.setdefault(mode, mode),
        status.st_size,
        mtime,
        mtime if mtime == ctime else ctime,
        status.st_ino,
        _COMMON.setdefault(device, device),
        status.st_nlink,
    )


def weight(path: str) -> int:
    """Return for how many entries one with this path counts: memory goes by the length of paths."""
    return 1 + (len(path) if path.isascii() else 4 * len(path)) // LONG
