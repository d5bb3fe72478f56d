"""The types of the field tables, from which validation, merging and JSON Schema follow.

Messages name a wrong value by its type and suggest the name that was probably meant.
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
    """Name the YAML type of a value."""
    return _YAML_TYPE_NAMES[type(value)]


def suggest_name(word: str, known: Iterable[str]) -> str:
    """Suggest the nearest known word, or return an empty text if none is near."""
    near = find_near_name(word, known)
    return f"; did you mean `{near}`?" if near else ""


def find_near_name(word: str, known: Iterable[str]) -> str:
    """Return the nearest known word, or an empty text if none is near."""
    originals = {name.lower(): name for name in known}
    near = get_close_matches(word[:60].lower(), originals, n=1)
    return originals[near[0]] if near else ""


TEXT: Final = frozenset({str})
INTEGER: Final = frozenset({int})
NUMBER: Final = frozenset({int, float})
BOOLEAN: Final = frozenset({bool})

NO_EFFECT_YET: Final = "is accepted, but has no effect yet"
PLATFORM_ONLY: Final = "has no effect here: only the platform uses it"


def accept_any(_value: Any) -> str:
    """Accept every value."""
    return ""


def identity(value: Any) -> Any:
    """Return a value unchanged."""
    return value


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value; `expected` describes it in messages: "must be ..., not ...".

    `find_error` returns what is wrong with a value of the right type, or an empty text. `convert`
    returns the form that templates see.
    """

    expected: str
    accepts: frozenset[type]
    schema: Mapping[str, Any]
    find_error: Callable[[Any], str] = accept_any
    convert: Callable[[Any], Any] = identity


@dataclass(frozen=True, slots=True)
class ListType:
    """A list; an item with the `unique_key` of an earlier one is refused, unless that is None."""

    item: "FieldType"
    unique_key: Callable[[Any], Any] = lambda _item: None


@dataclass(frozen=True, slots=True)
class MapType:
    """A mapping whose names the author chooses."""

    key: Scalar
    value: "FieldType"


@dataclass(frozen=True, slots=True)
class AnyType:
    """A value that is not checked."""


@dataclass(frozen=True, slots=True)
class ObjectType:
    """A mapping with known names.

    `find_error` checks it as a whole. With `is_passthrough`, no defaults are filled in, since the
    mapping is passed on to Kubernetes. `moved` has the type and the message for each name that
    the mapping had in an earlier version; the message has `{}` for a value of that type.
    """

    fields: tuple["Field", ...]
    find_error: Callable[[Mapping[str, Any]], str] = accept_any
    is_passthrough: bool = False
    moved: Mapping[str, tuple[Scalar, str]] = field(default_factory=dict, compare=False)
    by_name: Mapping[str, "Field"] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {entry.name: entry for entry in self.fields})


FieldType: TypeAlias = Scalar | ListType | MapType | AnyType | ObjectType


@dataclass(frozen=True, slots=True)
class Field:
    """A field with a known name.

    `warning` is reported when the field is set to a value that is not in `unless`. Only
    `defaults.yaml` may set a field with `is_reserved`, since its owners answer for all sessions.
    """

    name: str
    type: FieldType
    description: str
    default: Any = None
    required: bool = False
    warning: str = ""
    unless: tuple[Any, ...] = ()
    is_reserved: bool = False


def choice(*words: str) -> Scalar:
    """One of several words."""
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
