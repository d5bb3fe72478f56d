"""The path of a field: names, list items by key, set members; formatted for people and for JSON."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, assert_never

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class ListItem:
    """The item of a keyed list that has these values: `(("name", "runner"),)`."""

    keys: tuple[tuple[str, Any], ...]

    def matches(self, item: Any) -> bool:
        """Whether a list item has these key values."""
        return isinstance(item, Mapping) and all(
            item.get(name) == value for name, value in self.keys
        )


@dataclass(frozen=True, slots=True)
class SetMember:
    """The member of a set list that has this value."""

    value: Any


Segment: TypeAlias = str | ListItem | SetMember
FieldPath: TypeAlias = tuple[Segment, ...]


def format_path(path: FieldPath) -> str:
    """Format a path for people: `spec.containers[runner].env[MODEL].value`."""
    return "".join(_format_segment(segment) for segment in path).removeprefix(".")


def _format_segment(segment: Segment) -> str:
    match segment:
        case str():
            return f".{segment}" if _PLAIN_NAME.fullmatch(segment) else f"[{segment}]"
        case SetMember(value):
            return f"[{value}]"
        case ListItem(((_, value),)):
            return f"[{value}]"
        case ListItem(keys):
            return "[" + ",".join(f"{name}={value}" for name, value in keys) + "]"
        case _:
            assert_never(segment)


class PointerResolver:
    """Formats paths in one object as JSON Pointers; keyed lists are searched only once."""

    def __init__(self, body: Any) -> None:
        self._body = body
        self._indices: dict[tuple[int, tuple[str, ...]], dict[tuple[Any, ...], int]] = {}

    def resolve(self, path: FieldPath) -> tuple[str, Any]:
        """Format a path as a JSON Pointer, and return its value; None if it is absent."""
        steps = []
        node = self._body
        for segment in path:
            token, node = self._resolve_segment(segment, node)
            steps.append(token)
        return "".join(f"/{step}" for step in steps), node

    def _resolve_segment(self, segment: Segment, node: Any) -> tuple[str, Any]:
        if isinstance(segment, str):
            value = node.get(segment) if isinstance(node, Mapping) else None
            return escape_pointer_token(segment), value
        index = self._find_index(segment, node)
        return ("-", None) if index is None else (str(index), node[index])

    def _find_index(self, segment: ListItem | SetMember, items: Any) -> int | None:
        if not isinstance(segment, ListItem) or not isinstance(items, list):
            return find_item_index(segment, items)
        names, values = tuple(zip(*segment.keys, strict=True))
        known = self._indices.get((id(items), names))
        if known is None:
            known = self._indices[id(items), names] = _index_items(items, names)
        return known.get(tuple(map(_hashable, values)))


def _index_items(items: list[Any], names: tuple[str, ...]) -> dict[tuple[Any, ...], int]:
    indices: dict[tuple[Any, ...], int] = {}
    for index, item in enumerate(items):
        if isinstance(item, Mapping):
            indices.setdefault(tuple(_hashable(item.get(name)) for name in names), index)
    return indices


def _hashable(value: Any) -> Any:
    """Convert an invalid key to text; a valid one is a scalar."""
    return repr(value) if isinstance(value, dict | list) else value


def escape_pointer_token(name: str) -> str:
    """Escape a name as one token of a JSON Pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def find_item_index(segment: ListItem | SetMember, items: Any) -> int | None:
    """Find a list's item or member; None if it is absent or `items` is not a list."""
    if not isinstance(items, Sequence) or isinstance(items, str):
        return None
    for index, item in enumerate(items):
        matches = segment.matches(item) if isinstance(segment, ListItem) else item == segment.value
        if matches:
            return index
    return None
