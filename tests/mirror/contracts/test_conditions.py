"""Conditional writes, on which the commit protocol depends."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from reconcile.mirror.errors import PreconditionError, StoreAwayError
from reconcile.mirror.store.port import ABSENT, ObjectAbsent, Store

WRITERS = 8


def test_the_first_write_requires_that_the_object_is_absent(store: Store) -> None:
    etag = store.put_if("HEAD", b"first", ABSENT)
    assert store.get("HEAD").etag == etag
    with pytest.raises(PreconditionError, match="HEAD"):
        store.put_if("HEAD", b"second", ABSENT)
    assert store.get("HEAD").body == b"first"


def test_the_next_write_requires_the_current_etag(store: Store) -> None:
    first = store.put_if("HEAD", b"first", ABSENT)
    second = store.put_if("HEAD", b"second", first)
    assert second != first
    with pytest.raises(PreconditionError, match="HEAD"):
        store.put_if("HEAD", b"late", first)
    assert store.get("HEAD").body == b"second"
    assert store.put_if("HEAD", b"third", second) == store.get("HEAD").etag


def test_the_etag_of_a_read_is_valid_for_a_write(store: Store) -> None:
    store.put_if("HEAD", b"first", ABSENT)
    store.put_if("HEAD", b"second", store.get("HEAD").etag)
    assert store.get("HEAD").body == b"second"


def test_a_deleted_object_has_no_etag(store: Store) -> None:
    etag = store.put_if("HEAD", b"first", ABSENT)
    store.delete(["HEAD"])
    with pytest.raises(PreconditionError, match="HEAD"):
        store.put_if("HEAD", b"second", etag)
    assert list(store.list("")) == []


def test_exactly_one_of_concurrent_writers_succeeds(store: Store) -> None:
    before: str | ObjectAbsent = ABSENT
    for number in range(10):
        winners = _race(store, number, before)
        assert len(winners) == 1
        [(writer, before)] = winners.items()
        assert store.get("HEAD").body == f"{number} {writer}".encode()
        assert store.get("HEAD").etag == before


def _race(store: Store, number: int, before: str | ObjectAbsent) -> dict[int, str]:
    start = Barrier(WRITERS)
    won: dict[int, str] = {}

    def write(writer: int) -> None:
        start.wait()
        try:
            won[writer] = store.put_if("HEAD", f"{number} {writer}".encode(), before)
        except (PreconditionError, StoreAwayError):
            return

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(WRITERS)))
    return won
