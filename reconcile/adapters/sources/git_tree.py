"""A folder at a git commit as a Source: what `DirectorySource` would read after a checkout.

Two things differ: git does not store empty folders, and links are never followed.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from reconcile.adapters.sources.directory import (
    MAX_ENTRIES,
    READ_LIMITS,
    find_name_problem,
    is_ignored,
    select_templates,
    too_large_message,
)
from reconcile.adapters.sources.git import IS_LINK, IS_SUBMODULE, run_git
from reconcile.core.errors import SourceError
from reconcile.core.spec.layout import REFUSED_TEMPLATE
from reconcile.engine.ports import Source, Tree, TreeFile

_FOLDER_MODE: Final = "040000"
_PROBLEMS: Final = {"120000": IS_LINK, "160000": IS_SUBMODULE}


class GitTreeEntry(NamedTuple):
    """An entry of a tree: its mode as git writes it, and the id of its object."""

    mode: str
    id: str

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.mode == _FOLDER_MODE

    @property
    def problem(self) -> str:
        """Why an entry of this mode is not read; empty for a file."""
        return _PROBLEMS.get(self.mode, "")


@dataclass(frozen=True)
class GitFolder:
    """The folder `prefix` of the repository at `top`, at a commit; empty if it does not exist."""

    top: Path
    commit: str
    prefix: str

    @cached_property
    def entries(self) -> dict[str, GitTreeEntry]:
        """All entries below the folder, by their path relative to the folder."""
        if not self._exists():
            return {}
        entries = self._list("-r", "-t", f"{self.commit}:{self.prefix}")
        if len(entries) > MAX_ENTRIES:
            raise SourceError(f"{self.prefix} at {self.commit} has more than {MAX_ENTRIES} files")
        return entries

    def _exists(self) -> bool:
        """Whether the folder exists; SourceError if the way to it is not one of folders."""
        parts = self.prefix.split("/") if self.prefix else []
        paths = ["/".join(parts[: end + 1]) for end in range(len(parts))]
        listed = self._list(self.commit, "--", *paths) if paths else {}
        for path, entry in listed.items():
            if not entry.is_folder:
                problem = entry.problem or "is not a folder: name a folder"
                raise SourceError(f"{path} at {self.commit}: {problem}")
        return self.prefix in listed or not paths

    def _list(self, *arguments: str) -> dict[str, GitTreeEntry]:
        listed = run_git(self.top, "ls-tree", "-z", "--full-tree", *arguments)
        if not listed.ok:
            raise SourceError(
                f"{self.prefix} at {self.commit} cannot be listed: this clone lacks some content; "
                "get it with `git fetch --refetch`, or run `git fsck`"
            )
        return dict(_parse_entries(listed.out))

    def read_blobs(self, ids: Iterable[str]) -> dict[str, bytes | None]:
        """Read the content of blobs by id; None for a blob that is too large."""
        wanted = sorted(set(ids))
        if not wanted:
            return {}
        sizes = [line.split()[-1] for line in self._cat_file("--batch-check", wanted).splitlines()]
        if len(sizes) != len(wanted) or not all(size.isdigit() for size in sizes):
            raise SourceError(
                f"this clone lacks some content of {self.commit}: get it with `git fetch --refetch`"
            )
        known = {each: int(size) for each, size in zip(wanted, sizes, strict=True)}
        small = {each: size for each, size in known.items() if size <= READ_LIMITS.file}
        READ_LIMITS.check_total(sum(small.values()), f"{self.prefix or '.'} at {self.commit}")
        contents = _parse_batch(self._cat_file("--batch", list(small))) if small else iter(())
        return {**dict.fromkeys(wanted), **dict(zip(small, contents, strict=True))}

    def _cat_file(self, mode: str, ids: list[str]) -> bytes:
        requested = "".join(f"{each}\n" for each in ids).encode()
        return run_git(self.top, "cat-file", mode, stdin=requested).out


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


@dataclass(frozen=True, slots=True)
class GitTreeSource:
    """Reads the session files below a folder at a commit; `known_files` are files in memory.

    A known file of the same path and content is not read again: the same object is returned.
    """

    folder: GitFolder
    known_files: Mapping[str, TreeFile] = field(default_factory=dict)

    def read(self) -> Tree:
        entries = self.folder.entries
        folders = (path for path, entry in entries.items() if _is_namespace(path, entry))
        paths = [path for path, entry in entries.items() if _is_wanted(path, entry)]
        problems = {path: entries[path].problem or find_name_problem(path) for path in paths}
        ids = {path: entries[path].id for path in paths if not problems[path]}
        missing = {blob for path, blob in ids.items() if not self._is_known(path, blob)}
        contents = self.folder.read_blobs(missing)
        files = []
        for path in sorted(paths, key=_split_path):
            if problems[path]:
                files.append(TreeFile(path, "", b"", problems[path]))
            else:
                files.append(self._build_file(path, ids[path], contents))
        return Tree(self.folder.commit, tuple(sorted(folders)), tuple(files))

    def _build_file(self, path: str, blob: str, contents: Mapping[str, bytes | None]) -> TreeFile:
        if blob not in contents:
            return self.known_files[path]
        content = contents[blob]
        if content is None:
            return TreeFile(path, "", b"", too_large_message())
        return TreeFile(path, hashlib.sha256(content).hexdigest(), content)

    def _is_known(self, path: str, blob: str) -> bool:
        file = self.known_files.get(path)
        return file is not None and not file.problem and blob_id(file.content, len(blob)) == blob


def _is_namespace(path: str, entry: GitTreeEntry) -> bool:
    is_folder = entry.is_folder or entry.problem == IS_SUBMODULE
    return is_folder and "/" not in path and not path.startswith(".")


def _is_wanted(path: str, entry: GitTreeEntry) -> bool:
    return not entry.is_folder and not is_ignored(path, may_be_folder=bool(entry.problem))


def blob_id(content: bytes, digits: int) -> str:
    """Return the id that git gives to content, in a repository whose ids have so many digits."""
    algorithm = "sha1" if digits == _SHA1_DIGITS else "sha256"
    digest = hashlib.new(algorithm, b"blob %d\0" % len(content), usedforsecurity=False)
    digest.update(content)
    return digest.hexdigest()


def read_templates_at(folder: GitFolder) -> dict[str, str]:
    """Read the templates of a folder at a commit; none if the folder does not exist.

    SourceError as `read_templates` raises it for a checkout of the commit.
    """
    entries = {name: entry for name, entry in folder.entries.items() if "/" not in name}
    problems = {
        name: REFUSED_TEMPLATE if entry.is_folder else entry.problem
        for name, entry in entries.items()
    }
    names = select_templates(f"{folder.prefix} at {folder.commit}", problems)
    ids = {name: entries[name].id for name in names}
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


def _split_path(path: str) -> list[str]:
    return path.split("/")


if TYPE_CHECKING:
    _conforms: type[Source] = GitTreeSource
