"""Lines of a manifest as what they say: exactly what format 1 knows, or ValueError with the reason.

What is judged here needs no other line; how entries fit together is judged in `fitting`.

How the entries of a tree must fit together, so that it can be restored without a second look.

What a tree holds as lines of JSON.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, TypeAlias, assert_never

import orjson
from msgspec import Struct

from reconcile.mirror.model import (
    Alone,
    Directory,
    Entry,
    File,
    HardLink,
    Pack,
    Packed,
    Place,
    Symlink,
)
from reconcile.mirror.snapshot import head, strict_json
from reconcile.mirror.snapshot.encoding import (
    check_path,
    check_target,
    decode_text,
    encode_text,
    mtime_text,
    parse_mtime,
)
from reconcile.mirror.snapshot.keys import CHUNK, is_digest
from reconcile.mirror.snapshot.pack import BLOCK, END
from reconcile.mirror.snapshot.strict_json import Json


def in_order(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Yield entries, each of which must come after the one before it; ValueError if it does not.

    Paths are compared character by character, as Python compares text. So a directory comes before
    what is below it, and no path comes twice.
    """
    last = ""
    for entry in entries:
        if entry.path <= last:
            raise ValueError(f"comes twice or too late: after {last!r}")
        last = entry.path
        yield entry


def check_entry(entry: Entry) -> None:
    """Raise ValueError, which says why, unless a reader would accept an entry by itself."""
    check_path(entry.path)
    match entry:
        case File():
            check_file(entry.size, len(entry.blobs), entry.place)
        case Symlink():
            check_target(entry.target)
        case Directory() | HardLink():
            pass
        case _:
            assert_never(entry)


