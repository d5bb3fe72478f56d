"""Which object of an old prefix becomes which file. Pure: keys are somebody else's text.

The platform kept `.claude/`, `artifacts/` and `file-uploads/` with one object for each file, and
what `git` had of each repository in `repo-state/<repository>/`.
"""

import posixpath
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from reconcile.mirror.snapshot.encoding import MAX_NAME, check_path
from reconcile.mirror.store.port import Listed

REPO_STATE: Final = "repo-state"
BESIDE: Final = "~file"
"""What is put behind the name of a file where a directory has the same one."""


class Placed(Struct, frozen=True):
    """An object and the path that it gets."""

    listed: Listed
    path: str


class Layout(Struct, frozen=True):
    """What is to be made of all objects.

    Attributes:
        files: In the order of paths; no path is a directory of another.
        directories: Those that objects stand for whose key ends with a slash.
        refused: Keys that cannot be a path, with the reason.
        renamed: Keys whose file got another name, since a directory has the same, with that name.
    """

    files: tuple[Placed, ...]
    directories: tuple[str, ...]
    refused: dict[str, str]
    renamed: dict[str, str]


def lay_out(objects: Iterable[Listed]) -> Layout:
    """Say what becomes of each object."""
    good: dict[str, Listed] = {}
    directories: set[str] = set()
    refused: dict[str, str] = {}
    for listed in objects:
        is_marker = listed.key.endswith("/") and not listed.size
        path = listed.key.removesuffix("/") if is_marker else listed.key
        try:
            _check(path)
        except ValueError as error:
            refused[listed.key] = str(error)
            continue
        if is_marker:
            directories.add(path)
        else:
            good[path] = listed
    parents = {above for path in (*good, *directories) for above in _above(path)} | directories
    return _resolve(good, parents, directories, refused)


def _resolve(
    good: dict[str, Listed], parents: set[str], directories: set[str], refused: dict[str, str]
) -> Layout:
    renamed: dict[str, str] = {}
    files: list[Placed] = []
    for path, listed in good.items():
        name = path
        while name in parents or (name != path and name in good):
            name += BESIDE
        if len(posixpath.basename(name).encode()) > MAX_NAME:
            refused[listed.key] = "a directory has the same name, and there is no room for another"
            continue
        if name != path:
            renamed[listed.key] = name
        files.append(Placed(listed, name))
    files.sort(key=lambda placed: placed.path)
    return Layout(tuple(files), tuple(sorted(directories)), refused, renamed)


def _check(path: str) -> None:
    check_path(path)
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ValueError("is no text") from None


def _above(path: str) -> Iterable[str]:
    above = posixpath.dirname(path)
    while above:
        yield above
        above = posixpath.dirname(above)


def repositories(paths: Iterable[str]) -> list[str]:
    """Return the names of repositories whose state is among these paths."""
    found = {
        parts[1] for path in paths if (parts := path.split("/"))[0] == REPO_STATE and parts[2:]
    }
    return sorted(found)
