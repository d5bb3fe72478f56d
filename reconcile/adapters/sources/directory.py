"""A folder of session files as a Source; nothing outside of the folder is read."""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from reconcile.adapters.sources.git import read_revision
from reconcile.core.errors import SourceError
from reconcile.engine.ports import Tree, TreeFile

MAX_FILE_BYTES = 1 << 20
"""The maximum size of a session file, which people write."""

YAML_SUFFIXES = (".yaml", ".yml")
"""The suffixes of the files that are read."""


class DirectorySource:
    """Reads the YAML files below a folder, except names that begin with a dot."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self) -> Tree:
        try:
            root = self._root.resolve(strict=True)
            folders = tuple(sorted(_list_folders(root)))
        except OSError as error:
            raise SourceError(
                f"{self._root}: {error.strerror}: name a folder of session files"
            ) from error
        files = tuple(_read_tree_file(root, path) for path in sorted(_walk(root)))
        return Tree(read_revision(root), folders, files)


def _list_folders(root: Path) -> Iterator[str]:
    for entry in os.scandir(root):
        if entry.is_dir() and not entry.name.startswith("."):
            yield entry.name


def _walk(root: Path) -> Iterator[Path]:
    """Yield the files to read, and unreadable folders, which become problems."""
    folders = [root]
    while folders:
        folder = folders.pop()
        try:
            entries = [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]
        except OSError:
            yield folder
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders.append(Path(entry.path))
            elif entry.name.endswith(YAML_SUFFIXES) or entry.is_dir():
                yield Path(entry.path)


def _read_tree_file(root: Path, path: Path) -> TreeFile:
    name = path.relative_to(root).as_posix()
    try:
        content = _read_content(root, path)
    except OSError as error:
        return TreeFile(name, "", b"", f"cannot be read: {error.strerror}")
    except SourceError as error:
        return TreeFile(name, "", b"", str(error))
    return TreeFile(name, hashlib.sha256(content).hexdigest(), content)


def _read_content(root: Path, path: Path) -> bytes:
    """Read a file; SourceError says what is wrong, without the name of the file."""
    try:
        target = path.resolve(strict=True)
    except RuntimeError as error:  # Python 3.11 and 3.12, for a loop of links
        raise SourceError(f"cannot be read: {os.strerror(errno.ELOOP)}") from error
    if not target.is_relative_to(root):
        raise SourceError("is a link that leaves the tree: put the file itself here")
    mode = target.stat().st_mode
    if stat.S_ISDIR(mode):
        if path.is_symlink():
            raise SourceError("is a link to a folder, which is not followed: make it a folder")
        os.scandir(target).close()
    if not stat.S_ISREG(mode):
        raise SourceError("is not a regular file: remove it")
    with target.open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise SourceError(too_large_message())
    return content


def too_large_message() -> str:
    """Return the message for a file of more than `MAX_FILE_BYTES`."""
    return f"is larger than {MAX_FILE_BYTES >> 20} MiB: split it"


def read_templates(*folders: Path) -> dict[str, str]:
    """Read the templates of each folder, a later one replacing an earlier one of the same name.

    SourceError where a folder or a file cannot be read as text.
    """
    templates = {}
    for folder in folders:
        try:
            paths = sorted(path for path in folder.iterdir() if path.name.endswith(".j2"))
        except OSError as error:
            raise SourceError(f"{folder}: templates cannot be read: {error.strerror}") from error
        templates.update({path.name: _read_template(path) for path in paths})
    return templates


def _read_template(path: Path) -> str:
    try:
        path.name.encode()
        return path.read_text(encoding="utf-8")
    except UnicodeError as error:
        raise SourceError(f"{path}: its name and its content must be UTF-8") from error
    except OSError as error:
        raise SourceError(f"{path}: the template cannot be read: {error.strerror}") from error
