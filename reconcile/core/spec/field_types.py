"""The grammar of the field tables: what a field may hold, and what follows from it.

How messages name what was found and what was probably meant.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final, TypeAlias

_YAML_TYPE_NAMES = {
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a decimal number",
    list: "a list",
    dict: "a mapping",
    type(None): "null",
}


def yaml_type_name(value: Any) -> str:
    """Name the type of a value as YAML knows it."""
    return _YAML_TYPE_NAMES[type(value)]


def suggest_name(word: str, known: Iterable[str]) -> str:
    """Ask for the nearest known word, or say nothing where none is near."""
    spelt = {name.lower(): name for name in known}
    near = get_close_matches(word[:60].lower(), spelt, n=1)
    return f"; did you mean `{spelt[near[0]]}`?" if near else ""


TEXT: Final = frozenset({str})
INTEGER: Final = frozenset({int})
NUMBER: Final = frozenset({int, float})
BOOLEAN: Final = frozenset({bool})

NO_EFFECT_YET: Final = "is accepted, but has no effect yet"
PLATFORM_ONLY: Final = "has no effect here: it is the platform's own"


def accept_any(_value: Any) -> str:
    """Find nothing wrong."""
    return ""


def identity(value: Any) -> Any:
    """Leave a value as it is."""
    return value


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value: `expected` words it in "must be ..., not ...".

    `find_error` says what is wrong with a value of the right type, or nothing. `convert` gives the
    one form that templates see.
    """

    expected: str
    accepts: frozenset[type]
    schema: Mapping[str, Any]
    find_error: Callable[[Any], str] = accept_any
    convert: Callable[[Any], Any] = identity


@dataclass(frozen=True, slots=True)
class ListType:
    """A list; of two items with the same `unique_key` the second is refused (none is never same)."""

    item: "FieldType"
    unique_key: Callable[[Any], Any] = lambda _item: None


@dataclass(frozen=True, slots=True)
class MapType:
    """A mapping with names of the author's choice."""

    key: Scalar
    value: Scalar


@dataclass(frozen=True, slots=True)
class AnyType:
    """What is not looked at."""


@dataclass(frozen=True, slots=True)
class ObjectType:
    """A mapping with known names.

    `find_error` judges it as a whole. `is_passthrough` keeps it as it is, without the fields that are not
    set: it is passed on to Kubernetes.
    """

    fields: tuple["Field", ...]
    find_error: Callable[[Mapping[str, Any]], str] = accept_any
    is_passthrough: bool = False
    by_name: Mapping[str, "Field"] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {known.name: known for known in self.fields})


FieldType: TypeAlias = Scalar | ListType | MapType | AnyType | ObjectType


@dataclass(frozen=True, slots=True)
class Field:
    """One known name.

    `warning` is said when the field is set to anything that is not in `unless`.
    """

    name: str
    type: FieldType
    description: str
    default: Any = None
    required: bool = False
    warning: str = ""
    unless: tuple[Any, ...] = ()


def choice(*words: str) -> Scalar:
    """One of a few words."""
    listed = " or ".join((", ".join(words[:-1]), words[-1])) if words[1:] else words[0]

    def reason(value: str) -> str:
        hint = suggest_name(value, words) if words[1:] else ""
        return "" if value in words else f"must be {listed}{hint}"

    return Scalar(listed, TEXT, {"type": "string", "enum": list(words)}, reason)


def bounded_integer(minimum: int, maximum: int) -> Scalar:
    """A whole number within bounds."""
    return _bounded_scalar("a whole number", INTEGER, minimum, maximum)


def bounded_number(minimum: int, maximum: int) -> Scalar:
    """Any number within bounds."""
    return _bounded_scalar("a number", NUMBER, minimum, maximum)


def _bounded_scalar(expected: str, accepts: frozenset[type], minimum: int, maximum: int) -> Scalar:
    def reason(value: float) -> str:
        return "" if minimum <= value <= maximum else f"must be from {minimum} to {maximum}"

    kind = "integer" if accepts is INTEGER else "number"
    return Scalar(expected, accepts, {"type": kind, "minimum": minimum, "maximum": maximum}, reason)


BOOL: Final = Scalar("true or false", BOOLEAN, {"type": "boolean"})
