"""The interface of an object store; every implementation passes the same contract tests."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from typing import Final, Protocol, TypeAlias, TypeVar

from msgspec import Struct

_Result = TypeVar("_Result")
BytesLike: TypeAlias = bytes | bytearray
"""Content of an object; it is not changed after it was passed to a store."""


class ObjectAbsent(Enum):
    """The precondition that the object does not exist yet."""

    ABSENT = "absent"


ABSENT = ObjectAbsent.ABSENT


DEFAULT_LIMIT: Final = 64 << 20
"""Bytes of an object to read at most, where the reader knows no smaller limit."""


class ObjectData(Struct, frozen=True):
    """A complete object; `etag` is the precondition for a conditional write."""

    body: bytes
    etag: str


class ListedObject(Struct, frozen=True):
    """An object in a listing; `modified` is the store's time, in seconds since 1970."""

    key: str
    size: int
    modified: float


class Sink(Protocol):
    """Receives the content of an object; its errors pass through the store's method."""

    def begin(self) -> None:
        """Start from the first byte of the object, also after a failed attempt."""
        ...

    def space(self) -> memoryview:
        """Return the buffer for the next bytes; empty if the sink accepts no more bytes."""
        ...

    def take(self, size: int) -> None:
        """Accept the first `size` bytes of the last buffer as the next bytes of the object."""
        ...


class Store(Protocol):
    """One prefix of one bucket; keys are relative to it.

    Every method raises a StoreError: DeniedError for 401 and 403, StoreAwayError for 429, 5xx,
    timeouts and broken connections (after the retries that its settings allow), and those that its
    docstring names. All methods are safe to call from several threads.
    """

    def get(self, key: str, limit: int = DEFAULT_LIMIT) -> ObjectData:
        """Read a complete object; MissingObjectError only if the store answers 404 NoSuchKey.

        An object of more than `limit` bytes is not read: DamagedError.
        """
        ...

    def get_into(self, key: str, sink: Sink) -> int:
        """Read a complete object into a sink and return its size in bytes.

        Each attempt starts the sink again; a failed one leaves a part of the object there. Raises
        the errors of `get`, DamagedError if the object is larger than the sink, and the errors of
        the sink.
        """
        ...

    def get_range(self, key: str, offset: int, size: int) -> bytes:
        """Read exactly `size` bytes; DamagedError if the object is shorter.

        DamagedError is not a StoreError: the store answered the request correctly.
        """
        ...

    def put(self, key: str, parts: Sequence[BytesLike], digest: str) -> None:
        """Write the concatenated parts as an object; `digest` is their SHA-256 in hexadecimal.

        Keys are derived from the content, so a repeated write changes nothing.
        """
        ...

    def put_if(self, key: str, body: bytes, etag: str | ObjectAbsent) -> str:
        """Write if the object still has this ETag, or is absent; return the new ETag.

        The request is sent once: the caller must distinguish a lost response from a refusal.
        Raises PreconditionError if the object has another ETag, StoreAwayError if the result is
        unknown.
        """
        ...

    def list(self, prefix: str, after: str = "") -> Iterator[ListedObject]:
        """Yield all objects whose key begins with `prefix`, page by page, in the order of keys.

        With `after`, only those whose key is greater.
        """
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; one that does not exist counts as deleted."""
        ...

    def retry(self, operation: Callable[[], _Result]) -> _Result:
        """Run an operation that may be repeated, and again where its error may pass.

        A store that retries repeats it for as long as its settings allow. A DamagedError or
        UnknownFormatError is repeated too, a few times: what was read may be a bad response,
        while the object is as it should be. So reading and checking belong into one operation.
        """
        ...
