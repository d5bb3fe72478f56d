from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.core.fields.merge_schema import RESOURCE_DIGITS, Quantity, merge_schema_for
from reconcile.core.fields.quantity import (
    canonicalize_quantity,
    parse_quantity,
    same_quantity,
    stringify_quantities,
)
from reconcile.core.model import Kind

POD = Kind("v1", "Pod")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "1000m"),
        ("1Gi", "1024Mi"),
        ("1k", "1000"),
        ("0.1", "100m"),
        (".5", "500m"),
        ("1.", "1"),
        ("1e3", "1k"),
        ("1E3", "1000"),
        ("1E", "1000P"),
        ("1Ei", "1024Pi"),
        ("12e-1", "1200m"),
        ("+1", "1"),
        ("-1", "-1000m"),
        ("1u", "1000n"),
        (1, "1"),
        (0.5, "500m"),
        (1e22, "10000E"),
        (1e-7, "100n"),
        ("0.1n", "1n"),
        ("-0.1n", "-1n"),
        ("1e30", "9223372036854775807"),
        ("0", "0Ki"),
        ("none", "none"),
        (True, True),
    ],
)
def test_quantities_are_equal_by_value(one, other):
    assert same_quantity(one, other)
    assert same_quantity(other, one)


@pytest.mark.parametrize(
    ("declared", "stored"),
    [
        ("0.0005", "1m"),
        ("500u", "1m"),
        ("1n", "1m"),
        ("5e-4", "1m"),
        ("1.0001", "1001m"),
        ("-0.0005", "-1m"),
        ("0.1Ki", "102400m"),
        ("0.0001Ki", "103m"),
        ("0.0", "0"),
    ],
)
def test_resources_are_equal_if_the_server_only_rounds_them(declared, stored):
    assert same_quantity(declared, stored, RESOURCE_DIGITS)
    assert not same_quantity(declared, stored) or stored in {"0", "102400m"}


@given(
    st.sampled_from(["", "m", "u", "n", "k", "Ki", "Mi", "Gi", "e-2", "e3", "E"]),
    st.decimals(-9, 9_999, places=5, allow_nan=False),
    st.sampled_from([3, 9]),
)
def test_a_quantity_equals_the_form_in_which_the_server_stores_it(unit, number, digits):
    declared = f"{number}{unit}"
    stored = canonicalize_quantity(declared, digits)
    assert same_quantity(declared, stored, digits)
    assert canonicalize_quantity(stored, digits) == stored


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "1Ki"),
        ("1M", "1Mi"),
        ("1", "none"),
        ("none", "1"),
        ("none", "None"),
        (True, 1),
        (1, True),
        (False, 0),
        ("1", None),
    ],
)
def test_quantities_that_differ_in_value_differ(one, other):
    assert not same_quantity(one, other)


@pytest.mark.parametrize(
    "text",
    ["", "Mi", "1Xi", "1K", "1kk", "1 Gi", "1e", "--1", "1e333", "1ei", "1Ex", "½", "\u0661"],
)
def test_what_is_not_a_quantity_has_no_value(text):
    assert parse_quantity(text) is None


@given(st.text() | st.from_regex(r"[0-9]{1,3}[.]?[0-9]{0,3}[A-Za-z0-9+-]{0,4}", fullmatch=True))
def test_any_text_is_parsed_without_an_exception(text):
    value = parse_quantity(text)
    assert value is None or isinstance(value, Fraction)


def test_quantities_are_written_as_text_wherever_they_are():
    body = {"spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": 1, "x": 0.5}}}]}}
    limits = stringify_quantities(merge_schema_for(POD), body)["spec"]["containers"][0][
        "resources"
    ]["limits"]
    assert limits == {"cpu": "1", "x": "0.5"}


@pytest.mark.parametrize("value", [True, "1", None, ["1"]])
def test_a_value_that_is_not_a_number_is_not_changed(value):
    assert stringify_quantities(Quantity(), value) == value
    assert stringify_quantities(merge_schema_for(POD), {"spec": value}) == {"spec": value}
