"""Names as text that any tool can print, and back, without losing a byte."""

import re
from typing import Final

_SPECIAL: Final = re.compile("[%\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_ESCAPE: Final = re.compile(b"%([0-9A-F]{2})")


def encode_text(name: str) -> str:
    """Write `%`, control characters and bytes that are no UTF-8 as `%XX`, byte by byte.

    Args:
        name: As `os.fsdecode` gives it.

    Returns:
        Text that is valid UTF-8 and has no control characters.

    Raises:
        ValueError: The name has surrogates that stand for no byte.
    """
    if _SPECIAL.search(name) is None:
        return name
    return _SPECIAL.sub(_escaped, name)


def decode_text(text: str) -> str:
    """Return the name that `encode_text` wrote so.

    Raises:
        ValueError: The text is not in the one form that `encode_text` gives a name.
    """
    if _SPECIAL.search(text) is None:
        return text
    try:
        raw = _ESCAPE.sub(_unescaped, text.encode())
    except UnicodeEncodeError:
        raise ValueError("has surrogates that stand for no byte") from None
    name = raw.decode(errors="surrogateescape")
    if encode_text(name) != text:
        raise ValueError("is not escaped as format 1 escapes names")
    return name


def _escaped(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode(errors="surrogateescape"))


def _unescaped(found: re.Match[bytes]) -> bytes:
    return bytes((int(found[1], 16),))
