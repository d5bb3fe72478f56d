"""The vocabulary of workspaces: what a tree holds, where its bytes are, what a generation is.

Paths are relative with `/`, as `os.fsdecode` gives them: bytes that are no UTF-8 are surrogates.
Times are nanoseconds since 1970. Digests are SHA-256 in lower-case hexadecimal.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Alone:
    """Each blob of the file is an object of its own, named by its digest."""


@dataclass(frozen=True, slots=True)
class Packed:
    """The file's only blob is a member of a pack, by its number; its data begins at `offset`."""

    pack: int
    offset: int


Place: TypeAlias = Alone | Packed


@dataclass(frozen=True, slots=True)
class File:
    """A regular file: its bytes are those of `blobs`, one after the other; none if it is empty."""

    path: str
    mode: int
    mtime: int
    size: int
    blobs: tuple[str, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory; those that are not empty are listed too, for their mode and time."""

    path: str
    mode: int
    mtime: int


@dataclass(frozen=True, slots=True)
class Symlink:
    """A symbolic link, whatever its target is; nothing ever follows it."""

    path: str
    target: str
    mtime: int


@dataclass(frozen=True, slots=True)
class HardLink:
    """Another name of the file at `target`, which comes earlier in the order of paths."""

    path: str
    target: str


Entry: TypeAlias = File | Directory | Symlink | HardLink


@dataclass(frozen=True, slots=True)
class Pack:
    """A tar file that is one object; `number` is what entries call it within one chain."""

    number: int
    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class Tree:
    """One state of a workspace: entries by path, in the order of paths, and the packs they need."""

    entries: Mapping[str, Entry] = field(default_factory=dict)
    packs: Mapping[int, Pack] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Missing:
    """What a generation marked `partial` lacks: how many files of the tree, and their bytes."""

    files: int
    size: int


@dataclass(frozen=True, slots=True)
class Whole:
    """The generation is the tree as it was seen."""


Completeness: TypeAlias = Whole | Missing


@dataclass(frozen=True, slots=True)
class Writer:
    """Who may commit: a pod, by UID, in its `epoch`, which grows with each claim.

    `name` is for people.
    """

    uid: str
    epoch: int
    name: str


@dataclass(frozen=True, slots=True)
class ManifestRef:
    """One manifest object: a base, or a delta on what stands before it in its chain."""

    generation: int
    key: str
    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class Generation:
    """One committed state: `chain` has its base first, then the deltas in order.

    `time` is when it was committed. Generation 0 is the empty workspace; its chain is empty.
    """

    number: int
    time: int
    chain: tuple[ManifestRef, ...]
    completeness: Completeness = Whole()


@dataclass(frozen=True, slots=True)
class Head:
    """What the object HEAD says: the last generation and who may commit the next."""

    generation: Generation
    writer: Writer
