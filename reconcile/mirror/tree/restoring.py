"""Writes a snapshot into a volume: aside first, then all of it is made visible by renames."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from functools import partial
from pathlib import Path

from reconcile.mirror.errors import DamagedError, WorkspaceError
from reconcile.mirror.model import Directory, Entry, File, HardLink, Symlink
from reconcile.mirror.tree.directories import Directories, checked
from reconcile.mirror.tree.placing import dress, dress_file, dress_last, is_hole, link, write
from reconcile.mirror.tree.removing import open_up, remove
from reconcile.mirror.tree.sites import ASIDE, Empty, Partial, Site
from reconcile.mirror.tree.verifying import Verdict, verify
from reconcile.mirror.tree.wording import refusal, worded

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Found(Enum):
    """Whose are the files that a volume holds before anything is restored?

    OURS if an attempt of ours began on it when it was empty, and no agent has run since: what
    differs from the snapshot is replaced, what is not in it is removed. Else they are a STRANGER's:
    files that are as in the snapshot stay and the rest is completed, but anything else is an error.
    """

    OURS = "ours"
    STRANGERS = "a stranger's"


class Restorer:
    """Restores one snapshot into the volume at `root`.

    Call `begin`; then `write`, or `write_at` once for each blob, for each file that `files` names,
    from any thread and in any order; then `finish`. Every method raises WorkspaceError where the
    volume does not let it, and DamagedError for entries that no walk can have seen. `close` lets go
    of a restore that cannot be finished; what is put together aside stays for the next attempt.

    Args:
        root: the volume.
        entries: the snapshot, in the order of paths.
        found: whose files the volume may hold already; `lost+found` does not count.
    """

    def __init__(
        self, root: Path, entries: Iterable[Entry], found: Found = Found.STRANGERS
    ) -> None:
        self._root = root
        self._entries = {entry.path: entry for entry in entries}
        self._found = found
        self._right: set[str] = set()
        self._left: dict[str, int] = {}
        self._lock = threading.Lock()
        self._site: Site | None = None

    @property
    def files(self) -> list[File]:
        """The files whose bytes are wanted, once `begin` was called."""
        return [
            entry
            for entry in self._entries.values()
            if isinstance(entry, File) and entry.size and entry.path not in self._right
        ]

    def begin(self) -> None:
        """Look at what is there, and make directories, empty files, and room for large ones."""
        for entry in self._entries.values():
            self._check(entry)
        with worded(self._root, ""), Directories(self._root) as visible:
            remove(visible, ASIDE)
            with os.scandir(visible.root) as names:
                there = {entry.name for entry in names} - {"lost+found"}
            if there:
                self._take_over(visible)
            os.mkdir(ASIDE, 0o700, dir_fd=visible.root)
            self._site = Partial(self._root) if there else Empty(self._root)
        self._left = {file.path: file.size for file in self.files}
        wanted = (
            entry
            for entry in self._entries.values()
            if entry.path not in self._right or isinstance(entry, Directory)
        )
        self._for_each(wanted, self._prepare)

    def write(self, file: File, data: bytes | memoryview) -> None:
        """Write a file whole that has one blob."""
        self._written(file, data)
        # A context manager would cost as much as two calls of the system.
        try:
            descriptor = self._create(file)
            try:
                write(descriptor, data, 0)
                dress(descriptor, file)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise refusal(self._root, file.path, error) from error

    def write_at(self, file: File, offset: int, data: bytes | memoryview) -> None:
        """Write one blob of a file that has several, at `offset` bytes from its start."""
        self._written(file, data)
        if is_hole(data):
            return
        with worded(self._root, file.path):
            descriptor = self._open(file)
            try:
                write(descriptor, data, offset)
            finally:
                os.close(descriptor)

    def trust(self, files: Iterable[File]) -> None:
        """Take it that another process, forked after `begin`, has written these files whole."""
        with self._lock:
            self._left.update((file.path, 0) for file in files)

    def finish(self) -> None:
        """Make everything visible, with its links, modes and times; directories come last."""
        if any(self._left.values()):
            missing = [path for path, left in self._left.items() if left]
            raise DamagedError(f"{len(missing)} files were not restored, such as {missing[0]!r}")
        site = self._ready()
        self._for_each(self._unwhole(), self._dress_later)
        with worded(self._root, ""), Directories(self._root) as visible:
            site.show(self._entries.values())
            remove(visible, ASIDE)
            self._complete(visible)
        self.close()

    def close(self) -> None:
        """Let go of all descriptors."""
        if self._site is not None:
            self._site.close()
            self._site = None

    def _complete(self, visible: Directories) -> None:
        """Make links, then set what making them has spoilt: a directory's content comes first."""
        links = (
            entry
            for entry in self._entries.values()
            if isinstance(entry, Symlink | HardLink) and entry.path not in self._right
        )
        self._for_each(links, partial(link, visible))
        spoilt = (
            entry
            for entry in reversed(self._entries.values())
            if not isinstance(entry, File) or entry.path in self._right
        )
        self._for_each(spoilt, partial(_dress_last, visible))

    def _for_each(self, entries: Iterable[Entry], work: Callable[[Entry], None]) -> None:
        """Do something to many entries; errors name the one at which it failed."""
        path = ""
        try:
            for entry in entries:
                path = entry.path
                work(entry)
        except OSError as error:
            raise refusal(self._root, path, error) from error

    def _ready(self) -> Site:
        if self._site is None:
            raise RuntimeError("a Restorer begins with `begin`, and ends with `finish` or `close`")
        return self._site

    def _check(self, entry: Entry) -> None:
        """Raise DamagedError for what no walk can have seen, before anything is written."""
        above, _, name = entry.path.rpartition("/")
        checked(name)
        if above and not isinstance(self._entries.get(above), Directory):
            raise DamagedError(f"{entry.path!r} is in no directory of the snapshot")
        if entry.path.partition("/")[0] == ASIDE:
            raise DamagedError(f"{entry.path!r} is a name that only the mirror itself may use")
        if isinstance(entry, HardLink) and not isinstance(self._entries.get(entry.target), File):
            raise DamagedError(f"{entry.path!r} is linked to {entry.target!r}, which is no file")

    def _take_over(self, visible: Directories) -> None:
        """Keep what is right; the rest goes if it is ours, and stops us if it is a stranger's."""
        verdict = verify(self._root, self._entries)
        if verdict.strange and self._found is Found.STRANGERS:
            raise WorkspaceError(_refusal(self._root, verdict))
        self._right = verdict.right
        for path in sorted(verdict.right):
            if isinstance(self._entries[path], Directory):
                open_up(visible, path)
        gone = ""
        for path in verdict.strange:
            if not gone or not path.startswith(f"{gone}/"):
                remove(visible, path)
                gone = path

    def _prepare(self, entry: Entry) -> None:
        match entry:
            case Directory():
                self._make_directory(entry.path)
            case File() if not _is_whole(entry):
                descriptor = self._create(entry)
                try:
                    os.ftruncate(descriptor, entry.size)
                finally:
                    os.close(descriptor)
            case _:
                pass

    def _make_directory(self, path: str) -> None:
        parent, name = self._ready().inside().parent(path)
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            if path not in self._right:
                raise

    def _written(self, file: File, data: bytes | memoryview) -> None:
        with self._lock:
            left = self._left.get(file.path, 0) - len(data)
            if left < 0:
                raise DamagedError(f"{file.path!r} would be longer than the snapshot says")
            self._left[file.path] = left

    def _create(self, file: File) -> int:
        parent, name = self._ready().file(file.path)
        return os.open(name, _CREATE, 0o600, dir_fd=parent)

    def _open(self, file: File) -> int:
        parent, name = self._ready().file(file.path)
        return os.open(name, _OPEN, dir_fd=parent)

    def _unwhole(self) -> Iterator[File]:
        for entry in self._entries.values():
            if isinstance(entry, File) and not _is_whole(entry) and entry.path not in self._right:
                yield entry

    def _dress_later(self, file: Entry) -> None:
        assert isinstance(file, File)
        descriptor = self._open(file)
        try:
            dress(descriptor, file)
        finally:
            os.close(descriptor)


def _dress_last(visible: Directories, entry: Entry) -> None:
    if isinstance(entry, File):
        dress_file(visible, entry)
    else:
        dress_last(visible, entry)


def _is_whole(file: File) -> bool:
    """Whether the file is written in one step; others are made first, and dressed at the end."""
    return len(file.blobs) == 1


def _refusal(root: Path, verdict: Verdict) -> str:
    count = len(verdict.strange)
    examples = ", ".join(repr(path) for path in verdict.strange[:3])
    return (
        f"{root}: the volume holds {count} files that are not as in the snapshot ({examples}): "
        "they may be newer work. Empty the volume, or give one that is empty, or overwrite it with "
        "--force"
    )
