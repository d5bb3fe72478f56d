"""A folder of session files as a Source, and folders of templates.

Nothing outside of a folder is read. Every entry is read, ignored by its name, or has a problem.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reconcile.adapters.sources.git import (
    IS_LINK,
    IS_MISSING,
    IS_SUBMODULE,
    find_missing_files,
    read_revision,
    refuse_missing_files,
    resolve_folder,
)
from reconcile.core.errors import SourceError
from reconcile.core.spec.layout import (
    REFUSED_NAME,
    REFUSED_TEMPLATE,
    FileRole,
    TemplateRole,
    classify_file,
    classify_template,
    is_documentation,
    is_hidden,
    is_lock,
    may_hide_sessions,
)
from reconcile.engine.ports import Tree, TreeFile
from reconcile.runtime.git import find_work_tree

MAX_FILE_BYTES: Final = 1 << 20
"""The maximum size of a session file or a template, which people write."""


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """The maximum size of one file, and of all files of a folder, in bytes."""

    file: int
    total: int

    def check_total(self, size: int, folder: str) -> None:
        """Raise a SourceError that names the folder if its files are larger."""
        if size > self.total:
            raise SourceError(
                f"{folder}: has more than {self.total >> 20} MiB of files: is it the right folder?"
            )


READ_LIMITS: Final = ReadLimits(file=MAX_FILE_BYTES, total=256 << 20)
"""The limits for the files of one folder."""

MAX_ENTRIES: Final = 250_000
"""The maximum number of files and folders in a folder."""


class DirectorySource:
    """Reads the session files below a folder; `classify_file` says which these are."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self) -> Tree:
        try:
            root = resolve_folder(self._root)
            folders = {entry.name for entry in os.scandir(root) if _is_namespace(entry)}
        except OSError as error:
            raise SourceError(
                f"{self._root}: {error.strerror}: name a folder of session files"
            ) from error
        submodules = _find_submodules(root)
        reader = _Reader(root)
        files = {path: reader.read(path, problem) for path, problem in _walk(root, submodules)}
        sorted_files = tuple(files[path] for path in _sort(files))
        folders.update(path for path in submodules if "/" not in path and not is_hidden(path))
        return Tree(read_revision(root), tuple(sorted(folders)), sorted_files)


