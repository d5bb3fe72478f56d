"""The strict reading of JSON objects: exactly the fields that are known, each of its type."""

from collections.abc import Callable, Mapping, Set
from typing import Any, TypeAlias, TypeVar

import orjson

Json: TypeAlias = Mapping[str, Any]
T = TypeVar("T")

MAX_INTEGER = 2**53 - 1
"""What every reader of JSON keeps exactly, jq included."""


def parse_object(line: bytes) -> Json:
    """Return the JSON object that this text is; ValueError for anything else."""
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise ValueError("is no JSON") from None
    if type(value) is not dict:
        raise ValueError("is no JSON object")
    return value


def require(value: Json, names: Set[str]) -> None:
    """Raise ValueError unless the object has just these fields."""
    if value.keys() == names:
        return
    lacking, unknown = sorted(names - value.keys()), sorted(value.keys() - names)
    if lacking:
        raise ValueError(f"lacks `{lacking[0]}`")
    raise ValueError(f"has an unknown field `{unknown[0][:100]}`")


def text(value: Json, name: str) -> str:
    """Return a text field; ValueError if it is none."""
    found = value[name]
    if type(found) is not str:
        raise ValueError(f"`{name}` is no text")
    return found


def integer(value: Json, name: str, least: int = 0) -> int:
    """Return an integer field from `least` up to 2^53 - 1; ValueError if it is none."""
    found = value[name]
    if type(found) is not int or not least <= found <= MAX_INTEGER:
        raise ValueError(f"`{name}` is no integer from {least} to {MAX_INTEGER}")
    return found


def sequence(value: Json, name: str) -> list[Any]:
    """Return a list field; ValueError if it is none."""
    found = value[name]
    if type(found) is not list:
        raise ValueError(f"`{name}` is no list")
    return found


def nested(value: Any, name: str) -> Json:
    """Return a value that must be an object, `name` is what to call it; ValueError if not."""
    if type(value) is not dict:
        raise ValueError(f"`{name}` is no object")
    return value


def converted(value: Json, name: str, convert: Callable[[str], T]) -> T:
    """Return a text field as what `convert` makes of it, whose ValueError gets the field's name."""
    found = text(value, name)
    try:
        return convert(found)
    except ValueError as error:
        raise ValueError(f"`{name}` {error}") from None


def checked(name: str, check: Callable[[T], None], found: T) -> None:
    """Let `check` judge what a field says; its ValueError gets the field's name."""
    try:
        check(found)
    except ValueError as error:
        raise ValueError(f"`{name}` {error}") from None
