"""Reads a tree into memory and restores it, only with the package under test."""

import hashlib
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from reconcile.mirror.model import Directory, Entry, File, HardLink, LooseBlobs, Symlink
from reconcile.mirror.workspace.dirfd import DirectoryHandles
from reconcile.mirror.workspace.excludes import Excludes
from reconcile.mirror.workspace.reader import read_chunks, read_link
from reconcile.mirror.workspace.restorer import Restorer, VolumeOwner
from reconcile.mirror.workspace.walk import FileStat, walk

CHUNK = 8 << 20


@dataclass(slots=True)
class Memory:
    """A snapshot: entries, and blobs by digest."""

    entries: list[Entry] = field(default_factory=list)
    blobs: dict[str, bytes] = field(default_factory=dict)


def take(root: Path, patterns: Sequence[str] = (), chunk: int = CHUNK) -> Memory:
    """Walk and read a whole tree."""
    seen, _ = walk(root, Excludes(patterns))
    links = hard_links(seen)
    memory = Memory()
    with DirectoryHandles(root) as directories:
        for entry in seen:
            if entry.path in links:
                memory.entries.append(HardLink(entry.path, links[entry.path]))
            else:
                memory.entries.append(_entry(directories, entry, memory, chunk))
    return memory


def hard_links(seen: Sequence[FileStat]) -> dict[str, str]:
    """Map each further path of a file to its first one."""
    first: dict[tuple[int, int], str] = {}
    files = [one for one in seen if one.links > 1 and stat.S_ISREG(one.mode)]
    named = [(first.setdefault((one.device, one.inode), one.path), one.path) for one in files]
    return {path: target for target, path in named if path != target}


def put(
    memory: Memory, root: Path, owner: VolumeOwner = VolumeOwner.FOREIGN, chunk: int = CHUNK
) -> Restorer:
    """Restore all of it; returns the restorer."""
    restorer = Restorer(root, memory.entries, owner)
    restorer.begin()
    write(memory, restorer, restorer.files, chunk)
    restorer.finish()
    return restorer


def write(memory: Memory, restorer: Restorer, files: Sequence[File], chunk: int = CHUNK) -> None:
    """Write some files."""
    for file in files:
        if len(file.blobs) == 1:
            restorer.write(file, memory.blobs[file.blobs[0]])
        else:
            for number, digest in enumerate(file.blobs):
                blob, start = memory.blobs[digest], number * chunk
                with restorer.open_chunk(file.path, range(start, start + len(blob))) as spot:
                    spot.write(blob, 0)


def _entry(directories: DirectoryHandles, seen: FileStat, memory: Memory, chunk: int) -> Entry:
    mode = stat.S_IMODE(seen.mode)
    if stat.S_ISDIR(seen.mode):
        return Directory(seen.path, mode, seen.mtime)
    if stat.S_ISLNK(seen.mode):
        return Symlink(seen.path, read_link(directories, seen), seen.mtime)
    pieces = list(read_chunks(directories, seen, chunk))
    blobs = tuple(hashlib.sha256(piece).hexdigest() for piece in pieces)
    memory.blobs.update(zip(blobs, pieces, strict=True))
    return File(seen.path, mode, seen.mtime, seen.size, blobs, LooseBlobs())
