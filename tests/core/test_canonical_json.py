"""The canonical form and its digests."""

from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconcile.core.canonical_json import compute_digest, encode_canonical, parse_count

OBJECTS = st.dictionaries(st.text(), st.integers(-(2**63), 2**63 - 1) | st.text())


def test_keys_are_sorted_at_every_depth():
    assert (
        encode_canonical({"b": {"d": 1, "c": [2]}, "a": None}) == b'{"a":null,"b":{"c":[2],"d":1}}'
    )


def test_text_stays_utf_8():
    assert encode_canonical("é") == '"é"'.encode()


def test_any_mapping_is_encoded_as_an_object():
    assert encode_canonical(MappingProxyType({"a": (1, 2)})) == b'{"a":[1,2]}'


def test_a_digest_names_its_algorithm():
    assert (
        compute_digest({})
        == "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    )


@settings(deadline=None)
@given(st.dictionaries(st.text(), OBJECTS))
def test_the_order_of_keys_does_not_matter(value):
    turned = {key: dict(reversed(inner.items())) for key, inner in reversed(value.items())}
    assert compute_digest(value) == compute_digest(turned)


@pytest.mark.parametrize("value", [object(), {1: 2}, 2**64, "\ud800", {1, 2}])
def test_what_json_cannot_carry_is_a_type_error(value):
    with pytest.raises(TypeError):
        encode_canonical(value)


def test_a_count_is_a_number_that_can_be_written_again():
    assert parse_count(7) == 7
    for value in (-1, 1e300, 2.0, True, "1", None, 2**60):
        with pytest.raises(ValueError, match="whole number"):
            parse_count(value)
