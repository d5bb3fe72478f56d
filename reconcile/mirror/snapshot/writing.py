"""What a tree holds as lines of JSON."""

from typing import Final, assert_never

import orjson

from reconcile.mirror.model import Alone, Directory, Entry, File, HardLink, Pack, Packed, Symlink
from reconcile.mirror.snapshot.text import encode_text
from reconcile.mirror.snapshot.times import mtime_text

_FILE: Final = b'{"kind":"file","path":%b,"size":%d,"mode":"%04o","mtime":"%b","blobs":[%b]'
_DIRECTORY: Final = b'{"kind":"directory","path":%b,"mode":"%04o","mtime":"%b"}\n'
_SYMLINK: Final = b'{"kind":"symlink","path":%b,"target":%b,"mtime":"%b"}\n'
_HARDLINK: Final = b'{"kind":"hardlink","path":%b,"target":%b}\n'
_GONE: Final = b'{"kind":"gone","path":%b}\n'
_PACK: Final = b'{"kind":"pack","number":%d,"sha256":"%b","size":%d}\n'


def entry_line(entry: Entry) -> bytes:
    """Write an entry."""
    match entry:
        case File():
            return _file_line(entry)
        case Directory(path, mode, mtime):
            return _DIRECTORY % (_text(path), mode, _time(mtime))
        case Symlink(path, target, mtime):
            return _SYMLINK % (_text(path), _text(target), _time(mtime))
        case HardLink(path, target):
            return _HARDLINK % (_text(path), _text(target))
        case _:
            assert_never(entry)


def gone_line(path: str) -> bytes:
    """Write that an entry of the generation before is no more."""
    return _GONE % _text(path)


def pack_line(pack: Pack) -> bytes:
    """Write what a pack's number means."""
    return _PACK % (pack.number, pack.digest.encode(), pack.size)


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
