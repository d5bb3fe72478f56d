"""Where a field is: a path of names, list items by key and set members; for people and for JSON."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, assert_never

_PLAIN = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Item:
    """The item of a keyed list that has these values: `(("name", "runner"),)`."""

    keys: tuple[tuple[str, Any], ...]

    def matches(self, item: Any) -> bool:
        """Tell whether a list item is the one that is meant."""
        return isinstance(item, Mapping) and all(
            item.get(name) == value for name, value in self.keys
        )


@dataclass(frozen=True, slots=True)
class Member:
    """The member of a set list that has this value."""

    value: Any


Segment: TypeAlias = str | Item | Member
Path: TypeAlias = tuple[Segment, ...]


def show(path: Path) -> str:
    """Word a path for people: `spec.containers[runner].env[MODEL].value`."""
    return "".join(_show(segment) for segment in path).removeprefix(".")


def _show(segment: Segment) -> str:
    match segment:
        case str():
            return f".{segment}" if _PLAIN.fullmatch(segment) else f"[{segment}]"
        case Member(value):
            return f"[{value}]"
        case Item(((_, value),)):
            return f"[{value}]"
        case Item(keys):
            return "[" + ",".join(f"{name}={value}" for name, value in keys) + "]"
        case _:
            assert_never(segment)


def pointer(path: Path, body: Any) -> str:
    """Word a path as a JSON Pointer into `body`; what `body` does not have yet is appended."""
    return locate(path, body)[0]


def locate(path: Path, body: Any) -> tuple[str, Any]:
    """Word a path as a JSON Pointer, and give what is there; None where nothing is."""
    steps = []
    node = body
    for segment in path:
        token, node = _step(segment, node)
        steps.append(token)
    return "".join(f"/{step}" for step in steps), node


def token_of(name: str) -> str:
    """Word a name as one step of a JSON Pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def _step(segment: Segment, node: Any) -> tuple[str, Any]:
    if isinstance(segment, str):
        return token_of(segment), node.get(segment) if isinstance(node, Mapping) else None
    index = index_of(segment, node)
    return ("-", None) if index is None else (str(index), node[index])


def index_of(segment: Item | Member, items: Any) -> int | None:
    """Find a list's item or member; None where it is not there or `items` is no list."""
    if not isinstance(items, Sequence) or isinstance(items, str):
        return None
    for index, item in enumerate(items):
        found = segment.matches(item) if isinstance(segment, Item) else item == segment.value
        if found:
            return index
    return None
