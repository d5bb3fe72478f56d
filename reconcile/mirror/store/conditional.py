"""Finds out, before anything depends on it, whether a store honours conditional writes.

Some servers take `If-Match` and `If-None-Match` and ignore them: a pod that has long been replaced
could overwrite its successor's work, and nobody would be told.

For a store without conditional writes, where somebody vouches that there is one writer.
"""

import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from typing import TYPE_CHECKING

from reconcile.mirror.errors import (
    DeniedError,
    MissingObjectError,
    PreconditionError,
    StoreAwayError,
    StoreError,
)
from reconcile.mirror.store.port import (
    ABSENT,
    BytesLike,
    ListedObject,
    ObjectAbsent,
    ObjectData,
    Sink,
    Store,
)


class ConditionalWriteSupport(Enum):
    """What a store makes of conditional writes; the value is the reason in words."""

    HONOURED = "honours conditional writes"
    IGNORES_ABSENT = "takes a write with If-None-Match: * though the object exists"
    IGNORES_ETAG = "takes a write with If-Match and an ETag that is no longer true"
    REFUSES_ETAG = "refuses a write with If-Match and the ETag that it has just given"
    UNKNOWN = "does not know conditional writes"


def probe_conditional_writes(store: Store, key: str) -> ConditionalWriteSupport:
    """Try it on a scratch object, in five requests.

    Args:
        store: The store in question.
        key: A key that nobody else uses, now or ever: name it by something random. The object
            stays, for garbage collection, where the writer has no right to delete.

    Raises:
        StoreError: The store could not be asked.
    """
    try:
        return _run_probe(store, key)
    finally:
        with contextlib.suppress(DeniedError, StoreAwayError):
            store.delete([key])


def require_conditional_writes(support: ConditionalWriteSupport, *, single_writer: bool) -> None:
    """Refuse a store without conditional writes unless somebody vouches for a single writer.

    Raises:
        StoreError: Two writers could overwrite each other's work.
    """
    if support is ConditionalWriteSupport.HONOURED or single_writer:
        return
    raise StoreError(
        f"this store {support.value}: a pod that was replaced could overwrite the work of its "
        "successor. Use a store that honours conditional writes (docs/storage.md lists them), or "
        "give --single-writer if you make sure that no two pods ever have the same workspace"
    )


def _run_probe(store: Store, key: str) -> ConditionalWriteSupport:
    try:
        first = store.put_if(key, b"first", ABSENT)
    except (DeniedError, StoreAwayError, PreconditionError):
        raise
    except StoreError:
        return ConditionalWriteSupport.UNKNOWN
    if not _rejects_write(store, key, ABSENT):
        return ConditionalWriteSupport.IGNORES_ABSENT
    try:
        store.put_if(key, b"second", first)
    except PreconditionError:
        return ConditionalWriteSupport.REFUSES_ETAG
    return (
        ConditionalWriteSupport.HONOURED
        if _rejects_write(store, key, first)
        else ConditionalWriteSupport.IGNORES_ETAG
    )


def _rejects_write(store: Store, key: str, etag: str | ObjectAbsent) -> bool:
    try:
        store.put_if(key, b"never", etag)
    except PreconditionError:
        return True
    return False


class SingleWriterStore:
    """Wraps a Store; looks before it writes, which tells a second writer unless both look at once.

    `put_if` may have written where the answer of its last look is lost, as with any store.
    """

    def __init__(self, inner: Store) -> None:
        self._inner = inner

    def get(self, key: str) -> ObjectData:
        return self._inner.get(key)

    def get_into(self, key: str, sink: Sink) -> int:
        return self._inner.get_into(key, sink)

    def get_range(self, key: str, offset: int, size: int) -> bytes:
        return self._inner.get_range(key, offset, size)

    def put(self, key: str, parts: Sequence[BytesLike], digest: str) -> None:
        self._inner.put(key, parts, digest)

    def put_if(self, key: str, body: bytes, etag: str | ObjectAbsent) -> str:
        if self._etag(key) != (etag if isinstance(etag, str) else ""):
            raise PreconditionError(f"{key} is no longer what it was")
        self._inner.put(key, (body,), hashlib.sha256(body).hexdigest())
        written = self._inner.get(key)
        if written.body != body:
            raise PreconditionError(f"{key} was written by somebody else at the same time")
        return written.etag

    def list(self, prefix: str, after: str = "") -> Iterator[ListedObject]:
        return self._inner.list(prefix, after)

    def delete(self, keys: Iterable[str]) -> None:
        self._inner.delete(keys)

    def _etag(self, key: str) -> str:
        try:
            return self._inner.get(key).etag
        except MissingObjectError:
            return ""


if TYPE_CHECKING:
    _conforms: type[Store] = SingleWriterStore
