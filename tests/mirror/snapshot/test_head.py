import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.mirror.errors import DamagedError, UnknownFormatError
from reconcile.mirror.model import Generation, Head, ManifestRef, Writer
from reconcile.mirror.snapshot.head import decode_head, encode_head
from reconcile.mirror.snapshot.keys import manifest_key
from tests.mirror.snapshot import random_trees
from tests.mirror.snapshot.random_trees import sha


def ref(generation):
    digest = sha(f"manifest {generation}")
    return ManifestRef(
        generation, manifest_key(generation, digest), digest, 100 + generation % 1000
    )


chains = st.sets(st.integers(1, 10**12 - 1), max_size=5).map(
    lambda numbers: tuple(ref(number) for number in sorted(numbers))
)


@st.composite
def heads(draw):
    chain = draw(chains)
    number = chain[-1].generation if chain else 0
    time = draw(st.integers(0, 2**62))
    return Head(
        Generation(number, time, chain, draw(random_trees.completeness)), draw(random_trees.writers)
    )


HEAD = Head(Generation(2, 0, (ref(1), ref(2))), Writer("uid", 1, "pod"))
VALUE = orjson.loads(encode_head(HEAD))


@given(heads())
def test_every_head_round_trips(head):
    assert decode_head(encode_head(head)) == head


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"generation": 3}, "`chain` does not end with its generation"),
        ({"generation": 0}, "`chain` does not end with its generation"),
        ({"chain": []}, "`chain` does not end with its generation"),
        ({"chain": [*reversed(VALUE["chain"])]}, "not in the order of generations"),
        ({"chain": [{**VALUE["chain"][0], "size": 0}]}, "`size` is not an integer from 1"),
        ({"chain": [{**VALUE["chain"][0], "generation": 9}]}, "`key` does not match"),
        ({"time": 5}, "`time` is not a string"),
        ({"partial": 0}, "`partial` is not an object"),
        ({"writer": {"uid": "u", "epoch": -1, "name": "n"}}, "`epoch` is not an integer"),
        ({"writer": {"uid": "u", "epoch": 1}}, "lacks `name`"),
        ({"extra": 1}, "has an unknown field `extra`"),
        ({"format": None}, "does not say that its format"),
    ],
)
def test_a_malformed_head_is_damaged(change, why):
    with pytest.raises(DamagedError, match=f"HEAD is damaged: .*{why}"):
        decode_head(orjson.dumps({**VALUE, **change}))


def test_a_head_of_a_newer_format_is_named():
    with pytest.raises(UnknownFormatError, match="'reconcile-mirror/9'"):
        decode_head(orjson.dumps({"format": "reconcile-mirror/9"}))


@given(st.binary())
def test_arbitrary_bytes_are_damaged(data):
    with pytest.raises(DamagedError, match="HEAD is damaged"):
        decode_head(data)


def test_a_huge_head_is_not_even_parsed():
    with pytest.raises(DamagedError, match="bytes"):
        decode_head(encode_head(HEAD) + b" " * (2 << 20))
