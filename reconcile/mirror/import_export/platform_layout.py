"""The platform's own layout of a workspace in S3: plans the file of each object, and fetches it.

The platform stored `.claude/`, `artifacts/` and `file-uploads/` with one object for each file, and
git data of each repository in `repo-state/<repository>/`. Keys are untrusted: a key that is not a
path below the root is refused.
"""

import os
import posixpath
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Final

from msgspec import Struct

from reconcile.mirror.errors import MissingObjectError, WorkspaceError
from reconcile.mirror.snapshot.encoding import MAX_NAME, check_path
from reconcile.mirror.store.port import ListedObject, Store

REPO_STATE: Final = "repo-state"
CONFLICT_SUFFIX: Final = "~file"
"""The suffix of a file's new name if a directory has the same name."""


class ObjectMapping(Struct, frozen=True):
    """An object and the path of its file."""

    listed: ListedObject
    path: str


class ImportLayout(Struct, frozen=True):
    """The files and directories that an import creates.

    Attributes:
        files: In the order of paths; no path is a parent of another.
        directories: The paths of empty objects whose key ends with a slash.
        refused: The reasons why keys cannot be a path, by key.
        renamed: The new paths of files whose name is also that of a directory, by key.
    """

    files: tuple[ObjectMapping, ...]
    directories: tuple[str, ...]
    refused: dict[str, str]
    renamed: dict[str, str]


def plan_import_layout(objects: Iterable[ListedObject]) -> ImportLayout:
    """Plan the path of each object."""
    candidates: dict[str, ListedObject] = {}
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
            candidates[path] = listed
    parents = {
        parent for path in (*candidates, *directories) for parent in _list_parents(path)
    } | directories
    return _resolve_conflicts(candidates, parents, directories, refused)


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
            refused[listed.key] = "a directory has the same name, and another would be too long"
            continue
        if name != path:
            renamed[listed.key] = name
        files.append(ObjectMapping(listed, name))
    files.sort(key=lambda mapping: mapping.path)
    return ImportLayout(tuple(files), tuple(sorted(directories)), refused, renamed)


def _check_key(path: str) -> None:
    check_path(path)
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ValueError("is not valid UTF-8") from None


def _list_parents(path: str) -> Iterable[str]:
    parent = posixpath.dirname(path)
    while parent:
        yield parent
        parent = posixpath.dirname(parent)


def list_repositories(paths: Iterable[str]) -> list[str]:
    """Return the names of repositories whose state is among these paths."""
    return sorted(
        {parts[1] for path in paths if (parts := path.split("/"))[0] == REPO_STATE and parts[2:]}
    )


_CHUNK: Final = 8 << 20
_CREATE_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class FetchResult(Struct, frozen=True):
    """What was fetched; `vanished` are keys that were deleted after they were listed."""

    layout: ImportLayout
    vanished: tuple[str, ...]


def fetch_objects(source: Store, root: Path) -> FetchResult:
    """Write one file for each object below the empty directory `root`.

    Files get the time at which the object was written; the store has no other time.

    Raises:
        StoreError: An object could not be listed or read.
        WorkspaceError: A file or directory cannot be written.
    """
    layout = plan_import_layout(source.list(""))
    try:
        for path in layout.directories:
            (root / path).mkdir(parents=True, exist_ok=True)
        vanished = [
            mapping.listed.key for mapping in layout.files if not _fetch_file(source, root, mapping)
        ]
    except OSError as error:
        raise WorkspaceError(f"{root} cannot be written: {error.strerror}") from None
    return FetchResult(layout, tuple(vanished))


def _fetch_file(source: Store, root: Path, mapping: ObjectMapping) -> bool:
    """Write one file; False if its object was deleted."""
    target, listed = root / mapping.path, mapping.listed
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(target, _CREATE_FLAGS, 0o644)
    try:
        for offset in range(0, listed.size, _CHUNK):
            size = min(_CHUNK, listed.size - offset)
            read = partial(source.get_range, listed.key, offset, size)
            _write_all(descriptor, source.retry(read))
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
