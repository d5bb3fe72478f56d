"""The object store as the mirror sees it; every implementation passes one contract suite."""

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from typing import Protocol, TypeAlias

from msgspec import Struct

BytesLike: TypeAlias = bytes | bytearray
"""What is stored; nobody changes it any more."""


class ObjectAbsent(Enum):
    """The precondition that there is no object yet."""

    ABSENT = "absent"


ABSENT = ObjectAbsent.ABSENT


class ObjectData(Struct, frozen=True):
    """An object that was read whole; `etag` is what a conditional write refers to."""

    body: bytes
    etag: str


class ListedObject(Struct, frozen=True):
    """An object in a listing; `modified` is the store's own time in seconds since 1970."""

    key: str
    size: int
    modified: float


class Sink(Protocol):
    """Where an object is read to; its errors come through whoever reads."""

    def begin(self) -> None:
        """Take what comes from now on as the object from its first byte on."""
        ...

    def space(self) -> memoryview:
        """Return where the next bytes may be put; nothing where there is no more room."""
        ...

    def take(self, size: int) -> None:
        """Take it that the first `size` bytes of the last space are the next of the object."""
        ...


class Store(Protocol):
    """One prefix of one bucket; keys are relative to it.

    Every method raises a StoreError and nothing else: DeniedError for 401 and 403, StoreAwayError
    for 429, 5xx, time-outs and broken connections (after the retries that its settings allow), and
    what else it names itself. All are safe to call from several threads.
    """

    def get(self, key: str) -> ObjectData:
        """Read an object whole; MissingObjectError only where the store says 404 NoSuchKey."""
        ...

    def get_into(self, key: str, sink: Sink) -> int:
        """Read an object whole, piece by piece, and return how many bytes it has.

        Each attempt begins the room anew, and one that fails leaves a part of the object there.
        Errors as for `get`, DamagedError where the object has more bytes than the room, and what
        the room raises.
        """
        ...

    def get_range(self, key: str, offset: int, size: int) -> bytes:
        """Read exactly `size` bytes; DamagedError where the object is shorter.

        That error apart from the rest is no StoreError: the store did what it was asked.
        """
        ...

    def put(self, key: str, parts: Sequence[BytesLike], digest: str) -> None:
        """Write an object, the parts one after the other; `digest` is the SHA-256 of all of them.

        Keys are named by content, so writing one twice is the same as once.
        """
        ...

    def put_if(self, key: str, body: bytes, etag: str | ObjectAbsent) -> str:
        """Write if the object still has this ETag, or is absent; returns the new ETag.

        Sent once: never retried, since a lost answer must be told from a refusal by the caller.
        PreconditionError where it is another object; StoreAwayError where the answer is not known.
        """
        ...

    def list(self, prefix: str, after: str = "") -> Iterator[ListedObject]:
        """Yield all objects whose key begins with `prefix`, page by page, in the order of keys.

        With `after` only those whose key is greater.
        """
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; one that is not there is as good as deleted."""
        ...
