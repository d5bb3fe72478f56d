"""Finds out, before anything depends on it, whether a store honours conditional writes.

Some servers take `If-Match` and `If-None-Match` and ignore them: a pod that has long been replaced
could overwrite its successor's work, and nobody would be told.
"""

import contextlib
from enum import Enum

from reconcile.mirror.errors import DeniedError, PreconditionError, StoreAwayError, StoreError
from reconcile.mirror.store.port import ABSENT, Absent, Store


class Verdict(Enum):
    """What a store makes of conditional writes; the value is the reason in words."""

    HONOURED = "honours conditional writes"
    IGNORES_ABSENT = "takes a write with If-None-Match: * though the object exists"
    IGNORES_ETAG = "takes a write with If-Match and an ETag that is no longer true"
    REFUSES_ETAG = "refuses a write with If-Match and the ETag that it has just given"
    UNKNOWN = "does not know conditional writes"


def probe(store: Store, key: str) -> Verdict:
    """Try it on a scratch object, in five requests.

    Args:
        store: The store in question.
        key: A key that nobody else uses, now or ever: name it by something random. The object
            stays, for garbage collection, where the writer has no right to delete.

    Raises:
        StoreError: The store could not be asked.
    """
    try:
        return _asked(store, key)
    finally:
        with contextlib.suppress(DeniedError, StoreAwayError):
            store.delete([key])


def demand(verdict: Verdict, *, single_writer: bool) -> None:
    """Refuse a store without conditional writes unless somebody vouches for a single writer.

    Raises:
        StoreError: Two writers could overwrite each other's work.
    """
    if verdict is Verdict.HONOURED or single_writer:
        return
    raise StoreError(
        f"this store {verdict.value}: a pod that was replaced could overwrite the work of its "
        "successor. Use a store that honours conditional writes (docs/storage.md lists them), or "
        "give --single-writer if you make sure that no two pods ever have the same workspace"
    )


def _asked(store: Store, key: str) -> Verdict:
    try:
        first = store.put_if(key, b"first", ABSENT)
    except (DeniedError, StoreAwayError, PreconditionError):
        raise
    except StoreError:
        return Verdict.UNKNOWN
    if not _refuses(store, key, ABSENT):
        return Verdict.IGNORES_ABSENT
    try:
        store.put_if(key, b"second", first)
    except PreconditionError:
        return Verdict.REFUSES_ETAG
    return Verdict.HONOURED if _refuses(store, key, first) else Verdict.IGNORES_ETAG


def _refuses(store: Store, key: str, etag: str | Absent) -> bool:
    try:
        store.put_if(key, b"never", etag)
    except PreconditionError:
        return True
    return False
