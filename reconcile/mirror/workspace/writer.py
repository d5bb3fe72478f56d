"""Where a restore puts files until they are shown: an empty volume, or one to be completed."""

import os
import threading
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from typing import Protocol

from reconcile.mirror.model import Directory, Entry, File
from reconcile.mirror.workspace.dirfd import Directories

ASIDE = ".reconcile-mirror-restoring"
"""The directory in the volume in which a snapshot is put together; never in a snapshot."""


class Site(Protocol):
    """What differs between the two; paths are the snapshot's."""

    def file(self, path: str) -> tuple[int, str]:
        """Return the directory and the name under which a file is written; for any thread."""
        ...

    def inside(self) -> Directories:
        """Return where directories are made; for the calling thread."""
        ...

    def show(self, entries: Iterable[Entry]) -> None:
        """Put files and directories at their places."""
        ...

    def close(self) -> None:
        """Let go of all descriptors."""
        ...


class PerThread:
    """One `Directories` of the same root for each thread."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._local = threading.local()
        self._all: list[Directories] = []

    def get(self) -> Directories:
        """Return the calling thread's own."""
        known: Directories | None = getattr(self._local, "directories", None)
        if known is None:
            known = self._local.directories = Directories(self._root)
            self._all.append(known)
        return known

    def close(self) -> None:
        """Close all of them; no thread may use one any more."""
        while self._all:
            self._all.pop().close()


class Empty:
    """An empty volume: the tree grows aside, then its top-level entries are renamed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._aside = PerThread(root / ASIDE)

    def file(self, path: str) -> tuple[int, str]:
        return self._aside.get().parent(path)

    def inside(self) -> Directories:
        return self._aside.get()

    def show(self, entries: Iterable[Entry]) -> None:
        with Directories(self._root) as visible:
            aside = visible.open(ASIDE)
            for entry in entries:
                if "/" not in entry.path and isinstance(entry, File | Directory):
                    os.rename(entry.path, entry.path, src_dir_fd=aside, dst_dir_fd=visible.root)

    def close(self) -> None:
        self._aside.close()


class Partial:
    """A volume that holds a part: files are written aside and renamed one by one."""

    def __init__(self, root: Path) -> None:
        self._inside = PerThread(root)
        self._aside = os.open(root / ASIDE, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        self._names: dict[str, str] = {}
        self._count = count()

    def file(self, path: str) -> tuple[int, str]:
        name = self._names.get(path)
        if name is None:
            name = self._names.setdefault(path, str(next(self._count)))
        return self._aside, name

    def inside(self) -> Directories:
        return self._inside.get()

    def show(self, entries: Iterable[Entry]) -> None:
        del entries
        for path, name in self._names.items():
            parent, last = self._inside.get().parent(path)
            os.rename(name, last, src_dir_fd=self._aside, dst_dir_fd=parent)

    def close(self) -> None:
        self._inside.close()
        os.close(self._aside)
