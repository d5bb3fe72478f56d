"""Validates one document against its kind's table."""

from collections.abc import Iterable
from typing import Any, Final, assert_never

from reconcile.core.errors import Problem
from reconcile.core.source_location import (
    DocumentPath,
    Positions,
    format_document_path,
    printable_excerpt,
)
from reconcile.core.spec.field_types import (
    AnyType,
    Field,
    FieldType,
    ListType,
    MapType,
    ObjectType,
    Scalar,
    suggest_name,
    yaml_type_name,
)

MAX_FILE_PROBLEMS = 100
"""The maximum number of problems that are reported for one file."""

_USELESS_NULL: Final = (
    "null means `not set here`, so the inherited value stays: set the value that you want"
)

INVALID = object()
"""Replaces a value for which a problem was reported."""


class Validator:
    """Walks one document and collects its problems and warnings."""

    def __init__(self, path: str, positions: Positions, *, may_set_reserved: bool = False) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.nulls: list[tuple[DocumentPath, Problem]] = []
        """The known fields that are null, each with the warning if they inherit a value."""
        self._lists = 0
        self._path = path
        self._positions = positions
        self._may_set_reserved = may_set_reserved

    def add_problem(self, at: DocumentPath, message: str) -> None:
        """Add a problem, at the position of a value."""
        self.problems.append(self._build_problem(self._positions.value(at), at, message))

    def add_key_problem(self, at: DocumentPath, message: str) -> None:
        """Add a problem, at the position of a mapping's key."""
        self.problems.append(self._build_problem(self._positions.key(at), at, message))

    def add_warning(self, at: DocumentPath, message: str) -> None:
        """Add a warning for a value that is accepted, but may not do what the author expects."""
        self.warnings.append(self._build_problem(self._positions.key(at), at, message))

    def validate(self, kind: FieldType, value: Any, at: DocumentPath) -> Any:
        """Return what `value` sets, in the form that templates see.

        A field that is null is left out. A null in a map stays: it takes back an inherited entry.
        """
        match kind:
            case Scalar():
                return self._validate_scalar(kind, value, at)
            case ObjectType():
                return self._validate_object(kind, value, at)
            case MapType():
                return self._validate_map(kind, value, at)
            case ListType():
                return self._validate_list(kind, value, at)
            case AnyType():
                return value
            case _:
                assert_never(kind)

    def _validate_scalar(self, kind: Scalar, value: Any, at: DocumentPath) -> Any:
        if type(value) not in kind.accepts:
            quote = (
                ": quote it"
                if kind.accepts == {str} and isinstance(value, bool | int | float)
                else ""
            )
            return self._reject(at, f"must be {kind.expected}, not {yaml_type_name(value)}{quote}")
        reason = kind.find_error(value)
        return self._reject(at, reason) if reason else kind.convert(value)

    def _validate_object(self, kind: ObjectType, value: Any, at: DocumentPath) -> Any:
        if not isinstance(value, dict):
            return self._reject(at, f"must be a mapping, not {yaml_type_name(value)}")
        for name in value.keys() - kind.by_name.keys():
            self._reject_unknown(kind, name, value[name], at)
        given = {name: child for name, child in value.items() if child is not None}
        for name in value.keys() & kind.by_name.keys() - given.keys():
            place = (*at, name)
            note = self._build_problem(self._positions.key(place), place, _USELESS_NULL)
            self.nulls.append((place, note))
        for field in kind.fields:
            if field.required and field.name not in given:
                self.add_problem(at, f"`{field.name}` is missing")
        known = (
            (kind.by_name[name], child) for name, child in given.items() if name in kind.by_name
        )
        layer = {
            field.name: self._validate_field(field, child, (*at, field.name))
            for field, child in known
        }
        reason = kind.find_error(given)
        return self._reject(at, reason) if reason else layer

    def _validate_field(self, field: Field, value: Any, at: DocumentPath) -> Any:
        if field.is_reserved and not self._may_set_reserved:
            self.add_key_problem(at, "may be set only in defaults.yaml, by its owners: remove it")
        if field.warning and value not in field.unless:
            self.add_warning(at, field.warning)
        return self.validate(field.type, value, at)

    def _reject_unknown(self, kind: ObjectType, name: str, value: Any, at: DocumentPath) -> None:
        if name in kind.moved:
            known, message = kind.moved[name]
            is_valid = type(value) in known.accepts and not known.find_error(value)
            self.add_key_problem((*at, name), message.format(value if is_valid else "..."))
            return
        # Suggestions take time: a file full of unknown names is not a session.
        hint = _suggest_field(kind, name) if len(self.problems) < MAX_FILE_PROBLEMS else ""
        self.add_key_problem((*at, name), f"unknown field{hint}")

    def _validate_map(self, kind: MapType, value: Any, at: DocumentPath) -> Any:
        if not isinstance(value, dict):
            return self._reject(at, f"must be a mapping, not {yaml_type_name(value)}")
        for name in value:
            reason = kind.key.find_error(name)
            if reason:
                self.add_key_problem((*at, name), reason)
        return {
            name: self._validate_entry(kind.value, child, (*at, name))
            for name, child in value.items()
        }

    def _validate_entry(self, kind: FieldType, value: Any, at: DocumentPath) -> Any:
        is_taken_back = value is None and not self._lists
        return None if is_taken_back else self.validate(kind, value, at)

    def _validate_list(self, kind: ListType, value: Any, at: DocumentPath) -> Any:
        if not isinstance(value, list):
            return self._reject(at, f"must be a list, not {yaml_type_name(value)}")
        self._lists += 1
        items = [self.validate(kind.item, item, (*at, index)) for index, item in enumerate(value)]
        self._lists -= 1
        self._check_duplicates(kind, items, at)
        return items

    def _check_duplicates(self, kind: ListType, items: Iterable[Any], at: DocumentPath) -> None:
        seen: dict[Any, int] = {}
        for index, item in enumerate(items):
            identity = None if item is INVALID else kind.unique_key(item)
            if identity is not None and seen.setdefault(identity, index) != index:
                self.add_problem(
                    (*at, index), f"is the same as {format_document_path((*at, seen[identity]))}"
                )

    def _reject(self, at: DocumentPath, message: str) -> Any:
        self.add_problem(at, message)
        return INVALID

    def _build_problem(self, position: tuple[int, int], at: DocumentPath, message: str) -> Problem:
        return Problem(self._path, *position, format_document_path(at), message)


def _suggest_field(kind: ObjectType, name: str) -> str:
    """Suggest a field of this name one level deeper, or the nearest name, or list a few fields."""
    for field in kind.fields:
        if isinstance(field.type, ObjectType) and name in field.type.by_name:
            return f"; did you mean `{field.name}.{name}`?"
    return suggest_name(name, kind.by_name) or _list_known_fields(kind)


def _list_known_fields(kind: ObjectType) -> str:
    few = 12
    names = [
        printable_excerpt(field.name)
        for field in kind.fields
        if not isinstance(field.type, AnyType)
    ]
    return f"; known are {', '.join(names)}" if len(names) <= few else ""
