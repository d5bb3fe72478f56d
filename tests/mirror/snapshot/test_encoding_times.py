import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.mirror.snapshot.encoding import (
    format_mtime,
    format_timestamp,
    parse_mtime,
    parse_timestamp,
)

SECOND = 10**9
FIRST, LAST = -62_135_596_800 * SECOND, 253_402_300_800 * SECOND - 1


@given(st.integers(-(2**63 - 1) * SECOND, (2**63 - 1) * SECOND))
def test_every_mtime_round_trips(time):
    assert parse_mtime(format_mtime(time)) == time


@given(st.integers(FIRST, LAST))
def test_every_timestamp_of_four_digit_years_round_trips(time):
    assert parse_timestamp(format_timestamp(time)) == time


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (0, "0.000000000"),
        (-1, "-0.000000001"),
        (-1_500_000_000, "-1.500000000"),
        (5, "0.000000005"),
    ],
)
def test_times_before_1970_have_a_sign(time, text):
    assert format_mtime(time) == text


def test_a_timestamp_is_utc_with_nine_decimals():
    assert format_timestamp(1_769_860_800_123_456_789) == "2026-01-31T12:00:00.123456789Z"


@pytest.mark.parametrize("time", [FIRST - 1, LAST + 1])
def test_other_years_have_no_timestamp(time):
    with pytest.raises(ValueError, match="not a time that a generation can have"):
        format_timestamp(time)


@pytest.mark.parametrize(
    "text", ["", "1", "1.5", "01.000000000", "+1.000000000", "1.0000000001", "nan"]
)
def test_another_form_of_an_mtime_is_rejected(text):
    with pytest.raises(ValueError, match="not a time in seconds"):
        parse_mtime(text)


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31T12:00:00Z",
        "2026-01-31T12:00:00.123456789+01:00",
        "2026-02-30T12:00:00.000000000Z",
    ],
)
def test_another_form_of_a_timestamp_is_rejected(text):
    with pytest.raises(ValueError, match=r"not a time such as|day is out of range"):
        parse_timestamp(text)
