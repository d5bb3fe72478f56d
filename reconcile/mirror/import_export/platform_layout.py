"""Which object of an old prefix becomes which file. Pure: keys are somebody else's text.

The platform kept `.claude/`, `artifacts/` and `file-uploads/` with one object for each file, and
what `git` had of each repository in `repo-state/<repository>/`.

Brings the objects of an old prefix into a directory, as files.
"""

import os
import posixpath
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from msgspec import Struct

from reconcile.mirror.errors import MissingObjectError, WorkspaceError
from reconcile.mirror.snapshot.encoding import MAX_NAME, check_path
from reconcile.mirror.store.port import ListedObject, Store

REPO_STATE: Final = "repo-state"
CONFLICT_SUFFIX: Final = "~file"
"""What is put behind the name of a file where a directory has the same one."""


class ObjectMapping(Struct, frozen=True):
    """An object and the path that it gets."""

    listed: ListedObject
    path: str


class ImportLayout(Struct, frozen=True):
    """What is to be made of all objects.

    Attributes:
        files: In the order of paths; no path is a directory of another.
        directories: Those that objects stand for whose key ends with a slash.
        refused: Keys that cannot be a path, with the reason.
        renamed: Keys whose file got another name, since a directory has the same, with that name.
    """

    files: tuple[ObjectMapping, ...]
    directories: tuple[str, ...]
    refused: dict[str, str]
    renamed: dict[str, str]


def plan_import_layout(objects: Iterable[ListedObject]) -> ImportLayout:
    """Say what becomes of each object."""
    good: dict[str, ListedObject] = {}
    directories: set[str] = set()
    refused: dict[str, str] = {}
    for listed in objects:
        is_marker = listed.key.endswith("/") and not listed.size
        path = listed.key.removesuffix("/") if is_marker else listed.key
        try:
            _check_key(path)
        except ValueError as error:
            refused[listed.key] = str(error)
            continue
        if is_marker:
            directories.add(path)
        else:
            good[path] = listed
    parents = {
        above for path in (*good, *directories) for above in _list_parents(path)
    } | directories
    return _resolve_conflicts(good, parents, directories, refused)


def _resolve_conflicts(
    candidates: dict[str, ListedObject],
    parents: set[str],
    directories: set[str],
    refused: dict[str, str],
) -> ImportLayout:
    renamed: dict[str, str] = {}
    files: list[ObjectMapping] = []
    for path, listed in candidates.items():
        name = path
        while name in parents or (name != path and name in candidates):
            name += CONFLICT_SUFFIX
        if len(posixpath.basename(name).encode()) > MAX_NAME:
            refused[listed.key] = "a directory has the same name, and there is no room for another"
            continue
        if name != path:
            renamed[listed.key] = name
        files.append(ObjectMapping(listed, name))
    files.sort(key=lambda placed: placed.path)
    return ImportLayout(tuple(files), tuple(sorted(directories)), refused, renamed)


def _check_key(path: str) -> None:
    check_path(path)
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ValueError("is no text") from None


def _list_parents(path: str) -> Iterable[str]:
    above = posixpath.dirname(path)
    while above:
        yield above
        above = posixpath.dirname(above)


def list_repositories(paths: Iterable[str]) -> list[str]:
    """Return the names of repositories whose state is among these paths."""
    found = {
        parts[1] for path in paths if (parts := path.split("/"))[0] == REPO_STATE and parts[2:]
    }
    return sorted(found)


_CHUNK: Final = 8 << 20
_CREATE_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class FetchResult(Struct, frozen=True):
    """What was brought; `vanished` are keys that were listed and are gone."""

    layout: ImportLayout
    vanished: tuple[str, ...]


def fetch_objects(source: Store, root: Path) -> FetchResult:
    """Write one file for each object below the empty directory `root`.

    Files get the time at which the object was written: the store knows no other.

    Raises:
        StoreError: Something could not be read.
        WorkspaceError: The directory does not take it.
    """
    layout = plan_import_layout(source.list(""))
    try:
        for path in layout.directories:
            (root / path).mkdir(parents=True, exist_ok=True)
        vanished = [
            placed.listed.key for placed in layout.files if not _fetch_file(source, root, placed)
        ]
    except OSError as error:
        raise WorkspaceError(f"{root} cannot be written: {error.strerror}") from None
    return FetchResult(layout, tuple(vanished))


def _fetch_file(source: Store, root: Path, mapping: ObjectMapping) -> bool:
    """Write one file; False if its object is gone."""
    target, listed = root / mapping.path, mapping.listed
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(target, _CREATE_FLAGS, 0o644)
    try:
        for offset in range(0, listed.size, _CHUNK):
            size = min(_CHUNK, listed.size - offset)
            _write_all(descriptor, source.get_range(listed.key, offset, size))
        os.utime(descriptor, (listed.modified, listed.modified))
    except MissingObjectError:
        target.unlink()
        return False
    finally:
        os.close(descriptor)
    return True


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
