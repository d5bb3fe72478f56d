"""How messages name what was found and what was probably meant."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

_FOUND = {
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a decimal number",
    list: "a list",
    dict: "a mapping",
    type(None): "null",
}


def found(value: Any) -> str:
    """Name the type of a value as YAML knows it."""
    return _FOUND[type(value)]


def suggest(word: str, known: Iterable[str]) -> str:
    """Ask for the nearest known word, or say nothing where none is near."""
    spelt = {name.lower(): name for name in known}
    near = get_close_matches(word[:60].lower(), spelt, n=1)
    return f"; did you mean `{spelt[near[0]]}`?" if near else ""
