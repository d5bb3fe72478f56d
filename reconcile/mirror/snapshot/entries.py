"""The lines of a manifest below its header: encoding, parsing, and the checks of entries.

Parsing is strict: a line is exactly what format 1 allows, or a ValueError gives the reason. The
checks are those of one entry, and those of an entry against the entries and packs before it; a tree
that passes them can be restored without a further check.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, TypeAlias, assert_never

import orjson
from msgspec import Struct

from reconcile.mirror.model import (
    BlobLocation,
    Directory,
    Entry,
    File,
    HardLink,
    LooseBlobs,
    Pack,
    PackedBlob,
    Symlink,
)
from reconcile.mirror.snapshot import head, strict_json
from reconcile.mirror.snapshot.encoding import (
    check_link_target,
    check_path,
    decode_text,
    encode_text,
    format_mtime,
    parse_mtime,
)
from reconcile.mirror.snapshot.keys import CHUNK, MAX_PACK, is_digest
from reconcile.mirror.snapshot.pack import TAR_BLOCK, TAR_END
from reconcile.mirror.snapshot.strict_json import JsonObject


def check_order(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Yield the entries; ValueError at the first that is not in the order of paths.

    Paths are compared character by character, as Python compares text. So a directory comes before
    the entries below it, and each path occurs once.
    """
    last = ""
    for entry in entries:
        if entry.path <= last:
            raise ValueError(f"is a duplicate or out of order: it comes after {last!r}")
        last = entry.path
        yield entry


def check_entry(entry: Entry) -> None:
    """Raise ValueError with the reason unless the entry is valid by itself."""
    check_path(entry.path)
    match entry:
        case File():
            check_file_blobs(entry.size, len(entry.blobs), entry.location)
        case Symlink():
            check_link_target(entry.target)
        case Directory() | HardLink():
            pass
        case _:
            assert_never(entry)


