"""Random valid trees."""

import hashlib
import os

from hypothesis import strategies as st

from reconcile.mirror.model import (
    Complete,
    Directory,
    Entry,
    File,
    HardLink,
    LooseBlobs,
    Pack,
    PackedBlob,
    Partial,
    SnapshotTree,
    Symlink,
    Writer,
)
from reconcile.mirror.snapshot.keys import CHUNK, blob_key, pack_key
from reconcile.mirror.snapshot.pack import TAR_BLOCK, TAR_END

PACK_SIZE = 64 * TAR_BLOCK + len(TAR_END)


def sha(text: str) -> str:
    """Return the digest of a text."""
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def pack(number: int) -> Pack:
    """Return the same pack for the same number."""
    return Pack(number, sha(f"pack {number}"), PACK_SIZE)


def object_keys(tree: SnapshotTree) -> frozenset[str]:
    """Return the keys of all packs and blobs that a restore of a tree needs."""
    found: set[str] = set()
    for entry in tree.entries.values():
        match entry:
            case File(location=PackedBlob(number, _)):
                found.add(pack_key(tree.packs[number].digest))
            case File(blobs=blobs):
                found.update(map(blob_key, blobs))
    return frozenset(found)


names = st.one_of(
    st.sampled_from(["a", "b", "b-", "b.c", "z%", "n\nl", "ü", "-"]),
    st.binary(min_size=1, max_size=6)
    .filter(lambda raw: b"/" not in raw and b"\0" not in raw and raw not in {b".", b".."})
    .map(os.fsdecode),
)
targets = st.binary(min_size=1, max_size=9).filter(lambda raw: b"\0" not in raw).map(os.fsdecode)
modes = st.integers(0, 0o7777)
mtimes = st.one_of(st.integers(-(10**18), 4 * 10**18), st.integers(-(2**63), 2**63))
digests = st.integers(0, 30).map(lambda number: sha(f"blob {number}"))
completeness = st.one_of(
    st.just(Complete()), st.builds(Partial, st.integers(0, 9), st.integers(0, 99))
)
writers = st.builds(Writer, st.text(max_size=5), st.integers(0, 2**53 - 1), st.text(max_size=5))


@st.composite
def files(draw, path: str) -> File:
    """One file: empty, in chunks, or in a pack."""
    mode, mtime = draw(modes), draw(mtimes)
    match draw(st.sampled_from(["empty", "chunks", "packed"])):
        case "packed":
            size = draw(st.integers(1, 4 * TAR_BLOCK))
            place = PackedBlob(draw(st.integers(0, 3)), TAR_BLOCK * draw(st.integers(1, 60)))
            return File(path, mode, mtime, size, (draw(digests),), place)
        case "chunks":
            size = draw(st.integers(1, 3 * CHUNK))
            count = -(-size // CHUNK)
            blobs = tuple(draw(st.lists(digests, min_size=count, max_size=count)))
            return File(path, mode, mtime, size, blobs, LooseBlobs())
        case _:
            return File(path, mode, mtime, 0, (), LooseBlobs())


@st.composite
def entries_of(draw, path: str, depth: int) -> list[Entry]:
    """An entry at a path, with all entries below it."""
    kind = draw(st.sampled_from(["file", "file", "symlink", "directory", "directory"]))
    match kind:
        case "file":
            return [draw(files(path))]
        case "symlink":
            return [Symlink(path, draw(targets), draw(mtimes))]
        case _:
            found: list[Entry] = [Directory(path, draw(modes), draw(mtimes))]
            if depth:
                for name in draw(st.lists(names, max_size=3, unique=True)):
                    found += draw(entries_of(f"{path}/{name}", depth - 1))
            return found


@st.composite
def trees(draw) -> SnapshotTree:
    """A valid tree; its packs are those that it needs and perhaps others."""
    found: dict[str, Entry] = {}
    for name in draw(st.lists(names, max_size=6, unique=True)):
        found |= {entry.path: entry for entry in draw(entries_of(name, 2))}
    for path in sorted(found):
        earlier = [p for p in found if p < path and isinstance(found[p], File)]
        if isinstance(found[path], File) and earlier and draw(st.integers(0, 3)) == 0:
            found[path] = HardLink(path, draw(st.sampled_from(earlier)))
    needed = {e.location.pack for e in found.values() if _is_packed(e)}
    more = draw(st.sets(st.integers(0, 4)))
    return SnapshotTree(dict(sorted(found.items())), {n: pack(n) for n in sorted(needed | more)})


def _is_packed(entry: Entry) -> bool:
    return isinstance(entry, File) and isinstance(entry.location, PackedBlob)
