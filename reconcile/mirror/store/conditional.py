"""Whether a store honours conditional writes, and a substitute for stores without them.

Some servers accept `If-Match` and `If-None-Match` and ignore them. On such a store, a pod that was
replaced could overwrite the work of its successor, and no error would be reported.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from itertools import count
from typing import TYPE_CHECKING, TypeVar

from reconcile.mirror.errors import (
    MissingObjectError,
    PreconditionError,
    StoreAwayError,
    StoreError,
    UnsupportedRequestError,
)
from reconcile.mirror.store.port import (
    ABSENT,
    DEFAULT_LIMIT,
    BytesLike,
    ListedObject,
    ObjectAbsent,
    ObjectData,
    Sink,
    Store,
)

_Result = TypeVar("_Result")


class ConditionalWriteSupport(Enum):
    """How a store handles conditional writes; the value is a phrase for messages."""

    HONOURED = "honours conditional writes"
    IGNORES_ABSENT = "accepts a write with If-None-Match: * although the object exists"
    IGNORES_ETAG = "accepts a write with If-Match and a stale ETag"
    REFUSES_ETAG = "refuses a write with If-Match and the current ETag"
    UNKNOWN = "does not support conditional writes"


def probe_conditional_writes(store: Store, key: str) -> ConditionalWriteSupport:
    """Test conditional writes with a scratch object, in five requests.

    An attempt that fails is repeated with another object, as the store's settings allow, since it
    is not known which of its writes arrived. A store is only refused if two attempts agree.

    Args:
        store: The store to test.
        key: A key that no other process ever uses, such as a random one. If the writer may not
            delete, the object stays until garbage collection.

    Raises:
        StoreError: A request failed.
    """
    attempts = (f"{key}-{number}" if number else key for number in count())
    support = store.retry(lambda: _probe_once(store, next(attempts)))
    if support is ConditionalWriteSupport.HONOURED:
        return support
    return store.retry(lambda: _probe_once(store, next(attempts)))


def _probe_once(store: Store, key: str) -> ConditionalWriteSupport:
    try:
        return _run_probe(store, key)
    finally:
        with contextlib.suppress(StoreError):
            store.delete([key])


def require_conditional_writes(support: ConditionalWriteSupport, *, single_writer: bool) -> None:
    """Reject a store that does not honour conditional writes, unless there is a single writer.

    Raises:
        StoreError: Two writers could overwrite each other's work.
    """
    if support is ConditionalWriteSupport.HONOURED or single_writer:
        return
    raise StoreError(
        f"this store {support.value}: a pod that was replaced could overwrite the work of its "
        "successor. Use a store that honours conditional writes (docs/storage.md lists them), or "
        "give --single-writer if you ensure that no two pods ever use the same workspace"
    )


def _run_probe(store: Store, key: str) -> ConditionalWriteSupport:
    try:
        first = store.put_if(key, b"first", ABSENT)
    except UnsupportedRequestError:
        return ConditionalWriteSupport.UNKNOWN
    except PreconditionError as error:
        # Such as a proxy that sent the write twice, and answers with the result of the second.
        raise StoreAwayError(f"the store refused to create a new object: {error}") from error
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
    """Wraps a Store without conditional writes: reads the object before and after each `put_if`.

    This detects a second writer unless both read at the same moment. If the response to the last
    read is lost, the object may have been written, as with every store.
    """

    def __init__(self, inner: Store) -> None:
        self._inner = inner

    def get(self, key: str, limit: int = DEFAULT_LIMIT) -> ObjectData:
        return self._inner.get(key, limit)

    def get_into(self, key: str, sink: Sink) -> int:
        return self._inner.get_into(key, sink)

    def get_range(self, key: str, offset: int, size: int) -> bytes:
        return self._inner.get_range(key, offset, size)

    def put(self, key: str, parts: Sequence[BytesLike], digest: str) -> None:
        self._inner.put(key, parts, digest)

    def put_if(self, key: str, body: bytes, etag: str | ObjectAbsent) -> str:
        if self._etag(key) != (etag if isinstance(etag, str) else ""):
            raise PreconditionError(f"{key} has changed")
        self._inner.put(key, (body,), hashlib.sha256(body).hexdigest())
        written = self._inner.get(key)
        if written.body != body:
            raise PreconditionError(f"{key} was written by another process at the same time")
        return written.etag

    def list(self, prefix: str, after: str = "") -> Iterator[ListedObject]:
        return self._inner.list(prefix, after)

    def delete(self, keys: Iterable[str]) -> None:
        self._inner.delete(keys)

    def retry(self, operation: Callable[[], _Result]) -> _Result:
        return self._inner.retry(operation)

    def _etag(self, key: str) -> str:
        try:
            return self._inner.get(key).etag
        except MissingObjectError:
            return ""


if TYPE_CHECKING:
    _conforms: type[Store] = SingleWriterStore
