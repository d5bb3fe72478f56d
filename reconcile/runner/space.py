"""How much of a workspace's size is used, so that a clone does not fill the volume."""

import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

_BLOCK: Final = 512
_GIB: Final = 1 << 30
_PAUSE: Final = 1.0
_PAUSE_PER_COST: Final = 10
"""A large folder is measured less often, so that measuring takes a tenth of the time at most."""


def measure_folder(path: Path) -> int:
    """Return the bytes on disk of all that is below a folder; a file with two names counts once."""
    seen: set[tuple[int, int]] = set()
    return sum(each.st_blocks for each in _list_statuses(path) if _is_new(each, seen)) * _BLOCK


def _list_statuses(path: Path) -> Iterator[os.stat_result]:
    folders = [os.fspath(path)]
    while folders:
        # What is removed meanwhile, or cannot be read, does not count.
        with suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                with suppress(OSError):
                    yield entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)


def _is_new(status: os.stat_result, seen: set[tuple[int, int]]) -> bool:
    if status.st_nlink == 1 or stat.S_ISDIR(status.st_mode):
        return True
    inode = status.st_dev, status.st_ino
    is_new = inode not in seen
    seen.add(inode)
    return is_new


class Space:
    """What a workspace of a maximum size holds, and what each clone adds to it; thread-safe.

    Args:
        workspace: The workspace.
        maximum: Its size in bytes; 0 for no limit.
        monotonic: Returns seconds.
    """

    def __init__(self, workspace: Path, maximum: int, monotonic: Callable[[], float]) -> None:
        self._workspace = workspace
        self._maximum = maximum
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._used_before: int | None = None
        self._clones: dict[Path, int] = {}
        self._next: dict[Path, float] = {}

    def prepare(self) -> None:
        """Measure what is there before the first clone, once."""
        with self._lock:
            if self._maximum and self._used_before is None:
                self._used_before = measure_folder(self._workspace)

    def find_excess(self, clone: Path) -> str:
        """Return why a clone must stop, or `""`; where several are too large, the largest one."""
        is_measured = self._monotonic() < self._next.get(clone, 0.0)
        return "" if is_measured else self.find_final_excess(clone)

    def find_final_excess(self, clone: Path) -> str:
        """Measure a clone in any case, as `find_excess` does from time to time."""
        if not self._maximum:
            return ""
        size = self._measure(clone)
        with self._lock:
            self._clones[clone] = size
            left = self._maximum - (self._used_before or 0)
            fits = sum(self._clones.values()) <= left
            is_largest = size == max(self._clones.values())
            if fits or not is_largest:
                return ""
            del self._clones[clone]
        return (
            f"it needs more than the {max(left, 0) / _GIB:.1f} GiB that the workspace has left: "
            "raise `storage.size`, or clone less"
        )

    def forget(self, clone: Path) -> None:
        """Count a clone no more, since it is removed."""
        with self._lock:
            self._clones.pop(clone, None)

    def _measure(self, clone: Path) -> int:
        started = self._monotonic()
        size = measure_folder(clone)
        ended = self._monotonic()
        self._next[clone] = ended + max(_PAUSE, _PAUSE_PER_COST * (ended - started))
        return size
