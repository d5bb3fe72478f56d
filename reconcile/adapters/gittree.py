"""A folder as a commit has it, as a Source: what `DirectorySource` would read after a checkout.

Three things differ. Git keeps no empty folders. A submodule is empty here. A link whose target is
outside of the folder is never followed, so that one that leads out and in again by an absolute
path has a problem here.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconcile.adapters.sources.directory import MAX_FILE_BYTES, SUFFIXES, too_large
from reconcile.adapters.sources.git_tree import GitFolder
from reconcile.core.errors import SourceError
from reconcile.engine.ports import Source, Tree, TreeFile

_SHA1_DIGITS: Final = 40
_TEMPLATE: Final = ".j2"


@dataclass(frozen=True, slots=True)
class GitTreeSource:
    """Reads the YAML files below a folder at a commit; `known` are files that are at hand.

    A known file of the same path and content is not read again: it is that very value.
    """

    folder: GitFolder
    known: Mapping[str, TreeFile] = field(default_factory=dict)

    def read(self) -> Tree:
        paths = [path for path in self.folder.entries if not _is_hidden(path)]
        folders = (path for path in paths if "/" not in path and self._is_folder(path))
        places = {path: self._place(path) for path in sorted(paths, key=_parts)}
        ids = {path: place for path, place in places.items() if isinstance(place, str)}
        missing = {blob for path, blob in ids.items() if not self._is_known(path, blob)}
        contents = self.folder.read(missing, MAX_FILE_BYTES)
        files = []
        for path, place in places.items():
            if isinstance(place, SourceError):
                files.append(TreeFile(path, "", b"", str(place)))
            elif place is not None:
                files.append(self._file(path, place, contents))
        return Tree(self.folder.commit, tuple(sorted(folders)), tuple(files))

    def _file(self, path: str, blob: str, contents: Mapping[str, bytes | None]) -> TreeFile:
        if blob not in contents:
            return self.known[path]
        content = contents[blob]
        if content is None:
            return TreeFile(path, "", b"", too_large())
        return TreeFile(path, hashlib.sha256(content).hexdigest(), content)

    def _place(self, path: str) -> str | SourceError | None:
        """The id of the file's content, what is wrong with it, or None for what is not looked at.

        Links to folders are not followed, whatever their name.
        """
        entry = self.folder.entries[path]
        if entry.is_folder:
            return None
        is_yaml = path.endswith(SUFFIXES)
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
        file = self.known.get(path)
        return file is not None and not file.problem and blob_id(file.content, len(blob)) == blob


def blob_id(content: bytes, digits: int) -> str:
    """Name content as git does, in a repository whose ids have so many digits."""
    algorithm = "sha1" if digits == _SHA1_DIGITS else "sha256"
    made = hashlib.new(algorithm, b"blob %d\0" % len(content), usedforsecurity=False)
    made.update(content)
    return made.hexdigest()


def templates_at(folder: GitFolder) -> dict[str, str]:
    """Read the templates of a folder at a commit; none where the folder is not there.

    SourceError where a file is not text.
    """
    names = [name for name in folder.entries if "/" not in name and name.endswith(_TEMPLATE)]
    ids = {name: folder.resolve(name).id for name in sorted(names)}
    contents = folder.read(ids.values())
    return {name: _text(folder, name, contents[blob]) for name, blob in ids.items()}


def _text(folder: GitFolder, name: str, content: bytes | None) -> str:
    path = Path(folder.prefix, name)
    if content is None:
        raise SourceError(f"{path} at {folder.commit}: {too_large()}")
    try:
        name.encode()
        return content.decode()
    except UnicodeError as error:
        where = f"{path} at {folder.commit}"
        raise SourceError(f"{where}: its name and its content must be UTF-8") from error


def files_by_path(files: Iterable[TreeFile]) -> dict[str, TreeFile]:
    """What a tree holds, as `known` takes it."""
    return {file.path: file for file in files}


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") for part in path.split("/"))


def _parts(path: str) -> list[str]:
    return path.split("/")


if TYPE_CHECKING:
    _conforms: type[Source] = GitTreeSource
