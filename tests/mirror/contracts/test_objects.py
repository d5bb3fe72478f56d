"""Single objects are read as they were written, for any name and size."""

import hashlib
from collections.abc import Sequence

import pytest

from reconcile.mirror.errors import DamagedError, MissingObjectError, WorkspaceError
from reconcile.mirror.restore.downloader import MemorySink
from reconcile.mirror.store.port import Store
from tests.mirror.contracts.stores import StoreUnderTest

ODD_KEYS = [
    "packs/0123.tar",
    "with blank",
    "plus+and&and?and#",
    "per%20cent%",
    "quote'double\"",
    "grün/日本/🙂",
    "semi;colon=equals,comma@at:colon",
    "star*and(brackets)[square]{curly}",
    "~tilde!bang$dollar|pipe<less>",
    "a//b",
    "deep/" * 20 + "end",
]


def put(store: Store, key: str, *parts: bytes) -> None:
    store.put(key, parts, hashlib.sha256(b"".join(parts)).hexdigest())


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([], id="no parts"),
        pytest.param([b""], id="an empty part"),
        pytest.param([b"whole"], id="one part"),
        pytest.param([b"one", b"", b"two"], id="parts of which one is empty"),
        pytest.param([bytes([n % 256]) * 4096 for n in range(512)], id="many small parts"),
        pytest.param([b"x" * 511, b"y" * (3 << 20), b"z"], id="small and large parts"),
    ],
)
def test_an_object_is_read_as_it_was_written(store: Store, parts: Sequence[bytes]) -> None:
    put(store, "key", *parts)
    assert store.get("key").body == b"".join(parts)


@pytest.mark.parametrize("key", ODD_KEYS)
def test_a_key_may_have_odd_characters(store: Store, key: str) -> None:
    put(store, key, key.encode())
    assert store.get(key).body == key.encode()
    assert [each.key for each in store.list("")] == [key]
    store.delete([key])
    assert list(store.list("")) == []


@pytest.mark.parametrize("size", [0, 1, 4096, (3 << 20) + 7])
def test_an_object_is_read_into_a_buffer_of_its_size_or_larger(store: Store, size: int) -> None:
    data = bytes(range(251)) * (size // 251 + 1)
    put(store, "key", data[:size])
    buffer = bytearray(b"old" * (size + 1))
    assert store.get_into("key", MemorySink(memoryview(buffer))) == size
    assert buffer[:size] == data[:size]
    assert store.get_into("key", MemorySink(memoryview(buffer)[:size])) == size


def test_an_object_that_is_larger_than_the_buffer_is_damaged(store: Store) -> None:
    put(store, "key", b"too much")
    with pytest.raises(DamagedError, match="more than 7 bytes"):
        store.get_into("key", MemorySink(memoryview(bytearray(7))))
    assert store.get("key").body == b"too much"


class Pieces:
    """A sink for so many bytes, a thousand at a time."""

    def __init__(self, size: int) -> None:
        self.content = b"earlier content"
        self._size = size
        self._memory = memoryview(bytearray(1000))

    def begin(self) -> None:
        self.content = b""

    def space(self) -> memoryview:
        return self._memory[: self._size - len(self.content)]

    def take(self, size: int) -> None:
        self.content += self._memory[:size]


class Full(Pieces):
    """A sink that fails before it is full."""

    def take(self, size: int) -> None:
        super().take(size)
        if len(self.content) > 2000:
            raise WorkspaceError("the volume is full")


@pytest.mark.parametrize("size", [0, 999, 1000, 1001, 5000])
def test_an_object_is_read_piece_by_piece(store: Store, size: int) -> None:
    data = (bytes(range(251)) * 20)[:size]
    put(store, "key", data)
    for more in (0, 1, 3000):
        sink = Pieces(size + more)
        assert store.get_into("key", sink) == size
        assert sink.content == data


def test_an_object_that_is_larger_than_its_pieces_is_damaged(store: Store) -> None:
    put(store, "key", b"x" * 5001)
    with pytest.raises(DamagedError, match="more than 5000 bytes"):
        store.get_into("key", Pieces(5000))


def test_an_error_of_the_sink_is_raised_and_the_store_stays_usable(store: Store) -> None:
    put(store, "key", b"x" * (1 << 20))
    with pytest.raises(WorkspaceError, match="full"):
        store.get_into("key", Full(1 << 20))
    assert store.get("key").body == b"x" * (1 << 20)


def test_a_missing_object_is_reported(store: Store) -> None:
    with pytest.raises(MissingObjectError, match="no-such"):
        store.get("no-such")
    with pytest.raises(MissingObjectError, match="no-such"):
        store.get_range("no-such", 0, 1)
    with pytest.raises(MissingObjectError, match="no-such"):
        store.get_into("no-such", MemorySink(memoryview(bytearray(1))))


def test_putting_again_replaces(store: Store) -> None:
    put(store, "key", b"old")
    put(store, "key", b"new")
    assert store.get("key").body == b"new"


def test_a_range_has_exactly_the_requested_bytes(store: Store) -> None:
    put(store, "key", bytes(range(256)) * 100)
    assert store.get_range("key", 0, 1) == b"\0"
    assert store.get_range("key", 250, 12) == bytes(
        [250, 251, 252, 253, 254, 255, 0, 1, 2, 3, 4, 5]
    )
    assert store.get_range("key", 25599, 1) == b"\xff"
    assert store.get_range("key", 7, 0) == b""


@pytest.mark.parametrize(("offset", "size"), [(0, 11), (9, 2), (10, 1), (100, 1)])
def test_a_range_beyond_the_end_is_damage(store: Store, offset: int, size: int) -> None:
    put(store, "key", b"0123456789")
    with pytest.raises(DamagedError, match="ends"):
        store.get_range("key", offset, size)


def test_only_the_named_objects_are_deleted(store: Store) -> None:
    for key in ("a", "b", "c"):
        put(store, key, b"x")
    store.delete(["a", "c", "never-there"])
    store.delete([])
    assert [each.key for each in store.list("")] == ["b"]


def test_a_prefix_does_not_contain_objects_of_another(world: StoreUnderTest) -> None:
    one, other = world.below("team/one/"), world.below("team/one-more/")
    put(one, "key", b"one")
    put(other, "key", b"other")
    assert one.get("key").body == b"one"
    assert [each.key for each in one.list("")] == ["key"]
    other.delete(["key"])
    assert one.get("key").body == b"one"
