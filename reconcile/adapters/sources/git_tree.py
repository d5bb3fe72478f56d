"""A folder at a git commit as a Source: what `DirectorySource` would read after a checkout.

Three things differ. Git does not store empty folders. A submodule is empty. A link is never
followed out of the folder: one that leaves it and returns by an absolute path is a problem.
"""

import errno
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from reconcile.adapters.sources.directory import MAX_FILE_BYTES, YAML_SUFFIXES, too_large_message
from reconcile.adapters.sources.git import run_git
from reconcile.core.errors import SourceError
from reconcile.engine.ports import Source, Tree, TreeFile

_FOLDER_MODES: Final = {"040000", "160000"}
"""Folders, and submodules, which are empty as in a checkout that has not fetched them."""

_LINK_MODE: Final = "120000"
_MAX_LINKS: Final = 40
_LEAVES_TREE: Final = "is a link that leaves the tree: put the file itself here"


class GitTreeEntry(NamedTuple):
    """An entry of a tree: its mode as git writes it, and the id of its object."""

    mode: str
    id: str

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder or a submodule."""
        return self.mode in _FOLDER_MODES

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return self.mode == _LINK_MODE


_ROOT_ENTRY: Final = GitTreeEntry("040000", "")


@dataclass(frozen=True)
class GitFolder:
    """The folder `prefix` of the repository at `top`, at a commit; empty if it does not exist."""

    top: Path
    commit: str
    prefix: str
    _link_targets: dict[str, str] = field(default_factory=dict)

    @cached_property
    def entries(self) -> dict[str, GitTreeEntry]:
        """All entries below the folder, by their path relative to the folder."""
        tree = f"{self.commit}:{self.prefix}"
        kind = run_git(self.top, "cat-file", "-t", tree)
        if not kind.ok:
            return {}
        if kind.text != "tree":
            raise SourceError(f"{self.prefix} is not a folder at {self.commit}: name a folder")
        listed = run_git(self.top, "ls-tree", "-r", "-t", "-z", "--full-tree", tree)
        if not listed.ok:
            raise SourceError(f"{self.prefix} at {self.commit} cannot be listed: run `git fsck`")
        entries = dict(_parse_entries(listed.out))
        links = {entry.id for entry in entries.values() if entry.is_link}
        targets = self.read_blobs(links)
        self._link_targets.update({each: os.fsdecode(targets[each] or b"") for each in links})
        return entries

    def resolve(self, path: str) -> GitTreeEntry:
        """Follow links; SourceError says what is wrong, without the path."""
        root = [part for part in self.prefix.split("/") if part]
        at: list[str] = list(root)
        todo = path.split("/")[::-1]
        entry = _ROOT_ENTRY
        hops = 0
        while todo:
            if not entry.is_folder:
                raise _read_error(errno.ENOTDIR)
            _descend(at, todo.pop())
            entry = self._lookup(at, root)
            if entry.is_link:
                hops += 1
                if hops > _MAX_LINKS:
                    raise _read_error(errno.ELOOP)
                at.pop()
                todo.extend(_split_target(self._link_targets[entry.id]))
                entry = _ROOT_ENTRY
        if at[: len(root)] != root:
            raise SourceError(_LEAVES_TREE)
        return entry

    def read_blobs(self, ids: Iterable[str], limit: int = 1 << 20) -> dict[str, bytes | None]:
        """Read the content of blobs by id; None for a blob of more than `limit` bytes."""
        wanted = sorted(set(ids))
        if not wanted:
            return {}
        sizes = self._cat_file("--batch-check", wanted).splitlines()
        if len(sizes) != len(wanted) or any(not line.split()[-1].isdigit() for line in sizes):
            raise SourceError(
                f"this clone lacks some content of {self.commit}: get it with `git fetch --refetch`"
            )
        small = [
            each for each, line in zip(wanted, sizes, strict=True) if int(line.split()[-1]) <= limit
        ]
        contents = _parse_batch(self._cat_file("--batch", small)) if small else iter(())
        return {**dict.fromkeys(wanted), **dict(zip(small, contents, strict=True))}

    def _cat_file(self, mode: str, ids: list[str]) -> bytes:
        requested = "".join(f"{each}\n" for each in ids).encode()
        return run_git(self.top, "cat-file", mode, stdin=requested).out

    def _lookup(self, at: list[str], root: list[str]) -> GitTreeEntry:
        if at == root[: len(at)]:
            return _ROOT_ENTRY
        if at[: len(root)] != root:
            raise SourceError(_LEAVES_TREE)
        try:
            return self.entries["/".join(at[len(root) :])]
        except KeyError:
            raise _read_error(errno.ENOENT) from None


def _descend(at: list[str], part: str) -> None:
    if part == "..":
        if not at:
            raise SourceError(_LEAVES_TREE)
        at.pop()
    elif part not in {"", "."}:
        at.append(part)


def _split_target(text: str) -> list[str]:
    if text.startswith("/"):
        raise SourceError(_LEAVES_TREE)
    return text.split("/")[::-1]


def _read_error(code: int) -> SourceError:
    return SourceError(f"cannot be read: {os.strerror(code)}")


def _parse_entries(listed: bytes) -> Iterator[tuple[str, GitTreeEntry]]:
    for line in listed.split(b"\0")[:-1]:
        about, _, name = line.partition(b"\t")
        mode, _, blob = about.decode().split()
        yield os.fsdecode(name), GitTreeEntry(mode, blob)


def _parse_batch(batch: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(batch):
        end = batch.index(b"\n", at)
        size = int(batch[at:end].split()[-1])
        yield batch[end + 1 : end + 1 + size]
        at = end + size + 2


_SHA1_DIGITS: Final = 40
_TEMPLATE_SUFFIX: Final = ".j2"


@dataclass(frozen=True, slots=True)
class GitTreeSource:
    """Reads the YAML files below a folder at a commit; `known_files` are files in memory.

    A known file of the same path and content is not read again: the same object is returned.
    """

    folder: GitFolder
    known_files: Mapping[str, TreeFile] = field(default_factory=dict)

    def read(self) -> Tree:
        paths = [path for path in self.folder.entries if not _is_hidden(path)]
        folders = (path for path in paths if "/" not in path and self._is_folder(path))
        places = {path: self._resolve_blob(path) for path in sorted(paths, key=_split_path)}
        ids = {path: place for path, place in places.items() if isinstance(place, str)}
        missing = {blob for path, blob in ids.items() if not self._is_known(path, blob)}
        contents = self.folder.read_blobs(missing, MAX_FILE_BYTES)
        files = []
        for path, place in places.items():
            if isinstance(place, SourceError):
                files.append(TreeFile(path, "", b"", str(place)))
            elif place is not None:
                files.append(self._build_file(path, place, contents))
        return Tree(self.folder.commit, tuple(sorted(folders)), tuple(files))

    def _build_file(self, path: str, blob: str, contents: Mapping[str, bytes | None]) -> TreeFile:
        if blob not in contents:
            return self.known_files[path]
        content = contents[blob]
        if content is None:
            return TreeFile(path, "", b"", too_large_message())
        return TreeFile(path, hashlib.sha256(content).hexdigest(), content)

    def _resolve_blob(self, path: str) -> str | SourceError | None:
        """Return the id of the file's content, or its error, or None for an entry to ignore.

        Links to folders are not followed.
        """
        entry = self.folder.entries[path]
        if entry.is_folder:
            return None
        is_yaml = path.endswith(YAML_SUFFIXES)
        try:
            target = self.folder.resolve(path)
        except SourceError as error:
            return error if is_yaml else None
        if target.is_folder:
            return SourceError("is a link to a folder, which is not followed: make it a folder")
        return target.id if is_yaml else None

    def _is_folder(self, path: str) -> bool:
        try:
            return self.folder.resolve(path).is_folder
        except SourceError:
            return False

    def _is_known(self, path: str, blob: str) -> bool:
        file = self.known_files.get(path)
        return file is not None and not file.problem and blob_id(file.content, len(blob)) == blob


def blob_id(content: bytes, digits: int) -> str:
    """Return the id that git gives to content, in a repository whose ids have so many digits."""
    algorithm = "sha1" if digits == _SHA1_DIGITS else "sha256"
    digest = hashlib.new(algorithm, b"blob %d\0" % len(content), usedforsecurity=False)
    digest.update(content)
    return digest.hexdigest()


def read_templates_at(folder: GitFolder) -> dict[str, str]:
    """Read the templates of a folder at a commit; none if the folder does not exist.

    SourceError where a file is not text.
    """
    names = [name for name in folder.entries if "/" not in name and name.endswith(_TEMPLATE_SUFFIX)]
    ids = {name: folder.resolve(name).id for name in sorted(names)}
    contents = folder.read_blobs(ids.values())
    return {name: _decode_template(folder, name, contents[blob]) for name, blob in ids.items()}


def _decode_template(folder: GitFolder, name: str, content: bytes | None) -> str:
    path = Path(folder.prefix, name)
    if content is None:
        raise SourceError(f"{path} at {folder.commit}: {too_large_message()}")
    try:
        name.encode()
        return content.decode()
    except UnicodeError as error:
        where = f"{path} at {folder.commit}"
        raise SourceError(f"{where}: its name and its content must be UTF-8") from error


def files_by_path(files: Iterable[TreeFile]) -> dict[str, TreeFile]:
    """Map files by path, as `GitTreeSource.known_files` needs them."""
    return {file.path: file for file in files}


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") for part in path.split("/"))


def _split_path(path: str) -> list[str]:
    return path.split("/")


if TYPE_CHECKING:
    _conforms: type[Source] = GitTreeSource