def _is_namespace(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")


def _find_submodules(root: Path) -> dict[str, str]:
    """Find submodules, with their problem; SourceError if the work tree lacks files to read."""
    missing = find_missing_files(root)
    lacking = [path for path, problem in missing.items() if problem == IS_MISSING]
    refuse_missing_files(root, [path for path in lacking if _must_exist(path)])
    return {path: problem for path, problem in missing.items() if problem == IS_SUBMODULE}


def _must_exist(path: str) -> bool:
    return not is_ignored(path) and classify_file(path) is not FileRole.HIDDEN


def _sort(paths: Mapping[str, TreeFile]) -> list[str]:
    return sorted(paths, key=lambda path: path.split("/"))


def _walk(root: Path, submodules: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield each path that is not ignored, with why it cannot be read, or an empty text."""
    yield from (
        (path, problem)
        for path, problem in submodules.items()
        if not is_ignored(path, may_be_folder=True)
    )
    count, folders = 0, [""]
    while folders:
        folder = folders.pop()
        try:
            entries = list(os.scandir(root / folder))
        except OSError as error:
            yield from _report(folder, f"cannot be read: {error.strerror}")
            continue
        count += len(entries)
        _check_count(root, count)
        if folder and any(entry.name == ".git" for entry in entries):
            yield from _report(folder, IS_SUBMODULE)
            continue
        prefix = f"{folder}/" if folder else ""
        folders += (path for path in _list_folders(prefix, entries) if path not in submodules)
        yield from _list_files(prefix, entries)


def _report(folder: str, problem: str) -> Iterator[tuple[str, str]]:
    if not is_hidden(folder):
        yield folder, problem


def _list_folders(prefix: str, entries: Iterable[os.DirEntry[str]]) -> Iterator[str]:
    for entry in entries:
        path = f"{prefix}{entry.name}"
        is_walked = not path.startswith(".") or may_hide_sessions(path)
        if entry.is_dir(follow_symlinks=False) and is_walked:
            yield path


def _list_files(prefix: str, entries: Iterable[os.DirEntry[str]]) -> Iterator[tuple[str, str]]:
    for entry in entries:
        path = f"{prefix}{entry.name}"
        is_folder = entry.is_dir(follow_symlinks=False)
        is_link = entry.is_symlink()
        if not is_folder and not is_ignored(path, may_be_folder=is_link):
            yield path, "" if is_link else find_name_problem(path)


def is_ignored(path: str, *, may_be_folder: bool = False) -> bool:
    """Whether an entry is ignored by its name; at the top, a link may stand for a namespace."""
    if may_be_folder and is_lock(path):
        return True
    if classify_file(path) is not FileRole.IGNORED:
        return False
    return not may_be_folder or path.startswith(".") or "/" in path or is_documentation(path)


def find_name_problem(path: str) -> str:
    """Return why a file is not read because of its name, or an empty text."""
    return REFUSED_NAME if classify_file(path) is FileRole.REFUSED else ""


def _check_count(folder: Path, count: int) -> None:
    if count > MAX_ENTRIES:
        raise SourceError(
            f"{folder}: has more than {MAX_ENTRIES} files: is it the folder of session files?"
        )


@dataclass
class _Reader:
    """Reads the files of one folder; `root` is its real path."""

    root: Path
    size: int = 0

    def read(self, path: str, problem: str) -> TreeFile:
        """Read a file, unless there is a problem already."""
        if problem:
            return TreeFile(path, "", b"", problem)
        try:
            content = self.read_content(path)
        except OSError as error:
            return TreeFile(path, "", b"", f"cannot be read: {error.strerror}")
        except FileProblemError as error:
            return TreeFile(path, "", b"", str(error))
        return TreeFile(path, hashlib.sha256(content).hexdigest(), content)

    def read_content(self, path: str) -> bytes:
        """Read a file; FileProblemError and OSError say what is wrong, without its name."""
        target = self.root / path
        if target.is_symlink():
            target = self._follow_link(target)
        content = _read_regular_file(target)
        self.size += len(content)
        READ_LIMITS.check_total(self.size, self.root.as_posix())
        return content

    def _follow_link(self, link: Path) -> Path:
        """Follow a link outside of git that stays in the folder, as in a mounted ConfigMap."""
        if find_work_tree(self.root) is not None:
            raise FileProblemError(IS_LINK)
        try:
            target = link.resolve(strict=True)
        except RuntimeError as error:  # Python 3.11 and 3.12, for a loop of links
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from error
        if not target.is_relative_to(self.root):
            raise FileProblemError("is a link that leaves the tree: put the file itself here")
        if target.is_dir():
            raise FileProblemError("is a link to a folder, which is not followed: make it a folder")
        return target


class FileProblemError(Exception):
    """Why one file cannot be used; the others can."""


def _read_regular_file(path: Path) -> bytes:
    """Read a file without following a link at its end, and without waiting for a pipe."""
    _check_regular(os.lstat(path).st_mode)
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        _check_regular(os.fstat(descriptor).st_mode)
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise FileProblemError(too_large_message())
    return content


def _check_regular(mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise FileProblemError("is not a regular file: remove it")


def too_large_message() -> str:
    """Return the message for a file of more than `MAX_FILE_BYTES`."""
    return f"is larger than {MAX_FILE_BYTES >> 20} MiB: split it"


def read_templates(shipped: Path, *own: Path) -> dict[str, str]:
    """Read the templates of each folder, a later one replacing an earlier one of the same name.

    The folder that is shipped with the program is trusted. SourceError where an entry of another
    folder is neither ignored nor a template that can be read as text.
    """
    templates = _read_shipped(shipped)
    for folder in own:
        templates.update(_read_own(folder))
    return templates


def _read_shipped(folder: Path) -> dict[str, str]:
    try:
        paths = sorted(path for path in folder.iterdir() if path.name.endswith(".j2"))
        return {path.name: path.read_text("utf-8") for path in paths}
    except OSError as error:
        raise SourceError(f"{folder}: templates cannot be read: {error.strerror}") from error


def _read_own(folder: Path) -> dict[str, str]:
    try:
        root = resolve_folder(folder)
        names = [path.name for path in root.iterdir()]
    except OSError as error:
        raise SourceError(f"{folder}: templates cannot be read: {error.strerror}") from error
    _check_count(folder, len(names))
    missing = find_missing_files(root)
    lacking = {path.partition("/")[0]: problem for path, problem in missing.items()}
    wanted = select_templates(folder.as_posix(), {**dict.fromkeys(names, ""), **lacking})
    if not wanted:
        raise SourceError(f"{folder}: has no templates: name the folder that has `*.j2` files")
    reader = _Reader(root)
    return {name: _read_template(folder / name, reader) for name in wanted}


def select_templates(folder: str, entries: Mapping[str, str]) -> list[str]:
    """Return the names of the templates among the entries of a folder, in order.

    `entries` maps each name to why it cannot be read, or to an empty text. SourceError for an entry
    that cannot be read, or that may have been a template under another name.
    """
    roles = {name: classify_template(name) for name in sorted(entries)}
    for name, role in roles.items():
        problem = entries[name] or (REFUSED_TEMPLATE if role is TemplateRole.REFUSED else "")
        if problem and role is not TemplateRole.IGNORED:
            raise SourceError(f"{folder}/{name}: {problem}")
    return [name for name, role in roles.items() if role is TemplateRole.READ]


def _read_template(path: Path, reader: _Reader) -> str:
    try:
        path.name.encode()
        return reader.read_content(path.name).decode()
    except UnicodeError as error:
        raise SourceError(f"{path}: its name and its content must be UTF-8") from error
    except OSError as error:
        raise SourceError(f"{path}: the template cannot be read: {error.strerror}") from error
    except FileProblemError as error:
        raise SourceError(f"{path}: {error}") from error
