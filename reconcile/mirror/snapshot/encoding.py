"""Which names and paths a snapshot may hold, so that it can be restored without a second look."""

import re
from typing import Final

MAX_NAME: Final = 255
"""Bytes of one component: what Linux's file systems allow."""

MAX_PATH: Final = 4095
"""Bytes of a path or of a link's target: what Linux takes in one call."""

# Nearly every path: no component that could be too long, whatever its characters.
_PLAIN: Final = re.compile(r"(?:(?!\.\.?(?:/|\Z))[^/\0]{1,63}(?:/(?!\Z)|\Z))+")
_PLAIN_LENGTH: Final = MAX_PATH // 4


def check_path(path: str) -> None:
    """Raise ValueError, which says what is wrong, unless this is a plain path below the root."""
    if len(path) <= _PLAIN_LENGTH and _PLAIN.fullmatch(path):
        return
    if not path:
        raise ValueError("is empty")
    if path[0] == "/":
        raise ValueError("is absolute")
    if "\0" in path:
        raise ValueError("has a NUL")
    if _length(path, MAX_PATH) > MAX_PATH:
        raise ValueError(f"is longer than {MAX_PATH} bytes")
    for name in path.split("/"):
        _check_name(name)


def check_target(target: str) -> None:
    """Raise ValueError, which says what is wrong, unless a symbolic link may have this target."""
    if not target:
        raise ValueError("is empty")
    if "\0" in target:
        raise ValueError("has a NUL")
    if _length(target, MAX_PATH) > MAX_PATH:
        raise ValueError(f"is longer than {MAX_PATH} bytes")


def _check_name(name: str) -> None:
    if not name:
        raise ValueError("has an empty component")
    if name in {".", ".."}:
        raise ValueError(f"has a component {name}")
    if _length(name, MAX_NAME) > MAX_NAME:
        raise ValueError(f"has a component longer than {MAX_NAME} bytes")


def _length(text: str, limit: int) -> int:
    """Return a text's length in bytes, or its characters where they cannot exceed the limit."""
    if 4 * len(text) <= limit:
        return len(text)
    return len(text.encode(errors="surrogateescape"))
