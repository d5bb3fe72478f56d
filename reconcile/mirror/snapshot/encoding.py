"""Names, times and paths as the text that manifests store, and the checks of paths.

Names become text that any tool can print, without losing a byte; times keep their nanoseconds. A
path that passes the checks can be restored without a further check.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

_SPECIAL: Final = re.compile("[%\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_ESCAPE: Final = re.compile(b"%([0-9A-F]{2})")


def encode_text(name: str) -> str:
    """Write `%`, control characters and bytes that are not UTF-8 as `%XX`, byte by byte.

    Args:
        name: As `os.fsdecode` returns it.

    Returns:
        Text that is valid UTF-8 and has no control characters.

    Raises:
        ValueError: The name has surrogates that do not represent a byte.
    """
    if _SPECIAL.search(name) is None:
        return name
    return _SPECIAL.sub(_escape_match, name)


def decode_text(text: str) -> str:
    """Return the name whose encoding is `text`.

    Raises:
        ValueError: `encode_text` writes no name as this text.
    """
    if _SPECIAL.search(text) is None:
        return text
    try:
        raw = _ESCAPE.sub(_unescape_match, text.encode())
    except UnicodeEncodeError:
        raise ValueError("has surrogates that do not represent a byte") from None
    name = raw.decode(errors="surrogateescape")
    if encode_text(name) != text:
        raise ValueError("is not escaped as format 1 escapes names")
    return name


def _escape_match(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode(errors="surrogateescape"))


def _unescape_match(match: re.Match[bytes]) -> bytes:
    return bytes((int(match[1], 16),))


SECOND: Final = 1_000_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MTIME: Final = re.compile(r"(-?)(0|[1-9][0-9]{0,18})\.([0-9]{9})", re.ASCII)
_TIMESTAMP: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})\.([0-9]{9})Z", re.ASCII
)
_LAST_SECOND: Final = 2**63 - 1


def format_mtime(time: int) -> str:
    """Write nanoseconds since 1970 as seconds with nine decimals, as `touch -d @…` accepts them."""
    sign = "-" if time < 0 else ""
    seconds, rest = divmod(abs(time), SECOND)
    return f"{sign}{seconds}.{rest:09d}"


def parse_mtime(text: str) -> int:
    """Return a time of `format_mtime` in nanoseconds since 1970; ValueError for another form."""
    match = _MTIME.fullmatch(text)
    if match is None:
        raise ValueError("is not a time in seconds with nine decimals")
    sign, seconds, rest = match.groups()
    time = int(seconds) * SECOND + int(rest)
    if time > _LAST_SECOND * SECOND or (sign and not time):
        raise ValueError("is not a time that a file can have")
    return -time if sign else time


def format_timestamp(time: int) -> str:
    """Write nanoseconds since 1970 in RFC 3339 with nine decimals, in UTC.

    Raises:
        ValueError: The time is before the year 1 or after 9999.
    """
    seconds, rest = divmod(time, SECOND)
    try:
        moment = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        raise ValueError(f"{seconds} s is not a time that a generation can have") from None
    return f"{moment.isoformat().removesuffix('+00:00')}.{rest:09d}Z"


def parse_timestamp(text: str) -> int:
    """Return a time of `format_timestamp` in nanoseconds since 1970; ValueError for other forms."""
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        raise ValueError("is not a time such as 2026-01-31T12:00:00.123456789Z")
    moment = datetime.fromisoformat(f"{match[1]}+00:00")
    return (moment - _EPOCH) // timedelta(seconds=1) * SECOND + int(match[2])


MAX_NAME: Final = 255
"""Maximum bytes of one path component: the limit of Linux file systems."""

MAX_PATH: Final = 4095
"""Maximum bytes of a path or of a link's target: what Linux accepts in one call."""

# Matches nearly every path: each component is short enough whatever its characters.
_SHORT_PATH: Final = re.compile(r"(?:(?!\.\.?(?:/|\Z))[^/\0]{1,63}(?:/(?!\Z)|\Z))+")
_SHORT_PATH_LENGTH: Final = MAX_PATH // 4


def check_path(path: str) -> None:
    """Raise ValueError with the reason unless this is a plain path below the root."""
    if len(path) <= _SHORT_PATH_LENGTH and _SHORT_PATH.fullmatch(path):
        return
    if not path:
        raise ValueError("is empty")
    if path[0] == "/":
        raise ValueError("is absolute")
    if "\0" in path:
        raise ValueError("has a NUL")
    if _byte_length(path, MAX_PATH) > MAX_PATH:
        raise ValueError(f"is longer than {MAX_PATH} bytes")
    for name in path.split("/"):
        _check_name(name)


def check_link_target(target: str) -> None:
    """Raise ValueError with the reason unless a symbolic link may have this target."""
    if not target:
        raise ValueError("is empty")
    if "\0" in target:
        raise ValueError("has a NUL")
    if _byte_length(target, MAX_PATH) > MAX_PATH:
        raise ValueError(f"is longer than {MAX_PATH} bytes")


def _check_name(name: str) -> None:
    if not name:
        raise ValueError("has an empty component")
    if name in {".", ".."}:
        raise ValueError(f"has a component {name}")
    if _byte_length(name, MAX_NAME) > MAX_NAME:
        raise ValueError(f"has a component longer than {MAX_NAME} bytes")


def _byte_length(text: str, limit: int) -> int:
    """Return the length of a text in bytes, or in characters if it cannot exceed the limit."""
    if 4 * len(text) <= limit:
        return len(text)
    return len(text.encode(errors="surrogateescape"))
