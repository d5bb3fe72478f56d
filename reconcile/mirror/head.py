"""Reads and exchanges HEAD: one conditional write, and one look where its answer leaves doubt."""

from reconcile.mirror.errors import (
    DamagedError,
    MissingObjectError,
    PreconditionError,
    StoreAwayError,
    StoreError,
)
from reconcile.mirror.model import Head
from reconcile.mirror.protocol import Decided, Found, Landed, Meaning, Unchanged, judge
from reconcile.mirror.snapshot.head import decode_head, encode_head
from reconcile.mirror.snapshot.keys import HEAD
from reconcile.mirror.store.port import ABSENT, Store


def read_head(store: Store) -> Found | None:
    """Read HEAD; None only where the store says clearly that there is none.

    Raises:
        StoreError: It could not be read.
        DamagedError: It is no HEAD.
        UnknownFormatError: Another version wrote it.
    """
    try:
        stored = store.get(HEAD)
    except MissingObjectError:
        return None
    return Found(decode_head(stored.body), stored.etag)


def exchange(store: Store, attempted: Head, before: Found | None) -> Decided:
    """Write HEAD if it is still `before`, and say what became of it.

    Where the answer is lost or a refusal, HEAD is read: if it is still the old one, the write is
    sent once more, never a third time.

    Raises:
        StoreError: It could not be learnt whether the write arrived; it may still arrive later.
        DamagedError: HEAD was deleted or is no HEAD any more.
    """
    first = _attempt(store, attempted, before)
    second = _attempt(store, attempted, before) if isinstance(first, StoreError) else first
    if isinstance(second, StoreError):
        raise _undecided(second) from second
    return second


def _attempt(store: Store, attempted: Head, before: Found | None) -> Decided | StoreError:
    """Send the write; an error is returned where HEAD is still the old one afterwards."""
    precondition = ABSENT if before is None else before.etag
    try:
        etag = store.put_if(HEAD, encode_head(attempted), precondition)
    except (PreconditionError, StoreAwayError) as error:
        meaning = _look(store, attempted, before)
        return error if isinstance(meaning, Unchanged) else meaning
    return Landed(Found(attempted, etag))


def _look(store: Store, attempted: Head, before: Found | None) -> Meaning:
    found = read_head(store)
    if found is None and before is not None:
        raise DamagedError(
            "HEAD was deleted while this workspace was in use, so nothing more is written. Its "
            "generations are still below manifests/: put HEAD back, or move the prefix away to "
            "begin anew"
        )
    return judge(attempted, before, found)


def _undecided(error: StoreError) -> StoreAwayError:
    """A refusal although HEAD is the old one passes by itself: the store contradicts itself."""
    if isinstance(error, StoreAwayError):
        return error
    return StoreAwayError(
        f"the store refuses to write HEAD though it has not changed ({error}); if this stays so, "
        "it does not understand conditional writes"
    )
