"""Listings are complete, in order, and can begin after any key."""

from concurrent.futures import ThreadPoolExecutor
from time import time

from reconcile.mirror.store.port import Store
from tests.mirror.contracts.test_objects import put


def test_a_prefix_without_objects_is_an_empty_list(store: Store) -> None:
    assert list(store.list("")) == []
    assert list(store.list("no/such/prefix")) == []


def test_a_list_has_key_size_and_time(store: Store) -> None:
    put(store, "packs/one", b"12345")
    [listed] = store.list("packs/")
    assert (listed.key, listed.size) == ("packs/one", 5)
    # The server's clock is this machine's, and its times may be whole seconds.
    assert abs(listed.modified - time()) < 3600


def test_a_prefix_need_not_end_at_a_slash(store: Store) -> None:
    for key in ("blobs/ab1", "blobs/ab2", "blobs/ac1", "packs/ab3"):
        put(store, key, b"")
    assert [each.key for each in store.list("blobs/ab")] == ["blobs/ab1", "blobs/ab2"]


def test_keys_are_in_the_order_of_their_bytes(store: Store) -> None:
    keys = ["Z", "a", "a b", "a+b", "a/b", "a0", "é", "日", "🙂"]
    for key in reversed(keys):
        put(store, key, b"")
    assert [each.key for each in store.list("")] == sorted(keys, key=str.encode)


def test_a_list_of_several_pages_is_complete_and_begins_after_the_given_key(store: Store) -> None:
    _fill(store)
    keys = [f"k/{number:04}" for number in range(1100)]
    for after in ("", "k/0000", "k/0500", "k/0999", "k/1099", "k/05", "l", "j"):
        assert [each.key for each in store.list("k/", after)] == [
            key for key in keys if key > after
        ]


def test_many_objects_are_deleted_in_one_call(store: Store) -> None:
    _fill(store)
    store.delete(f"k/{number:04}" for number in range(1, 1100))
    assert [each.key for each in store.list("")] == ["k/0000"]


def _fill(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: put(store, f"k/{number:04}", b"x"), range(1100)))
