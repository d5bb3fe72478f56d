"""A generation as plain objects, one for each file; what that loses is counted and said.

The bytes of a generation's files, each checked by its digest, one file after the other.

A generation as a tar file in PAX form, which keeps every name, link, mode and nanosecond.

Takes a generation out, and tells what the new form cannot say.
"""

import hashlib
import io
import posixpath
import sys
import tarfile
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, assert_never

from msgspec import Struct, field

from reconcile.mirror.errors import DamagedError, SettingsError, WorkspaceError
from reconcile.mirror.history.generations import (
    read_generation_tree,
    read_object,
    select_generation,
)
from reconcile.mirror.model import (
    Directory,
    Entry,
    File,
    HardLink,
    LooseBlobs,
    Pack,
    PackedBlob,
    SnapshotTree,
    Symlink,
)
from reconcile.mirror.snapshot.encoding import encode_text, format_mtime
from reconcile.mirror.snapshot.keys import blob_key, pack_key
from reconcile.mirror.snapshot.pack import PackMember, extract_member, verify_pack
from reconcile.mirror.store.port import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_CACHED_PACKS: Final = 4
"""How many packs are kept in memory: files that follow each other mostly lie together."""


class ContentReader:
    """Reads files one after the other; not for several threads at once."""

    def __init__(self, store: Store, tree: SnapshotTree) -> None:
        self._store = store
        self._tree = tree
        self._packs: OrderedDict[int, bytes] = OrderedDict()

    def read(self, file: File) -> Iterator[bytes]:
        """Yield a file's bytes, at most 8 MiB at a time.

        Raises:
            DamagedError: An object is missing or altered; names it.
            StoreError: One could not be read.
        """
        match file.location:
            case PackedBlob(number, offset):
                yield extract_member(
                    self._get_pack(number), PackMember(file.blobs[0], offset, file.size)
                )
            case LooseBlobs():
                yield from map(self._read_blob, file.blobs)
            case _:
                assert_never(file.location)

    def _read_blob(self, digest: str) -> bytes:
        data = read_object(self._store, blob_key(digest))
        found = hashlib.sha256(data).hexdigest()
        if found != digest:
            raise DamagedError(f"{blob_key(digest)} was altered: it has the SHA-256 {found}")
        return data

    def _get_pack(self, number: int) -> bytes:
        if number in self._packs:
            self._packs.move_to_end(number)
            return self._packs[number]
        data = self._read_pack(self._tree.packs[number])
        self._packs[number] = data
        if len(self._packs) > _MAX_CACHED_PACKS:
            self._packs.popitem(last=False)
        return data

    def _read_pack(self, pack: Pack) -> bytes:
        data = read_object(self._store, pack_key(pack.digest))
        verify_pack(pack, data)
        return data


_LINK_MODE: Final = 0o777


def write_tar(tree: SnapshotTree, contents: ContentReader, out: IO[bytes]) -> int:
    """Write a tree to a stream that need not be seekable; returns the number of entries.

    Owners are not part of a snapshot: they are 0.

    Raises:
        DamagedError: An object is missing or altered; names it. What was written is no whole tar.
        StoreError: One could not be read.
        OSError: The stream does not take it.
    """
    with tarfile.open(
        fileobj=out,
        mode="w|",
        format=tarfile.PAX_FORMAT,
        encoding="utf-8",
        errors="surrogateescape",
    ) as archive:
        for entry in tree.entries.values():
            data = _JoinedStream(contents.read(entry)) if isinstance(entry, File) else None
            archive.addfile(_build_tar_info(entry, tree), data)
    return len(tree.entries)


def _build_tar_info(entry: Entry, tree: SnapshotTree) -> tarfile.TarInfo:
    info = tarfile.TarInfo(entry.path)
    match entry:
        case File(mode=mode, mtime=mtime, size=size):
            info.size, info.mode = size, mode
        case Directory(mode=mode, mtime=mtime):
            info.type, info.mode = tarfile.DIRTYPE, mode
        case Symlink(target=target, mtime=mtime):
            info.type, info.mode, info.linkname = tarfile.SYMTYPE, _LINK_MODE, target
        case HardLink(target=target):
            file = tree.entries[target]
            assert isinstance(file, File)
            info.type, info.mode, info.linkname = tarfile.LNKTYPE, file.mode, target
            mtime = file.mtime
        case _:
            assert_never(entry)
    info.pax_headers = {"mtime": format_mtime(mtime)}
    return info