def check_file_blobs(size: int, blobs: int, location: BlobLocation) -> None:
    """Raise ValueError unless a file of this size can have so many blobs at this location."""
    match location:
        case PackedBlob(_, offset):
            if blobs != 1 or not 0 < size <= CHUNK:
                raise ValueError("`blobs` must be one digest of 1 byte to 8 MiB in a pack")
            if offset < TAR_BLOCK or offset % TAR_BLOCK:
                raise ValueError("`at` is not an offset at which a pack has data")
        case LooseBlobs():
            if blobs != -(-size // CHUNK):
                raise ValueError(f"`blobs` has {blobs} digests, which does not fit {size} bytes")
        case _:
            assert_never(location)


def iter_loose_blobs(file: File) -> Iterator[tuple[str, range]]:
    """Yield the digest of each blob of a file that is in no pack, and which bytes it holds."""
    for number, digest in enumerate(file.blobs):
        offset = number * CHUNK
        yield digest, range(offset, min(offset + CHUNK, file.size))


def check_references(entry: Entry, entries: Mapping[str, Entry], packs: Mapping[int, Pack]) -> None:
    """Raise ValueError with the reason unless an entry is consistent with those before it.

    Args:
        entry: An entry that is valid by itself.
        entries: At least the entries before it, by path.
        packs: The packs that are listed, by number.
    """
    parent = entry.path.rpartition("/")[0]
    if parent and type(entries.get(parent)) is not Directory:
        raise ValueError(f"is below {parent!r}, which is not a directory of the tree")
    match entry:
        case File():
            _check_blob_location(entry.size, entry.location, packs)
        case HardLink(path, target):
            if target >= path or type(entries.get(target)) is not File:
                raise ValueError(f"is a link to {target!r}, which is not a file before it")
        case Directory() | Symlink():
            pass
        case _:
            assert_never(entry)


def _check_blob_location(size: int, location: BlobLocation, packs: Mapping[int, Pack]) -> None:
    match location:
        case LooseBlobs():
            pass
        case PackedBlob(number, offset):
            pack = packs.get(number)
            if pack is None:
                raise ValueError(f"is in pack {number}, which is not listed")
            if offset + size > pack.size - len(TAR_END):
                raise ValueError(f"is outside of pack {number}, which has {pack.size} bytes")
        case _:
            assert_never(location)


_FILE_LINE: Final = b'{"kind":"file","path":%b,"size":%d,"mode":"%04o","mtime":"%b","blobs":[%b]'
_DIRECTORY_LINE: Final = b'{"kind":"directory","path":%b,"mode":"%04o","mtime":"%b"}\n'
_SYMLINK_LINE: Final = b'{"kind":"symlink","path":%b,"target":%b,"mtime":"%b"}\n'
_HARDLINK_LINE: Final = b'{"kind":"hardlink","path":%b,"target":%b}\n'
_REMOVED_LINE: Final = b'{"kind":"gone","path":%b}\n'
_PACK_LINE: Final = b'{"kind":"pack","number":%d,"sha256":"%b","size":%d}\n'


def encode_entry(entry: Entry) -> bytes:
    """Encode an entry as one line."""
    match entry:
        case File():
            return _encode_file(entry)
        case Directory(path, mode, mtime):
            return _DIRECTORY_LINE % (_encode_name(path), mode, _encode_mtime(mtime))
        case Symlink(path, target, mtime):
            return _SYMLINK_LINE % (_encode_name(path), _encode_name(target), _encode_mtime(mtime))
        case HardLink(path, target):
            return _HARDLINK_LINE % (_encode_name(path), _encode_name(target))
        case _:
            assert_never(entry)


def encode_removed(path: str) -> bytes:
    """Encode that an entry of the previous generation was removed."""
    return _REMOVED_LINE % _encode_name(path)


def encode_pack(pack: Pack) -> bytes:
    """Encode a pack: its number, digest and size."""
    return _PACK_LINE % (pack.number, pack.digest.encode(), pack.size)


def _encode_file(file: File) -> bytes:
    blobs = '"' + '","'.join(file.blobs) + '"' if file.blobs else ""
    head = _FILE_LINE % (
        _encode_name(file.path),
        file.size,
        file.mode,
        _encode_mtime(file.mtime),
        blobs.encode(),
    )
    match file.location:
        case LooseBlobs():
            return head + b"}\n"
        case PackedBlob(pack, offset):
            return b'%b,"pack":%d,"at":%d}\n' % (head, pack, offset)
        case _:
            assert_never(file.location)


def _encode_name(name: str) -> bytes:
    return orjson.dumps(encode_text(name))


def _encode_mtime(mtime: int) -> bytes:
    return format_mtime(mtime).encode()


_LOOSE_FILE_FIELDS: Final = frozenset({"kind", "path", "size", "mode", "mtime", "blobs"})
_PACKED_FILE_FIELDS: Final = _LOOSE_FILE_FIELDS | {"pack", "at"}
_DIRECTORY_FIELDS: Final = frozenset({"kind", "path", "mode", "mtime"})
_SYMLINK_FIELDS: Final = frozenset({"kind", "path", "target", "mtime"})
_HARDLINK_FIELDS: Final = frozenset({"kind", "path", "target"})
_REMOVED_FIELDS: Final = frozenset({"kind", "path"})
_PACK_FIELDS: Final = frozenset({"kind", "number", "sha256", "size"})
_MODE: Final = re.compile(r"[0-7]{4}", re.ASCII)
MIN_PACK_SIZE: Final = 2 * TAR_BLOCK + len(TAR_END)
_LOOSE: Final = LooseBlobs()


# The line of a packed file with an ASCII name; each group is a field.
_COMMON_FILE_LINE: Final = re.compile(
    rb'\{"kind":"file","path":"([ !#$&-\[\]-~]+)","size":([1-9][0-9]{0,7}),"mode":"([0-7]{4})",'
    rb'"mtime":"(0|[1-9][0-9]{0,17})\.([0-9]{9})","blobs":\["([0-9a-f]{64})"\],'
    rb'"pack":(0|[1-9][0-9]{0,8}),"at":([1-9][0-9]{0,8})\}'
)


class RemovedEntry(Struct, frozen=True):
    """An entry of the previous generation was removed."""

    path: str


ManifestLine: TypeAlias = Entry | RemovedEntry | Pack


def parse_manifest_line(line: bytes) -> ManifestLine:
    """Parse a line below the header; ValueError with the reason if it is malformed."""
    common = _COMMON_FILE_LINE.fullmatch(line)
    if common is None:
        return _parse_json_line(strict_json.parse_object(line))
    return _parse_common_file(common)


def _parse_common_file(match: re.Match[bytes]) -> File:
    """Parse the line of nearly every file: as `_parse_file` does, but in half the time."""
    raw, size, mode, seconds, rest, digest, pack, at = match.groups()
    path = raw.decode("ascii")
    strict_json.check_field("path", check_path, path)
    location = PackedBlob(int(pack), int(at))
    length = int(size)
    check_file_blobs(length, 1, location)
    mtime = int(seconds + rest)
    return File(path, int(mode, 8), mtime, length, (digest.decode("ascii"),), location)


def _parse_json_line(value: JsonObject) -> ManifestLine:
    kind = value.get("kind")
    parse = _PARSERS.get(kind) if isinstance(kind, str) else None
    if parse is None:
        raise ValueError(f"has a `kind` that format 1 does not know: {str(kind)[:100]!r}")
    return parse(value)


def _parse_file(value: JsonObject) -> File:
    packed = "pack" in value
    strict_json.require_fields(value, _PACKED_FILE_FIELDS if packed else _LOOSE_FILE_FIELDS)
    size = strict_json.get_integer(value, "size")
    blobs = tuple(map(_check_digest, strict_json.get_list(value, "blobs")))
    location: BlobLocation = _LOOSE
    if packed:
        location = PackedBlob(
            strict_json.get_integer(value, "pack"), strict_json.get_integer(value, "at")
        )
    check_file_blobs(size, len(blobs), location)
    return File(_path_field(value), _mode_field(value), _mtime_field(value), size, blobs, location)


def _parse_directory(value: JsonObject) -> Directory:
    strict_json.require_fields(value, _DIRECTORY_FIELDS)
    return Directory(_path_field(value), _mode_field(value), _mtime_field(value))


def _parse_symlink(value: JsonObject) -> Symlink:
    strict_json.require_fields(value, _SYMLINK_FIELDS)
    target = strict_json.get_converted(value, "target", decode_text)
    strict_json.check_field("target", check_link_target, target)
    return Symlink(_path_field(value), target, _mtime_field(value))


def _parse_hardlink(value: JsonObject) -> HardLink:
    strict_json.require_fields(value, _HARDLINK_FIELDS)
    target = strict_json.get_converted(value, "target", decode_text)
    strict_json.check_field("target", check_path, target)
    return HardLink(_path_field(value), target)


def _parse_removed(value: JsonObject) -> RemovedEntry:
    strict_json.require_fields(value, _REMOVED_FIELDS)
    return RemovedEntry(_path_field(value))


def _parse_pack(value: JsonObject) -> Pack:
    strict_json.require_fields(value, _PACK_FIELDS)
    number = strict_json.get_integer(value, "number")
    size = strict_json.get_integer(value, "size", MIN_PACK_SIZE)
    if size > MAX_PACK:
        raise ValueError(f"`size` is more than {MAX_PACK} bytes")
    if size % TAR_BLOCK:
        raise ValueError(f"`size` is not a multiple of {TAR_BLOCK}")
    return Pack(number, head.parse_sha256_field(value), size)


def _path_field(value: JsonObject) -> str:
    path = strict_json.get_converted(value, "path", decode_text)
    strict_json.check_field("path", check_path, path)
    return path


def _mode_field(value: JsonObject) -> int:
    return strict_json.get_converted(value, "mode", _parse_mode)


def _parse_mode(text: str) -> int:
    if _MODE.fullmatch(text) is None:
        raise ValueError("is not a mode in four octal digits")
    return int(text, 8)


def _mtime_field(value: JsonObject) -> int:
    return strict_json.get_converted(value, "mtime", parse_mtime)


def _check_digest(value: object) -> str:
    if not isinstance(value, str) or not is_digest(value):
        raise ValueError("`blobs` has a value that is not a SHA-256 in lower-case hexadecimal")
    return value


_PARSERS: Final[Mapping[str, Callable[[JsonObject], ManifestLine]]] = {
    "file": _parse_file,
    "directory": _parse_directory,
    "symlink": _parse_symlink,
    "hardlink": _parse_hardlink,
    "gone": _parse_removed,
    "pack": _parse_pack,
}
