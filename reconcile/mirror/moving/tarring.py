"""A generation as a tar file in PAX form, which keeps every name, link, mode and nanosecond."""

import io
import tarfile
from collections.abc import Iterator
from typing import IO, Final, assert_never

from reconcile.mirror.errors import DamagedError
from reconcile.mirror.model import Directory, Entry, File, HardLink, Symlink, Tree
from reconcile.mirror.moving.contents import Contents
from reconcile.mirror.snapshot.encoding import mtime_text

_LINK_MODE: Final = 0o777


def write_tar(tree: Tree, contents: Contents, out: IO[bytes]) -> int:
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
            data = _Joined(contents.read(entry)) if isinstance(entry, File) else None
            archive.addfile(_info(entry, tree), data)
    return len(tree.entries)


def _info(entry: Entry, tree: Tree) -> tarfile.TarInfo:
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
    info.pax_headers = {"mtime": mtime_text(mtime)}
    return info


class _Joined(io.RawIOBase):
    """Pieces as one stream, without ever holding more than one of them."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__()
        self._pieces = pieces
        self._left = b""

    def read(self, size: int = -1) -> bytes:
        """Return exactly so many bytes, as tarfile asks for them."""
        found = bytearray()
        while len(found) < size:
            if not self._left:
                self._left = next(self._pieces, b"")
                if not self._left:
                    raise DamagedError("a file is shorter than its manifest says")
            wanted = size - len(found)
            found += self._left[:wanted]
            self._left = self._left[wanted:]
        return bytes(found)
