from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.core.fields.merge_schema import Quantity, merge_schema_for
from reconcile.core.fields.quantity import parse_quantity, same_quantity, stringify_quantities
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
        ("none", "none"),
        (True, True),
    ],
)
def test_quantities_are_equal_by_value(one, other):
    assert same_quantity(one, other)
    assert same_quantity(other, one)


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
