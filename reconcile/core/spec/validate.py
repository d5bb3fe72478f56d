"""Checks one document against its kind's table and gives back what it sets.

What only the merged settings of a session can contradict.
"""

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Any, Final, assert_never

from reconcile.core.errors import Problem
from reconcile.core.fields.quantity import parse_quantity
from reconcile.core.source_location import Path, Positions, dotted, printable
from reconcile.core.spec.field_types import (
    Anything,
    Entries,
    Field,
    Fields,
    Items,
    Scalar,
    Type,
    found,
    suggest,
)
from reconcile.core.spec.formats import folder

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


_MIRROR_BASE: Final = 128 * 2**20
_MIRROR_FILE: Final = 1536
"""Bytes of memory that a mirror takes, and for each file: measured, with names of 100 letters."""

_OWN_STORAGE: Final = ("secretName", "bucket", "endpoint", "region")


def contradictions(spec: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every field of a merged `spec` that cannot be used for another one's sake."""
    found = list(_beyond_limits(spec, "runner"))
    if spec["storage"]["mode"] != "none":
        found += [*_storage(spec["storage"]), *_mirror(spec), *_beyond_limits(spec, "mirror")]
    return found


def doubts(spec: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every field of a merged `spec` that will not do what its author may believe."""
    found = [*_same_folders(spec["repos"]), *_unused_storage(spec["storage"])]
    if spec["storage"]["mode"] != "none":
        found += _too_little_memory(spec["mirror"])
    return found


def _beyond_limits(spec: Mapping[str, Any], container: str) -> Iterator[tuple[str, str]]:
    resources = spec[container]["resources"]
    limits = resources["limits"]
    for name, amount in resources["requests"].items():
        if name in limits and _value(amount) > _value(limits[name]):
            place = f"spec.{container}.resources.requests.{name}"
            yield place, "is more than the limit that holds here"


def _storage(storage: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """One Secret never stands in for the other, and a shared one is used by name alone."""
    own, shared = storage["secretName"], storage["sharedSecretName"]
    if storage["mode"] == "shared" and not shared:
        yield (
            "spec.storage.sharedSecretName",
            "is missing: `mode: shared` needs the installation's Secret by name, in defaults.yaml",
        )
    if storage["mode"] == "custom" and not own:
        yield (
            "spec.storage.secretName",
            "is missing: `mode: custom` needs a Secret of one's own; the shared one is not used",
        )
    if storage["mode"] == "custom" and own and own == shared:
        yield "spec.storage.secretName", "is the installation's Secret: write `mode: shared`"


def _mirror(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    mirror = spec["mirror"]
    if not mirror["image"]:
        yield (
            "spec.mirror.image",
            "is missing: a workspace that is kept needs the image with `reconcile-mirror`",
        )
    if mirror["port"] == spec["runner"]["port"]:
        yield "spec.mirror.port", "is the runner's port, too: choose another one"


def _too_little_memory(mirror: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    files, limit = mirror["maxFiles"], mirror["resources"]["limits"]["memory"]
    needed = _MIRROR_BASE + files * _MIRROR_FILE
    if _value(limit) < needed:
        said = f"a workspace of so many may need {-(-needed // 2**20)}Mi of memory"
        yield "spec.mirror.maxFiles", f"is {files}: {said}, and the limit is {limit}"


def _same_folders(repos: list[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    first: dict[str, int] = {}
    for index, repo in enumerate(repos):
        at = first.setdefault(folder(repo["url"]), index)
        if at != index:
            yield f"spec.repos[{index}].url", f"is cloned into the same folder as spec.repos[{at}]"


def _unused_storage(storage: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if storage["mode"] != "custom":
        for name in _OWN_STORAGE:
            if storage[name] is not None:
                yield f"spec.storage.{name}", f"has no effect with `mode: {storage['mode']}`"


def _value(quantity: str) -> Fraction:
    return parse_quantity(quantity) or Fraction()
