"""Text that cannot act on a terminal: whatever steers it is spelt out instead."""

import re
import unicodedata
from typing import Final

_STEERING: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories: controls, direction and joining marks, half characters, line separators."""

_SPELT: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_SUSPECT: Final = re.compile(r"[^ -~]")


def visible(text: str) -> str:
    """Spell out control characters, ANSI escapes, direction overrides and line breaks."""
    return _SUSPECT.sub(_spell, text)


def quoted(text: str) -> str:
    """Put a value in quotes, so that where it ends is beyond doubt."""
    return '"' + visible(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def json_safe(document: str) -> str:
    r"""Spell out what steers a terminal in JSON text, as `\u` escapes that mean the same.

    Line breaks stay: in JSON text they are layout.
    """
    return _SUSPECT.sub(_spell_json, document)


def _spell(match: re.Match[str]) -> str:
    char = match[0]
    if unicodedata.category(char) not in _STEERING:
        return char
    return _SPELT.get(char) or _code(ord(char))


def _code(point: int) -> str:
    if point <= 0xFF:  # noqa: PLR2004 - the range that two hexadecimal digits cover
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"  # noqa: PLR2004


def _spell_json(match: re.Match[str]) -> str:
    char = match[0]
    if char == "\n" or unicodedata.category(char) not in _STEERING:
        return char
    units = char.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
