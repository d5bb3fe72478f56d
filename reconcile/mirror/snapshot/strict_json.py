"""Strict parsing of JSON objects: exactly the known fields, each with its type."""

from collections.abc import Callable, Mapping, Set
from typing import Any, TypeAlias, TypeVar

import orjson

JsonObject: TypeAlias = Mapping[str, Any]
T = TypeVar("T")

MAX_INTEGER = 2**53 - 1
"""The largest integer that every JSON parser reads exactly, jq included."""


def parse_object(line: bytes) -> JsonObject:
    """Parse a JSON object; ValueError for anything else."""
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise ValueError("is not JSON") from None
    if type(value) is not dict:
        raise ValueError("is not a JSON object")
    return value


def require_fields(value: JsonObject, names: Set[str]) -> None:
    """Raise ValueError unless the object has exactly these fields."""
    if value.keys() == names:
        return
    missing, unknown = sorted(names - value.keys()), sorted(value.keys() - names)
    if missing:
        raise ValueError(f"lacks `{missing[0]}`")
    raise ValueError(f"has an unknown field `{unknown[0][:100]}`")


def get_text(value: JsonObject, name: str) -> str:
    """Return a string field; ValueError if it is not a string."""
    text = value[name]
    if type(text) is not str:
        raise ValueError(f"`{name}` is not a string")
    return text


def get_integer(value: JsonObject, name: str, minimum: int = 0) -> int:
    """Return an integer field; ValueError unless it is from `minimum` to 2^53 - 1."""
    number = value[name]
    if type(number) is not int or not minimum <= number <= MAX_INTEGER:
        raise ValueError(f"`{name}` is not an integer from {minimum} to {MAX_INTEGER}")
    return number


def get_list(value: JsonObject, name: str) -> list[Any]:
    """Return a list field; ValueError if it is not a list."""
    values = value[name]
    if type(values) is not list:
        raise ValueError(f"`{name}` is not a list")
    return values


def check_object(value: Any, name: str) -> JsonObject:
    """Return a value that must be an object; ValueError, which calls it `name`, if it is not."""
    if type(value) is not dict:
        raise ValueError(f"`{name}` is not an object")
    return value


def get_converted(value: JsonObject, name: str, convert: Callable[[str], T]) -> T:
    """Return a string field, converted; a ValueError of `convert` gets the field's name."""
    text = get_text(value, name)
    try:
        return convert(text)
    except ValueError as error:
        raise ValueError(f"`{name}` {error}") from None


def check_field(name: str, check: Callable[[T], None], value: T) -> None:
    """Check the value of a field; a ValueError of `check` gets the field's name."""
    try:
        check(value)
    except ValueError as error:
        raise ValueError(f"`{name}` {error}") from None
