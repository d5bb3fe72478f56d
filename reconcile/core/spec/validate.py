"""Checks one document against its kind's table and gives back what it sets."""

from collections.abc import Iterable
from typing import Any, assert_never

from reconcile.core.errors import Problem
from reconcile.core.source_location import Path, Positions, dotted, printable
from reconcile.core.spec.field_types import Anything, Entries, Field, Fields, Items, Scalar, Type
from reconcile.core.spec.wording import found, suggest

MOST_PROBLEMS = 100
"""How many reasons of one file are told."""

UNUSABLE = object()
"""What a value is read as once a problem with it is noted."""


class Validator:
    """Walks one document and collects every reason why it cannot be used, and every warning."""

    def __init__(self, path: str, positions: Positions) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self._path = path
        self._positions = positions

    def problem(self, at: Path, message: str) -> None:
        """Note a reason, at the place of a value."""
        self.problems.append(self._note(self._positions.value(at), at, message))

    def problem_of_key(self, at: Path, message: str) -> None:
        """Note a reason, at the place of a mapping's key."""
        self.problems.append(self._note(self._positions.key(at), at, message))

    def warn(self, at: Path, message: str) -> None:
        """Note what is accepted, but not what the author may believe it to be."""
        self.warnings.append(self._note(self._positions.key(at), at, message))

    def read(self, kind: Type, value: Any, at: Path) -> Any:
        """Give what `value` sets: without nulls, in the form that templates see."""
        match kind:
            case Scalar():
                return self._scalar(kind, value, at)
            case Fields():
                return self._fields(kind, value, at)
            case Entries():
                return self._entries(kind, value, at)
            case Items():
                return self._items(kind, value, at)
            case Anything():
                return value
            case _:
                assert_never(kind)

    def _scalar(self, kind: Scalar, value: Any, at: Path) -> Any:
        if type(value) not in kind.accepts:
            quote = (
                ": quote it"
                if kind.accepts == {str} and isinstance(value, bool | int | float)
                else ""
            )
            return self._refuse(at, f"must be {kind.what}, not {found(value)}{quote}")
        reason = kind.reason(value)
        return self._refuse(at, reason) if reason else kind.convert(value)

    def _fields(self, kind: Fields, value: Any, at: Path) -> Any:
        if not isinstance(value, dict):
            return self._refuse(at, f"must be a mapping, not {found(value)}")
        for name in value.keys() - kind.by_name.keys():
            self._unknown(kind, name, at)
        given = {name: child for name, child in value.items() if child is not None}
        for field in kind.fields:
            if field.required and field.name not in given:
                self.problem(at, f"`{field.name}` is missing")
        known = (
            (kind.by_name[name], child) for name, child in given.items() if name in kind.by_name
        )
        layer = {field.name: self._field(field, child, (*at, field.name)) for field, child in known}
        reason = kind.reason(given)
        return self._refuse(at, reason) if reason else layer

    def _field(self, field: Field, value: Any, at: Path) -> Any:
        if field.warning and value not in field.unless:
            self.warn(at, field.warning)
        return self.read(field.type, value, at)

    def _unknown(self, kind: Fields, name: str, at: Path) -> None:
        # Looking for what was meant takes time: a file full of unknown names is no session.
        hint = _meant(kind, name) if len(self.problems) < MOST_PROBLEMS else ""
        self.problem_of_key((*at, name), f"unknown field{hint}")

    def _entries(self, kind: Entries, value: Any, at: Path) -> Any:
        if not isinstance(value, dict):
            return self._refuse(at, f"must be a mapping, not {found(value)}")
        for name in value:
            reason = kind.key.reason(name)
            if reason:
                self.problem_of_key((*at, name), reason)
        given = {name: child for name, child in value.items() if child is not None}
        return {name: self.read(kind.value, child, (*at, name)) for name, child in given.items()}

    def _items(self, kind: Items, value: Any, at: Path) -> Any:
        if not isinstance(value, list):
            return self._refuse(at, f"must be a list, not {found(value)}")
        items = [self.read(kind.item, item, (*at, index)) for index, item in enumerate(value)]
        self._same_items(kind, items, at)
        return items

    def _same_items(self, kind: Items, items: Iterable[Any], at: Path) -> None:
        seen: dict[Any, int] = {}
        for index, item in enumerate(items):
            identity = None if item is UNUSABLE else kind.identity(item)
            if identity is not None and seen.setdefault(identity, index) != index:
                self.problem((*at, index), f"is the same as {dotted((*at, seen[identity]))}")

    def _refuse(self, at: Path, message: str) -> Any:
        self.problem(at, message)
        return UNUSABLE

    def _note(self, place: tuple[int, int], at: Path, message: str) -> Problem:
        return Problem(self._path, *place, dotted(at), message)


def _meant(kind: Fields, name: str) -> str:
    """Name a field of this very name one level deeper, else the nearest name, else all of few."""
    for field in kind.fields:
        if isinstance(field.type, Fields) and name in field.type.by_name:
            return f"; did you mean `{field.name}.{name}`?"
    return suggest(name, kind.by_name) or _listed(kind)


def _listed(kind: Fields) -> str:
    few = 12
    names = [printable(field.name) for field in kind.fields if not isinstance(field.type, Anything)]
    return f"; known are {', '.join(names)}" if len(names) <= few else ""
