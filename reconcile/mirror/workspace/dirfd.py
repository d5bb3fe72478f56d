"""Opens directories below a root by descriptors; no link is followed, nothing leaves the root."""

import os
from collections import OrderedDict
from pathlib import Path
from types import TracebackType
from typing import Self

from reconcile.mirror.errors import DamagedError

MAX_OPEN_DIRECTORIES = 64
"""How many descriptors stay open; deeper trees are opened again from what is kept."""

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class DirectoryHandles:
    """Directories below `root`, each opened from its parent; for one thread at a time.

    Args:
        root: a folder, or a descriptor of one, which stays the caller's.
        max_open: how many are held open.
    """

    def __init__(self, root: int | Path, max_open: int = MAX_OPEN_DIRECTORIES) -> None:
        self.root = os.dup(root) if isinstance(root, int) else os.open(root, _FLAGS)
        self._max_open = max(max_open, 2)
        self._open: OrderedDict[str, int] = OrderedDict()

    def open(self, path: str) -> int:
        """Return a descriptor of the directory at `path`, `""` for the root.

        It is good until `keep` others have been opened. OSError as `open(2)` has it: ENOTDIR or
        ELOOP where a link stands in the way; DamagedError for a path that is none.
        """
        if not path:
            return self.root
        known = self._open.get(path)
        if known is not None:
            self._open.move_to_end(path)
            return known
        missing = [path]
        above, _, _ = path.rpartition("/")
        while above and above not in self._open:
            missing.append(above)
            above, _, _ = above.rpartition("/")
        descriptor = self._open[above] if above else self.root
        for step in reversed(missing):
            descriptor = self._open_child(descriptor, step)
        return descriptor

    def open_parent(self, path: str) -> tuple[int, str]:
        """Return the directory that holds `path`, and its name there."""
        above, _, name = path.rpartition("/")
        return self.open(above), check_file_name(name)

    def close_cached(self) -> None:
        """Close all but the root, so that directories are looked up anew."""
        while self._open:
            os.close(self._open.popitem()[1])

    def close(self) -> None:
        """Close everything."""
        self.close_cached()
        os.close(self.root)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open_child(self, above: int, path: str) -> int:
        name = check_file_name(path.rpartition("/")[2])
        descriptor = os.open(name, _FLAGS, dir_fd=above)
        self._open[path] = descriptor
        if len(self._open) > self._max_open:
            os.close(self._open.popitem(last=False)[1])
        return descriptor


def check_file_name(name: str) -> str:
    """Return `name` if it can be a name in a directory, else raise DamagedError."""
    if name in {"", ".", ".."} or "/" in name or "\0" in name:
        raise DamagedError(f"{name!r} is no name of a file: the snapshot is damaged or was forged")
    return name
