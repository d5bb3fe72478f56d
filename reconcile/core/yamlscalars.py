"""What a plain YAML scalar means: YAML 1.2's core schema, less what readers disagree about."""

import re
from functools import lru_cache
from typing import Any, Final

_QUOTE: Final = "quote it if text is meant"
_MAY_BE_VALUE: Final = frozenset("-+.0123456789~tTfFnN")
_LONGEST_CACHED: Final = 40
_LONGEST_MODE: Final = 5
_INTEGER: Final = re.compile(r"[-+]?[0-9]+")
_PREFIXED: Final = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: Final = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


class AmbiguousError(ValueError):
    """A plain scalar that is not what it seems; the message says what to write."""


def resolve(text: str) -> Any:
    """Give the value of a plain scalar; AmbiguousError says what to write in its place."""
    if not text or text[0] in _MAY_BE_VALUE:
        return _cached(text) if len(text) <= _LONGEST_CACHED else _resolve(text)
    return text


def _resolve(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return _decimal(text)
    if _PREFIXED.fullmatch(text):
        return _bounded(int(text, 0))
    if _FLOAT.fullmatch(text):
        return _finite(text)
    if _NOT_FINITE.fullmatch(text):
        raise AmbiguousError(f"infinite and undefined numbers cannot be stored: {_QUOTE}")
    return text


_cached: Final = lru_cache(maxsize=4096)(_resolve)


def _decimal(text: str) -> int:
    digits = text.lstrip("-+")
    if digits[0] == "0" and len(digits) > 1:
        raise AmbiguousError(_leading_zero(text, digits))
    # Python refuses to read thousands of digits, and they are out of bounds anyway.
    return _bounded(int(text) if len(digits) < _LONGEST_CACHED else 1 << 64)


def _leading_zero(text: str, digits: str) -> str:
    # The advice repeats the number, so it is for what is short enough to be a file's mode.
    if len(digits) > _LONGEST_MODE or set(digits) & set("89") or text != digits:
        return f"a number may not begin with 0: leave the zeros out, or {_QUOTE}"
    octal = int(digits, 8)
    return f"readers disagree about numbers like this: write {octal} or 0o{octal:o}, or {_QUOTE}"


def _bounded(number: int) -> int:
    if not -(1 << 63) <= number < 1 << 63:
        raise AmbiguousError(f"this number does not fit into 64 bits: {_QUOTE}")
    return number


def _finite(text: str) -> float:
    number = float(text)
    if number in {float("inf"), float("-inf")}:
        raise AmbiguousError(f"this number is too large: {_QUOTE}")
    return number
