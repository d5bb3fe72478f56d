"""Lines of a manifest as what they say: exactly what format 1 knows, or ValueError with the reason.

What is judged here needs no other line; how entries fit together is judged in `fitting`.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

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
from reconcile.mirror.snapshot.encoding import check_path, check_target
from reconcile.mirror.snapshot.fitting import check_file
from reconcile.mirror.snapshot.keys import is_digest
from reconcile.mirror.snapshot.pack import BLOCK, END
from reconcile.mirror.snapshot.strict_json import Json
from reconcile.mirror.snapshot.text import decode_text
from reconcile.mirror.snapshot.times import parse_mtime

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
