"""Opens directories below a root by descriptors, never through a link or outside the root."""

import os
import resource
from collections import OrderedDict
from pathlib import Path
from types import TracebackType
from typing import Self

from reconcile.mirror.errors import DamagedError

MAX_OPEN_DIRECTORIES = 64
"""How many descriptors stay open; other directories are opened again when needed."""

_SHARE_OF_DESCRIPTORS = 4
"""At most one in so many of the descriptors that the process may have."""

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class DirectoryHandles:
    """Directories below `root`, each opened from its parent; not thread-safe.

    Args:
        root: A directory, or a descriptor of one, which the caller still owns.
        max_open: How many descriptors stay open.
    """

    def __init__(self, root: int | Path, max_open: int = MAX_OPEN_DIRECTORIES) -> None:
        self.root = os.dup(root) if isinstance(root, int) else os.open(root, _FLAGS)
        allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if allowed != resource.RLIM_INFINITY:
            max_open = min(max_open, allowed // _SHARE_OF_DESCRIPTORS)
        self._max_open = max(max_open, 2)
        self._open: OrderedDict[str, int] = OrderedDict()

    def open(self, path: str) -> int:
        """Return a descriptor of the directory at `path`, `""` for the root.

        It is valid until `max_open` others have been opened.

        Raises:
            OSError: As from `open(2)`; ENOTDIR or ELOOP if a component of the path is a link.
            DamagedError: It is not a valid path.
        """
        if not path:
            return self.root
        cached = self._open.get(path)
        if cached is not None:
            self._open.move_to_end(path)
            return cached
        missing = [path]
        parent, _, _ = path.rpartition("/")
        while parent and parent not in self._open:
            missing.append(parent)
            parent, _, _ = parent.rpartition("/")
        descriptor = self._open[parent] if parent else self.root
        for step in reversed(missing):
            descriptor = self._open_child(descriptor, step)
        return descriptor

    def open_parent(self, path: str) -> tuple[int, str]:
        """Return a descriptor of the parent directory of `path`, and the name in it."""
        parent, _, name = path.rpartition("/")
        return self.open(parent), check_file_name(name)

    def close_cached(self) -> None:
        """Close all descriptors except the root, so that directories are looked up again."""
        while self._open:
            os.close(self._open.popitem()[1])

    def close(self) -> None:
        """Close all descriptors."""
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

    def _open_child(self, parent: int, path: str) -> int:
        name = check_file_name(path.rpartition("/")[2])
        descriptor = os.open(name, _FLAGS, dir_fd=parent)
        self._open[path] = descriptor
        if len(self._open) > self._max_open:
            os.close(self._open.popitem(last=False)[1])
        return descriptor


def check_file_name(name: str) -> str:
    """Return `name` if it is a valid file name, else raise DamagedError."""
    if name in {"", ".", ".."} or "/" in name or "\0" in name:
        raise DamagedError(
            f"{name!r} is not a valid file name: the snapshot is damaged or was forged"
        )
    return name
