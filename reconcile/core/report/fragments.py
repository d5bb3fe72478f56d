"""Of an object only what changes: its fields before and after, below their parents, as YAML."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from reconcile.core.changes import ABSENT, FieldChange
from reconcile.core.fields.field_path import Item, Path, Segment
from reconcile.core.report.yaml_diff import BARE, Noted, Row, rows

_RELEASED: Final = "stays, but is no longer declared here"


@dataclass(frozen=True, slots=True)
class Fragment:
    """The lines of an object's changed fields and their parents, before and after."""

    before: tuple[Row, ...]
    after: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class _Leaf:
    before: Any
    after: Any


_Branch: TypeAlias = dict[Segment, "_Leaf | _Branch"]


def fragment(fields: Iterable[FieldChange]) -> Fragment:
    """Gather changed fields below their common parents.

    An item of a list shows the fields that tell it from the others. A field of which only the words
    are known, or that does not fit to the others, stands for itself under its whole path.
    """
    root: _Branch = {}
    for field in fields:
        leaf = _Leaf(field.before, field.after)
        if not field.at or not _put(root, field.at, leaf):
            root[_free(root, field.path)] = leaf
    return Fragment(rows(_map(root, after=False)), rows(_map(root, after=True)))


def _put(root: _Branch, at: Path, leaf: _Leaf) -> bool:
    node, above = root, at[0]
    for position, segment in enumerate(at):
        if not _fits(node, above if position else None, segment):
            return False
        if position == len(at) - 1:
            return node.setdefault(segment, leaf) is leaf
        below = node.setdefault(segment, {})
        if isinstance(below, _Leaf):
            return False
        node, above = below, segment
    raise AssertionError("a path has segments")  # pragma: no cover


def _fits(node: _Branch, above: Segment | None, segment: Segment) -> bool:
    """Tell whether a mapping stays a mapping, and a list a list below a name."""
    is_name = isinstance(segment, str)
    if not is_name and not isinstance(above, str):
        return False
    return isinstance(next(iter(node), segment), str) is is_name


def _free(root: _Branch, path: str) -> str:
    while path in root:
        path += " again"
    return path


def _map(branch: _Branch, *, after: bool) -> dict[str, Any]:
    sides = ((segment, _side(node, after=after)) for segment, node in branch.items())
    return {str(segment): value for segment, value in sides if value is not ABSENT}


def _side(node: _Leaf | _Branch, *, after: bool) -> Any:
    if isinstance(node, _Leaf):
        if _is_released(node):
            return Noted(node.after, _RELEASED)
        return node.after if after else node.before
    named = all(isinstance(segment, str) for segment in node)
    return (_map(node, after=after) if named else _list(node, after=after)) or BARE


def _is_released(leaf: _Leaf) -> bool:
    return leaf.before == leaf.after and type(leaf.before) is type(leaf.after)


def _list(branch: _Branch, *, after: bool) -> list[Any]:
    items = (_item(segment, node, after=after) for segment, node in branch.items())
    return [item for item in items if item is not ABSENT]


def _item(segment: Segment, node: _Leaf | _Branch, *, after: bool) -> Any:
    below = _side(node, after=after)
    if isinstance(node, _Leaf) or not isinstance(segment, Item):
        return below
    return {**dict(segment.keys), **(below if isinstance(below, Mapping) else {})}
