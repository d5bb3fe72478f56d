"""Exports a generation as a tar file, or as plain objects, one for each file.

A tar file in PAX format keeps every name, link, mode and nanosecond. Plain objects do not: what
they cannot represent is counted and reported. Every byte is checked by the digest of its blob.
"""

import hashlib
import io
import posixpath
import secrets
import stat
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
    read_range,
    select_generation,
)
from reconcile.mirror.history.verify import check_blob
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
from reconcile.mirror.snapshot.entries import iter_loose_blobs
from reconcile.mirror.snapshot.keys import CHUNK, blob_key, pack_key
from reconcile.mirror.snapshot.pack import (
    TAR_BLOCK,
    PackMember,
    extract_member,
    member_padding,
    verify_pack,
)
from reconcile.mirror.store.port import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_CACHED_PACKS: Final = 4
"""How many packs are cached: consecutive files are mostly in the same pack."""


class ContentReader:
    """Reads the content of files; not thread-safe."""

    def __init__(self, store: Store, tree: SnapshotTree) -> None:
        self._store = store
        self._tree = tree
        self._packs: OrderedDict[int, bytes] = OrderedDict()
        self._dropped: set[int] = set()

    def read(self, file: File) -> Iterator[bytes]:
        """Yield a file's bytes, at most 8 MiB at a time.

        Raises:
            DamagedError: An object is missing or altered; names it.
            StoreError: One could not be read.
        """
        match file.location:
            case PackedBlob(number, offset):
                yield self._read_member(
                    self._tree.packs[number], PackMember(file.blobs[0], offset, file.size)
                )
            case LooseBlobs():
                for digest, part in iter_loose_blobs(file):
                    yield self._read_blob(digest, len(part))
            case _:
                assert_never(file.location)

    def _read_member(self, pack: Pack, member: PackMember) -> bytes:
        """Read a blob; a pack that was dropped from the cache is not read as a whole again."""
        if pack.number not in self._packs and pack.number in self._dropped:
            start = member.offset - TAR_BLOCK
            size = TAR_BLOCK + member.size + len(member_padding(member.size))
            data = read_range(self._store, pack_key(pack.digest), start, size)
            return extract_member(data, PackMember(member.digest, TAR_BLOCK, member.size))
        return extract_member(self._get_pack(pack), member)

    def _read_blob(self, digest: str, size: int) -> bytes:
        data = read_object(self._store, blob_key(digest), CHUNK)
        check_blob(digest, size, data)
        return data

    def _get_pack(self, pack: Pack) -> bytes:
        if pack.number in self._packs:
            self._packs.move_to_end(pack.number)
            return self._packs[pack.number]
        data = self._packs[pack.number] = self._read_pack(pack)
        if len(self._packs) > _MAX_CACHED_PACKS:
            self._dropped.add(self._packs.popitem(last=False)[0])
        return data

    def _read_pack(self, pack: Pack) -> bytes:
        data = read_object(self._store, pack_key(pack.digest), pack.size)
        verify_pack(pack, data)
        return data


_LINK_MODE: Final = 0o777
_PERMISSIONS: Final = 0o1777


def write_tar(tree: SnapshotTree, contents: ContentReader, out: IO[bytes]) -> int:
    """Write a tree to a stream, which may be a pipe; returns the number of entries.

    Owners are 0, since a snapshot does not have them. So files get no set-user-ID and set-group-ID
    bits: extracted by root, the agent's program would be one that runs as root.

    Raises:
        DamagedError: An object is missing or altered; names it. The tar file is incomplete.
        StoreError: An object could not be read.
        OSError: The stream cannot be written.
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
            info.size, info.mode = size, mode & _PERMISSIONS
        case Directory(mode=mode, mtime=mtime):
            info.type, info.mode = tarfile.DIRTYPE, mode
        case Symlink(target=target, mtime=mtime):
            info.type, info.mode, info.linkname = tarfile.SYMTYPE, _LINK_MODE, target
        case HardLink(target=target):
            file = tree.entries[target]
            assert isinstance(file, File)
            info.type, info.mode, info.linkname = tarfile.LNKTYPE, file.mode & _PERMISSIONS, target
            mtime = file.mtime
        case _:
            assert_never(entry)
    info.pax_headers = {"mtime": format_mtime(mtime)}
    return info


class _JoinedStream(io.RawIOBase):
    """A stream of joined parts that holds only one of them at a time."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        super().__init__()
        self._parts = parts
        self._rest = memoryview(b"")

    def read(self, size: int = -1) -> bytes:
        """Return exactly `size` bytes, as tarfile requests them."""
        pieces: list[memoryview] = []
        missing = size
        while missing:
            if not self._rest:
                self._rest = memoryview(next(self._parts, b""))
                if not self._rest:
                    raise DamagedError("a file is shorter than its manifest says")
            piece, self._rest = self._rest[:missing], self._rest[missing:]
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)


