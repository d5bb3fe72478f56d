"""Times as text, in nanoseconds, and back."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

SECOND: Final = 1_000_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MTIME: Final = re.compile(r"(-?)(0|[1-9][0-9]{0,18})\.([0-9]{9})", re.ASCII)
_STAMP: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})\.([0-9]{9})Z", re.ASCII
)
_LAST_SECOND: Final = 2**63 - 1


def mtime_text(time: int) -> str:
    """Write nanoseconds since 1970 as seconds with nine decimals, as `touch -d @…` takes them."""
    sign = "-" if time < 0 else ""
    seconds, rest = divmod(abs(time), SECOND)
    return f"{sign}{seconds}.{rest:09d}"


def parse_mtime(text: str) -> int:
    """Return the nanoseconds since 1970 that `mtime_text` wrote so; ValueError for another form."""
    found = _MTIME.fullmatch(text)
    if found is None:
        raise ValueError("is no time in seconds with nine decimals")
    sign, seconds, rest = found.groups()
    time = int(seconds) * SECOND + int(rest)
    if time > _LAST_SECOND * SECOND or (sign and not time):
        raise ValueError("is no time that a file can have")
    return -time if sign else time


def stamp_text(time: int) -> str:
    """Write nanoseconds since 1970 in RFC 3339 with nine decimals, in UTC.

    Raises:
        ValueError: The time is before the year 1 or after 9999.
    """
    seconds, rest = divmod(time, SECOND)
    try:
        moment = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        raise ValueError(f"{seconds} s is no time that a generation can have") from None
    return f"{moment.isoformat().removesuffix('+00:00')}.{rest:09d}Z"


def parse_stamp(text: str) -> int:
    """Return the nanoseconds since 1970 that `stamp_text` wrote so; ValueError for another form."""
    found = _STAMP.fullmatch(text)
    if found is None:
        raise ValueError("is no time such as 2026-01-31T12:00:00.123456789Z")
    moment = datetime.fromisoformat(f"{found[1]}+00:00")
    return (moment - _EPOCH) // timedelta(seconds=1) * SECOND + int(found[2])