class _JoinedStream(io.RawIOBase):
    """Pieces as one stream, without ever holding more than one of them."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        super().__init__()
        self._parts = parts
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        """Return exactly so many bytes, as tarfile asks for them."""
        found = bytearray()
        while len(found) < size:
            if not self._rest:
                self._rest = next(self._parts, b"")
                if not self._rest:
                    raise DamagedError("a file is shorter than its manifest says")
            wanted = size - len(found)
            found += self._rest[:wanted]
            self._rest = self._rest[wanted:]
        return bytes(found)


MAX_OBJECT_SIZE = 1 << 30
"""Bytes of the largest file that becomes one object: it is put in one request, from memory."""

MAX_KEY_SIZE = 1024
"""Bytes of the longest key that S3 takes, the prefix included."""


_DEFAULT_MODE = 0o644


class ExportResult(Struct):
    """What was written, and what an object cannot say.

    Attributes:
        files: Objects that were written.
        size: Their bytes.
        copied_hard_links: Hard links that became objects of their own.
        skipped_symlinks: Symbolic links that are left out, by path, with their target.
        empty_directories: Empty directories, which are left out.
        renamed: Paths whose key is another text, since they are no plain UTF-8.
        refused: Files that are left out, by path, with the reason.
        lost_modes: Files whose mode is more than 0644 says.
    """

    files: int = 0
    size: int = 0
    copied_hard_links: int = 0
    skipped_symlinks: dict[str, str] = field(default_factory=dict)
    empty_directories: list[str] = field(default_factory=list)
    renamed: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    lost_modes: int = 0


class ObjectExporter:
    """Writes the files of one tree below a prefix that nobody else uses."""

    def __init__(self, target: Store, tree: SnapshotTree, contents: ContentReader) -> None:
        self._target = target
        self._tree = tree
        self._contents = contents
        self._parents = {posixpath.dirname(path) for path in tree.entries}
        self.result = ExportResult()

    def run(self) -> ExportResult:
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
        return self.result

    def _write(self, entry: Entry) -> None:
        match entry:
            case File():
                self._put_file(entry.path, entry)
            case HardLink(path, target):
                file = self._tree.entries[target]
                assert isinstance(file, File)
                self.result.copied_hard_links += 1
                self._put_file(path, file)
            case Symlink(path, target):
                self.result.skipped_symlinks[path] = target
            case Directory(path):
                if path not in self._parents:
                    self.result.empty_directories.append(path)
            case _:
                assert_never(entry)

    def _put_file(self, path: str, file: File) -> None:
        key = encode_text(path)
        if file.size > MAX_OBJECT_SIZE:
            self.result.refused[path] = f"it has more than {MAX_OBJECT_SIZE} bytes"
            return
        if len(key.encode()) > MAX_KEY_SIZE:
            self.result.refused[path] = f"its key would have more than {MAX_KEY_SIZE} bytes"
            return
        if key != path:
            self.result.renamed.append(path)
        parts = list(self._contents.read(file))
        digest = hashlib.sha256()
        for part in parts:
            digest.update(part)
        self._target.put(key, parts, digest.hexdigest())
        self.result.files += 1
        self.result.size += file.size
        self.result.lost_modes += file.mode != _DEFAULT_MODE


STDOUT = "-"


def export_tar(store: Store, at: str, target: str) -> str:
    """Write the generation that `at` means to a file, or to standard output; says what was done.

    Raises:
        WorkspaceError: The file cannot be written; there is none then.
        SettingsError, DamagedError, StoreError: As `choose`, and where bytes cannot be read.
    """
    generation = select_generation(store, at)
    tree = read_generation_tree(store, generation)
    with _open_output(target) as out:
        count = write_tar(tree, ContentReader(store, tree), out)
    return f"generation {generation.number}: {count} entries"


def export_objects(store: Store, at: str, target: Store) -> ExportResult:
    """Write the generation that `at` means as plain objects; raises as `PlainExport.run`."""
    tree = read_generation_tree(store, select_generation(store, at))
    return ObjectExporter(target, tree, ContentReader(store, tree)).run()


def format_export_result(result: ExportResult) -> Iterable[str]:
    """Yield what was written, and what is lost."""
    yield f"{result.files} objects, {result.size} bytes"
    yield "lost: the times of all files, and the modes and times of all directories"
    if result.lost_modes:
        yield f"lost: the modes of {result.lost_modes} files that are not 0644"
    if result.copied_hard_links:
        yield f"lost: that {result.copied_hard_links} objects are hard links of others"
    for path in result.empty_directories:
        yield f"lost: the empty directory {encode_text(path)}"
    for path, target in result.skipped_symlinks.items():
        yield f"lost: the symbolic link {encode_text(path)} -> {encode_text(target)}"
    for path in result.renamed:
        yield f"renamed: the key of {encode_text(path)!r} is that text as it stands here"
    for path, reason in result.refused.items():
        yield f"not exported: {encode_text(path)}: {reason}"


@contextmanager
def _open_output(target: str) -> "Iterator[IO[bytes]]":
    """Open what is written to; a file gets its name only when it is whole."""
    try:
        if target == STDOUT:
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
            return
        path = Path(target)
        unfinished = path.with_name(f"{path.name}.unfinished")
        try:
            with unfinished.open("wb") as out:
                yield out
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise WorkspaceError(f"{target} cannot be written: {error.strerror or error}") from None
