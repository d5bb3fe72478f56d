"""A generation as plain objects, one for each file; what that loses is counted and said."""

import hashlib
import posixpath
from typing import assert_never

from msgspec import Struct, field

from reconcile.mirror.errors import SettingsError
from reconcile.mirror.model import Directory, Entry, File, HardLink, Symlink, Tree
from reconcile.mirror.moving.contents import Contents
from reconcile.mirror.snapshot.encoding import encode_text
from reconcile.mirror.store.port import Store

MAX_OBJECT = 1 << 30
"""Bytes of the largest file that becomes one object: it is put in one request, from memory."""

MAX_KEY = 1024
"""Bytes of the longest key that S3 takes, the prefix included."""


_USUAL = 0o644


class Exported(Struct):
    """What was written, and what an object cannot say.

    Attributes:
        files: Objects that were written.
        size: Their bytes.
        copies: Hard links that became objects of their own.
        links: Symbolic links that are left out, by path, with their target.
        empty: Empty directories, which are left out.
        renamed: Paths whose key is another text, since they are no plain UTF-8.
        refused: Files that are left out, by path, with the reason.
        modes: Files whose mode is more than 0644 says.
    """

    files: int = 0
    size: int = 0
    copies: int = 0
    links: dict[str, str] = field(default_factory=dict)
    empty: list[str] = field(default_factory=list)
    renamed: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    modes: int = 0


class PlainExport:
    """Writes the files of one tree below a prefix that nobody else uses."""

    def __init__(self, target: Store, tree: Tree, contents: Contents) -> None:
        self._target = target
        self._tree = tree
        self._contents = contents
        self._parents = {posixpath.dirname(path) for path in tree.entries}
        self.done = Exported()

    def run(self) -> Exported:
        """Write all.

        Raises:
            SettingsError: There is something below that prefix already.
            DamagedError: An object of the snapshot is missing or altered; names it.
            StoreError: Something could not be read or written.
        """
        first = next(iter(self._target.list("")), None)
        if first is not None:
            raise SettingsError(
                f"there is something at the target already, such as {first.key}: give a prefix "
                "that is empty"
            )
        for entry in self._tree.entries.values():
            self._write(entry)
        return self.done

    def _write(self, entry: Entry) -> None:
        match entry:
            case File():
                self._put(entry.path, entry)
            case HardLink(path, target):
                file = self._tree.entries[target]
                assert isinstance(file, File)
                self.done.copies += 1
                self._put(path, file)
            case Symlink(path, target):
                self.done.links[path] = target
            case Directory(path):
                if path not in self._parents:
                    self.done.empty.append(path)
            case _:
                assert_never(entry)

    def _put(self, path: str, file: File) -> None:
        key = encode_text(path)
        if file.size > MAX_OBJECT:
            self.done.refused[path] = f"it has more than {MAX_OBJECT} bytes"
            return
        if len(key.encode()) > MAX_KEY:
            self.done.refused[path] = f"its key would have more than {MAX_KEY} bytes"
            return
        if key != path:
            self.done.renamed.append(path)
        parts = list(self._contents.read(file))
        digest = hashlib.sha256()
        for part in parts:
            digest.update(part)
        self._target.put(key, parts, digest.hexdigest())
        self.done.files += 1
        self.done.size += file.size
        self.done.modes += file.mode != _USUAL
