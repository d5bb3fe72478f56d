"""The snapshot that docs/format.md shows: two generations of one small workspace.

`python -m tests.mirror.snapshot.example` updates the blocks of the page.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from reconcile.mirror.model import (
    BlobLocation,
    Directory,
    Entry,
    File,
    Generation,
    HardLink,
    Head,
    LooseBlobs,
    ManifestRef,
    PackedBlob,
    SnapshotTree,
    Symlink,
    Writer,
)
from reconcile.mirror.snapshot import chain, head, keys, manifest
from reconcile.mirror.snapshot.encoding import SECOND
from reconcile.mirror.snapshot.pack import PackWriter
from tests.mirror.snapshot.manifest_builders import next_manifest

PAGE = Path(__file__).parents[3] / "docs" / "format.md"
NOON = 1_769_860_800_123_456_789
WRITER = Writer("6f1c5a52-3f0e-4b6d-9d55-0d8f5c1f2a11", 1, "fix-login-runner")
BLOCK = re.compile(r"<!-- example: (\w+) -->\n```json\n(.*?)```", re.DOTALL)
PATH = attrgetter("path")


class Bytes(Struct, frozen=True):
    """A file to be stored, with its bytes."""

    path: str
    mode: int
    mtime: int
    data: bytes


Given: TypeAlias = Bytes | Entry
Write: TypeAlias = Callable[
    [Generation, chain.CommitInfo, SnapshotTree, SnapshotTree], chain.EncodedManifest
]


@dataclass
class SessionBuilder:
    """Builds the objects of one session, generation by generation, as the mirror does."""

    objects: dict[str, bytes] = field(default_factory=dict)
    generation: Generation = field(default_factory=lambda: Generation(0, NOON, ()))
    tree: SnapshotTree = field(default_factory=SnapshotTree)
    blobs: dict[str, bytes] = field(default_factory=dict)

    def commit(self, given: list[Given], write: Write = next_manifest) -> chain.EncodedManifest:
        """Store a tree; files are given with their bytes."""
        packs = PackWriter(chain.next_pack_number(self.tree))
        entries = [self._entry(each, packs) for each in given]
        fresh: dict[str, PackedBlob] = {}
        found = dict(self.tree.packs)
        for pack in packs.finish():
            self.objects[keys.pack_key(pack.build_pack().digest)] = bytes(pack.body)
            found[pack.number] = pack.build_pack()
            fresh |= {digest: PackedBlob(pack.number, at) for digest, at in pack.offsets.items()}
        after = SnapshotTree(
            {each.path: _placed(each, fresh) for each in sorted(entries, key=PATH)}, found
        )
        stamp = chain.CommitInfo(NOON + 30 * SECOND * (self.generation.number + 1), WRITER)
        written = write(self.generation, stamp, self.tree, after)
        self.objects[written.ref.key] = written.body
        self.generation, self.tree = written.generation, written.tree
        self.objects[keys.HEAD] = head.encode_head(Head(self.generation, WRITER))
        return written

    def _entry(self, given: Given, packs: PackWriter) -> Entry:
        if not isinstance(given, Bytes):
            return given
        chunks = [given.data[at : at + keys.CHUNK] for at in range(0, len(given.data), keys.CHUNK)]
        blobs = tuple(hashlib.sha256(chunk).hexdigest() for chunk in chunks)
        self.blobs |= dict(zip(blobs, chunks, strict=True))
        place = self._place(blobs)
        if len(given.data) > keys.MAX_PACKED_FILE:
            self.objects |= dict(zip(map(keys.blob_key, blobs), chunks, strict=True))
        elif place is None:
            assert packs.add(blobs[0], given.data) == []
        size = len(given.data)
        return File(given.path, given.mode, given.mtime, size, blobs, place or LooseBlobs())

    def _place(self, blobs: tuple[str, ...]) -> BlobLocation | None:
        """Return the location of bytes that an earlier generation stored."""
        if not blobs:
            return LooseBlobs()
        files = (each for each in self.tree.entries.values() if isinstance(each, File))
        return next((file.location for file in files if file.blobs == blobs), None)


def _placed(entry: Entry, fresh: dict[str, PackedBlob]) -> Entry:
    if isinstance(entry, File) and entry.blobs and entry.blobs[0] in fresh:
        return replace(entry, location=fresh[entry.blobs[0]])
    return entry


def example() -> SessionBuilder:
    """Two generations: the second has a new file, a changed mode, and lacks a directory."""
    builder = SessionBuilder()
    run = Bytes("bin/run", 0o755, NOON, b"#!/bin/sh\necho hello\n")
    common = [
        Directory("bin", 0o755, NOON),
        HardLink("bin/start", "bin/run"),
        Symlink("latest", "bin/run", NOON),
        Bytes("100% of\nit", 0o600, NOON, b"a percent sign and a newline in its name\n"),
        Bytes("empty.txt", 0o644, NOON, b""),
        Bytes("disk.img", 0o644, NOON, bytes(9 << 20)),
    ]
    builder.commit([*common, run, Directory("logs", 0o2775, NOON)])
    notes = Bytes("notes.txt", 0o644, NOON + SECOND, b"remember the milk\n")
    builder.commit([*common, replace(run, mode=0o700), notes], chain.new_delta)
    return builder


def blocks(builder: SessionBuilder) -> dict[str, str]:
    """Return the blocks that the page must show, by name.

    Digests and sizes of manifests are left out: they depend on the version of zlib.
    """
    base, delta = builder.generation.chain
    texts = {
        "HEAD": builder.objects[keys.HEAD].decode(),
        "base": "\n".join(line.decode() for line in manifest.iter_lines(builder.objects[base.key]))
        + "\n",
        "delta": "\n".join(
            line.decode() for line in manifest.iter_lines(builder.objects[delta.key])
        )
        + "\n",
    }
    return {name: _without_sizes(text, (base, delta)) for name, text in texts.items()}


def _without_sizes(text: str, refs: tuple[ManifestRef, ...]) -> str:
    for ref in refs:
        text = text.replace(f'"{ref.digest}","size":{ref.size}', f'"{ref.digest}","size":…')
        text = text.replace(ref.digest, f"…{ref.generation}")
    return text


def page_blocks(page: str) -> dict[str, str]:
    """Return the blocks that the page shows now, by name."""
    return dict(BLOCK.findall(page))


def with_blocks(page: str, texts: dict[str, str]) -> str:
    """Return the page with these blocks."""
    return BLOCK.sub(
        lambda found: f"<!-- example: {found[1]} -->\n```json\n{texts[found[1]]}```", page
    )


if __name__ == "__main__":
    PAGE.write_text(with_blocks(PAGE.read_text(encoding="utf-8"), blocks(example())), "utf-8")