MAX_OBJECT_SIZE = 1 << 30
"""Maximum bytes of a file to export as an object: it is sent in one request, from memory."""

MAX_KEY_SIZE = 1024
"""Maximum bytes of an S3 key, including the prefix."""


_DEFAULT_MODE = 0o644


class ExportResult(Struct):
    """What was written, and what objects cannot represent.

    Attributes:
        files: How many objects were written.
        size: Their bytes.
        copied_hard_links: How many hard links became objects of their own.
        skipped_symlinks: The targets of symbolic links, which are left out, by path.
        empty_directories: Paths of empty directories, which are left out.
        renamed: Paths with an escaped key, because they have `%`, control characters or bytes
            that are not UTF-8.
        refused: The reasons why files are left out, by path.
        lost_modes: How many files have another mode than 0644.
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
    """Writes the files of one tree below an empty prefix."""

    def __init__(self, target: Store, tree: SnapshotTree, contents: ContentReader) -> None:
        self._target = target
        self._tree = tree
        self._contents = contents
        self._parents = {posixpath.dirname(path) for path in tree.entries}
        self.result = ExportResult()

    def run(self) -> ExportResult:
        """Write all objects.

        Raises:
            SettingsError: The prefix is not empty.
            DamagedError: An object of the snapshot is missing or altered; names it.
            StoreError: An object could not be read or written.
        """
        first = next(iter(self._target.list("")), None)
        if first is not None:
            raise SettingsError(
                f"the target prefix is not empty, it has objects such as {first.key}: give an "
                "empty prefix"
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
    """Write the generation that `at` selects to a file or standard output; returns a summary.

    Raises:
        WorkspaceError: The file cannot be written; it does not exist then.
        SettingsError, DamagedError, StoreError: As `select_generation`, and if reading fails.
    """
    generation = select_generation(store, at)
    tree = read_generation_tree(store, generation)
    with _open_output(target) as out:
        count = write_tar(tree, ContentReader(store, tree), out)
    return f"generation {generation.number}: {count} entries"


def export_objects(store: Store, at: str, target: Store) -> ExportResult:
    """Write the generation that `at` selects as plain objects; raises as `ObjectExporter.run`."""
    tree = read_generation_tree(store, select_generation(store, at))
    return ObjectExporter(target, tree, ContentReader(store, tree)).run()


def format_export_result(result: ExportResult) -> Iterable[str]:
    """Yield what was written, and what is lost."""
    yield f"{result.files} objects, {result.size} bytes"
    yield "lost: the times of all files, and the modes and times of all directories"
    if result.lost_modes:
        yield f"lost: the modes of {result.lost_modes} files that are not 0644"
    if result.copied_hard_links:
        yield f"lost: {result.copied_hard_links} hard links, which are objects of their own now"
    for path in result.empty_directories:
        yield f"lost: the empty directory {encode_text(path)}"
    for path, target in result.skipped_symlinks.items():
        yield f"lost: the symbolic link {encode_text(path)} -> {encode_text(target)}"
    for path in result.renamed:
        yield f"renamed: the key of a file is the escaped name {encode_text(path)!r}"
    for path, reason in result.refused.items():
        yield f"not exported: {encode_text(path)}: {reason}"


@contextmanager
def _open_output(target: str) -> "Iterator[IO[bytes]]":
    """Open the output.

    A regular file gets its name only when it is complete. A link is followed. A pipe or a device is
    written to, and never replaced.
    """
    try:
        if target == STDOUT:
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        elif _is_special(target):
            with Path(target).open("wb") as out:
                yield out
        else:
            with _replace_file(Path(target).resolve()) as out:
                yield out
    except OSError as error:
        raise WorkspaceError(f"{target} cannot be written: {error.strerror or error}") from None


def _is_special(target: str) -> bool:
    try:
        return not stat.S_ISREG(Path(target).stat().st_mode)
    except FileNotFoundError:
        return False


@contextmanager
def _replace_file(path: Path) -> "Iterator[IO[bytes]]":
    # Another name could be a link that an attacker has prepared.
    unfinished = path.with_name(f".export-{secrets.token_hex(8)}")
    try:
        with unfinished.open("xb") as out:
            yield out
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
