"""The strict reading of JSON objects: exactly the fields that are known, each of its type."""

from collections.abc import Callable, Mapping, Set
from typing import Any, TypeAlias, TypeVar

import orjson

JsonObject: TypeAlias = Mapping[str, Any]
T = TypeVar("T")

MAX_INTEGER = 2**53 - 1
"""What every reader of JSON keeps exactly, jq included."""


def parse_object(line: bytes) -> JsonObject:
    """Return the JSON object that this text is; ValueError for anything else."""
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise ValueError("is no JSON") from None
    if type(value) is not dict:
        raise ValueError("is no JSON object")
    return value


def require_fields(value: JsonObject, names: Set[str]) -> None:
    """Raise ValueError unless the object has just these fields."""
    if value.keys() == names:
        return
    lacking, unknown = sorted(names - value.keys()), sorted(value.keys() - names)
    if lacking:
        raise ValueError(f"lacks `{lacking[0]}`")
    raise ValueError(f"has an unknown field `{unknown[0][:100]}`")


def get_text(value: JsonObject, name: str) -> str:
    """Return a text field; ValueError if it is none."""
    found = value[name]
    if type(found) is not str:
        raise ValueError(f"`{name}` is no text")
    return found


def get_integer(value: JsonObject, name: str, minimum: int = 0) -> int:
    """Return an integer field from `minimum` up to 2^53 - 1; ValueError if it is none."""
    found = value[name]
    if type(found) is not int or not minimum <= found <= MAX_INTEGER:
        raise ValueError(f"`{name}` is no integer from {minimum} to {MAX_INTEGER}")
    return found


def get_list(value: JsonObject, name: str) -> list[Any]:
    """Return a list field; ValueError if it is none."""
    found = value[name]
    if type(found) is not list:
        raise ValueError(f"`{name}` is no list")
    return found


def check_object(value: Any, name: str) -> JsonObject:
    """Return a value that must be an object, `name` is what to call it; ValueError if not."""
    if type(value) is not dict:
        raise ValueError(f"`{name}` is no object")
    return value


def get_converted(value: JsonObject, name: str, convert: Callable[[str], T]) -> T:
    """Return a text field as what `convert` makes of it, whose ValueError gets the field's name."""
    found = get_text(value, name)
    try:
        return convert(found)
    except ValueError as error:
        raise ValueError(f"`{name}` {error}") from None


def check_field(name: str, check: Callable[[T], None], value: T) -> None:
    """Let `check` judge what a field says; its ValueError gets the field's name."""
    try:
        check(value)
    except ValueError as error:
        raise ValueError(f"`{name}` {error}") from None
