"""The data model of snapshots: entries, trees, packs, generations, HEAD.

Paths are relative with `/`, as `os.fsdecode` returns them: bytes that are not UTF-8 are surrogates.
Times are nanoseconds since 1970. Digests are SHA-256 in lower-case hexadecimal.
"""

from collections.abc import Mapping
from typing import TypeAlias

from msgspec import Struct, field


class LooseBlobs(Struct, frozen=True, tag=True):
    """Each blob of the file is an object of its own, named by its digest."""


class PackedBlob(Struct, frozen=True, gc=False, tag=True):
    """The file's only blob is a member of a pack, by its number; its data begins at `offset`."""

    pack: int
    offset: int


BlobLocation: TypeAlias = LooseBlobs | PackedBlob


class File(Struct, frozen=True, gc=False):
    """A regular file: its bytes are those of `blobs`, one after the other; none if it is empty."""

    path: str
    mode: int
    mtime: int
    size: int
    blobs: tuple[str, ...]
    location: BlobLocation


class Directory(Struct, frozen=True, gc=False):
    """A directory; a directory with entries is listed too, for its mode and time."""

    path: str
    mode: int
    mtime: int


class Symlink(Struct, frozen=True, gc=False):
    """A symbolic link with any target; it is never followed."""

    path: str
    target: str
    mtime: int


class HardLink(Struct, frozen=True, gc=False):
    """Another name of the file at `target`, whose path is smaller."""

    path: str
    target: str


Entry: TypeAlias = File | Directory | Symlink | HardLink


class Pack(Struct, frozen=True):
    """A tar file that is one object; entries refer to it by `number` within one chain."""

    number: int
    digest: str
    size: int


class SnapshotTree(Struct, frozen=True):
    """One state of a workspace: entries by path, in the order of paths, and the packs they need."""

    entries: Mapping[str, Entry] = field(default_factory=dict)
    packs: Mapping[int, Pack] = field(default_factory=dict)


class Partial(Struct, frozen=True):
    """A generation that lacks so many files of the workspace, with so many bytes."""

    files: int
    size: int


class Complete(Struct, frozen=True):
    """A generation that has all files of the workspace."""


Completeness: TypeAlias = Complete | Partial


class Writer(Struct, frozen=True):
    """The pod that may commit, by UID and `epoch`; each claim increases the epoch.

    `name` is for messages.
    """

    uid: str
    epoch: int
    name: str


class ManifestRef(Struct, frozen=True):
    """A manifest object: a base, or a delta to the manifests before it in its chain."""

    generation: int
    key: str
    digest: str
    size: int


class Generation(Struct, frozen=True):
    """A committed state: `chain` has its base first, then the deltas in order.

    `time` is when it was committed. Generation 0 is the empty workspace; its chain is empty.
    """

    number: int
    time: int
    chain: tuple[ManifestRef, ...]
    completeness: Completeness = Complete()


class Head(Struct, frozen=True):
    """The content of the object HEAD: the last generation, and who may commit the next."""

    generation: Generation
    writer: Writer
