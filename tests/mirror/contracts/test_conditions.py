"""Conditional writes: what the whole commit protocol stands on."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from reconcile.mirror.errors import PreconditionError, StoreAwayError
from reconcile.mirror.store.port import ABSENT, ObjectAbsent, Store

WRITERS = 8


def test_the_first_write_needs_that_there_is_nothing(store: Store) -> None:
    etag = store.put_if("HEAD", b"first", ABSENT)
    assert store.get("HEAD").etag == etag
    with pytest.raises(PreconditionError, match="HEAD"):
        store.put_if("HEAD", b"second", ABSENT)
    assert store.get("HEAD").body == b"first"


def test_the_next_write_needs_the_etag_of_the_last(store: Store) -> None:
    first = store.put_if("HEAD", b"first", ABSENT)
    second = store.put_if("HEAD", b"second", first)
    assert second != first
    with pytest.raises(PreconditionError, match="HEAD"):
        store.put_if("HEAD", b"late", first)
    assert store.get("HEAD").body == b"second"
    assert store.put_if("HEAD", b"third", second) == store.get("HEAD").etag


def test_the_etag_that_reading_gives_is_good_for_writing(store: Store) -> None:
    store.put_if("HEAD", b"first", ABSENT)
    store.put_if("HEAD", b"second", store.get("HEAD").etag)
    assert store.get("HEAD").body == b"second"


def test_what_is_gone_has_no_etag(store: Store) -> None:
    etag = store.put_if("HEAD", b"first", ABSENT)
    store.delete(["HEAD"])
    with pytest.raises(PreconditionError, match="HEAD"):
        store.put_if("HEAD", b"second", etag)
    assert list(store.list("")) == []


def test_of_writers_at_the_same_time_exactly_one_wins(store: Store) -> None:
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