def check_file(size: int, blobs: int, place: Place) -> None:
    """Raise ValueError unless a file of this size can have so many blobs in such a place."""
    match place:
        case Packed(_, offset):
            if blobs != 1 or not 0 < size <= CHUNK:
                raise ValueError("`blobs` must be one digest of 1 byte to 8 MiB in a pack")
            if offset < BLOCK or offset % BLOCK:
                raise ValueError("`at` is no place where a pack has data")
        case Alone():
            if blobs != -(-size // CHUNK):
                raise ValueError(f"`blobs` has {blobs} digests, which does not fit {size} bytes")
        case _:
            assert_never(place)


def check_fit(entry: Entry, entries: Mapping[str, Entry], packs: Mapping[int, Pack]) -> None:
    """Raise ValueError, which says why, unless an entry fits those before it.

    Args:
        entry: By itself it is well formed.
        entries: By path, at least those that come before it.
        packs: Those that the tree may need.
    """
    parent = entry.path.rpartition("/")[0]
    if parent and type(entries.get(parent)) is not Directory:
        raise ValueError(f"is below {parent!r}, which is no directory of the tree")
    match entry:
        case File():
            _check_place(entry.size, entry.place, packs)
        case HardLink(path, target):
            if target >= path or type(entries.get(target)) is not File:
                raise ValueError(f"is a link to {target!r}, which is no file before it")
        case Directory() | Symlink():
            pass
        case _:
            assert_never(entry)


def _check_place(size: int, place: Place, packs: Mapping[int, Pack]) -> None:
    match place:
        case Alone():
            pass
        case Packed(number, offset):
            pack = packs.get(number)
            if pack is None:
                raise ValueError(f"lies in pack {number}, which is not listed")
            if offset + size > pack.size - len(END):
                raise ValueError(f"lies outside of pack {number}, which has {pack.size} bytes")
        case _:
            assert_never(place)


_FILE: Final = b'{"kind":"file","path":%b,"size":%d,"mode":"%04o","mtime":"%b","blobs":[%b]'
_DIRECTORY_LINE: Final = b'{"kind":"directory","path":%b,"mode":"%04o","mtime":"%b"}\n'
_SYMLINK_LINE: Final = b'{"kind":"symlink","path":%b,"target":%b,"mtime":"%b"}\n'
_HARDLINK_LINE: Final = b'{"kind":"hardlink","path":%b,"target":%b}\n'
_GONE_LINE: Final = b'{"kind":"gone","path":%b}\n'
_PACK_LINE: Final = b'{"kind":"pack","number":%d,"sha256":"%b","size":%d}\n'


def entry_line(entry: Entry) -> bytes:
    """Write an entry."""
    match entry:
        case File():
            return _file_line(entry)
        case Directory(path, mode, mtime):
            return _DIRECTORY_LINE % (_text(path), mode, _time(mtime))
        case Symlink(path, target, mtime):
            return _SYMLINK_LINE % (_text(path), _text(target), _time(mtime))
        case HardLink(path, target):
            return _HARDLINK_LINE % (_text(path), _text(target))
        case _:
            assert_never(entry)


def gone_line(path: str) -> bytes:
    """Write that an entry of the generation before is no more."""
    return _GONE_LINE % _text(path)


def pack_line(pack: Pack) -> bytes:
    """Write what a pack's number means."""
    return _PACK_LINE % (pack.number, pack.digest.encode(), pack.size)


def _file_line(file: File) -> bytes:
    blobs = '"' + '","'.join(file.blobs) + '"' if file.blobs else ""
    head = _FILE % (_text(file.path), file.size, file.mode, _time(file.mtime), blobs.encode())
    match file.place:
        case Alone():
            return head + b"}\n"
        case Packed(pack, offset):
            return b'%b,"pack":%d,"at":%d}\n' % (head, pack, offset)
        case _:
            assert_never(file.place)


def _text(name: str) -> bytes:
    return orjson.dumps(encode_text(name))


def _time(mtime: int) -> bytes:
    return mtime_text(mtime).encode()


_ALONE: Final = frozenset({"kind", "path", "size", "mode", "mtime", "blobs"})
_PACKED: Final = _ALONE | {"pack", "at"}
_DIRECTORY: Final = frozenset({"kind", "path", "mode", "mtime"})
_SYMLINK: Final = frozenset({"kind", "path", "target", "mtime"})
_HARDLINK: Final = frozenset({"kind", "path", "target"})
_GONE: Final = frozenset({"kind", "path"})
_PACK: Final = frozenset({"kind", "number", "sha256", "size"})
_MODE: Final = re.compile(r"[0-7]{4}", re.ASCII)
MIN_PACK: Final = 2 * BLOCK + len(END)
_ALONE_PLACE: Final = Alone()


# A packed file with a name in ASCII, just as it is written; group by group its fields.
_USUAL: Final = re.compile(
    rb'\{"kind":"file","path":"([ !#$&-\[\]-~]+)","size":([1-9][0-9]{0,7}),"mode":"([0-7]{4})",'
    rb'"mtime":"(0|[1-9][0-9]{0,17})\.([0-9]{9})","blobs":\["([0-9a-f]{64})"\],'
    rb'"pack":(0|[1-9][0-9]{0,8}),"at":([1-9][0-9]{0,8})\}'
)


class Gone(Struct, frozen=True):
    """An entry of the generation before is no more."""

    path: str


Line: TypeAlias = Entry | Gone | Pack


def parse_line(line: bytes) -> Line:
    """Return what a line below the header says; ValueError, which says why, if it is malformed."""
    usual = _USUAL.fullmatch(line)
    return _parse_any(strict_json.parse_object(line)) if usual is None else _usual_file(usual)


def _usual_file(found: re.Match[bytes]) -> File:
    """Read the line of nearly every file, in half the time; the same as `_file` of its JSON."""
    raw, size, mode, seconds, rest, digest, pack, at = found.groups()
    path = raw.decode("ascii")
    strict_json.checked("path", check_path, path)
    place = Packed(int(pack), int(at))
    length = int(size)
    check_file(length, 1, place)
    mtime = int(seconds + rest)
    return File(path, int(mode, 8), mtime, length, (digest.decode("ascii"),), place)


def _parse_any(value: Json) -> Line:
    kind = value.get("kind")
    parse = _KINDS.get(kind) if isinstance(kind, str) else None
    if parse is None:
        raise ValueError(f"has no `kind` that format 1 knows: {str(kind)[:100]!r}")
    return parse(value)


def _file(value: Json) -> File:
    packed = "pack" in value
    strict_json.require(value, _PACKED if packed else _ALONE)
    size = strict_json.integer(value, "size")
    blobs = tuple(map(_digest, strict_json.sequence(value, "blobs")))
    place: Place = _ALONE_PLACE
    if packed:
        place = Packed(strict_json.integer(value, "pack"), strict_json.integer(value, "at"))
    check_file(size, len(blobs), place)
    return File(_path(value), _mode(value), _mtime(value), size, blobs, place)


def _directory(value: Json) -> Directory:
    strict_json.require(value, _DIRECTORY)
    return Directory(_path(value), _mode(value), _mtime(value))


def _symlink(value: Json) -> Symlink:
    strict_json.require(value, _SYMLINK)
    target = strict_json.converted(value, "target", decode_text)
    strict_json.checked("target", check_target, target)
    return Symlink(_path(value), target, _mtime(value))


def _hardlink(value: Json) -> HardLink:
    strict_json.require(value, _HARDLINK)
    target = strict_json.converted(value, "target", decode_text)
    strict_json.checked("target", check_path, target)
    return HardLink(_path(value), target)


def _gone(value: Json) -> Gone:
    strict_json.require(value, _GONE)
    return Gone(_path(value))


def _pack(value: Json) -> Pack:
    strict_json.require(value, _PACK)
    number = strict_json.integer(value, "number")
    size = strict_json.integer(value, "size", MIN_PACK)
    if size % BLOCK:
        raise ValueError(f"`size` is no multiple of {BLOCK}")
    return Pack(number, head.parse_digest(value), size)


def _path(value: Json) -> str:
    path = strict_json.converted(value, "path", decode_text)
    strict_json.checked("path", check_path, path)
    return path


def _mode(value: Json) -> int:
    return strict_json.converted(value, "mode", _parse_mode)


def _parse_mode(text: str) -> int:
    if _MODE.fullmatch(text) is None:
        raise ValueError("is no mode in four octal digits")
    return int(text, 8)


def _mtime(value: Json) -> int:
    return strict_json.converted(value, "mtime", parse_mtime)


def _digest(value: object) -> str:
    if not isinstance(value, str) or not is_digest(value):
        raise ValueError("`blobs` has what is no SHA-256 in lower-case hexadecimal")
    return value


_KINDS: Final[Mapping[str, Callable[[Json], Line]]] = {
    "file": _file,
    "directory": _directory,
    "symlink": _symlink,
    "hardlink": _hardlink,
    "gone": _gone,
    "pack": _pack,
}
