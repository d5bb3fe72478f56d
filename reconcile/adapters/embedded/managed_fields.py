"""Two states of an object -> the fields that a writer came to own, and those that went."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from reconcile.core.fields.managed_fields import FieldSet, key_of, value_of
from reconcile.core.fields.merge_schema import UNKNOWN, Granular, Keyed, Node, SetOf, Unknown

_MISSING = object()


class Comparison(NamedTuple):
    """`written` was added or has another value; `removed` is no more."""

    written: FieldSet
    removed: FieldSet


def compare(old: Any, new: Any, node: Node) -> Comparison:
    """Compare step by step; what is atomic counts as one field."""
    olds, news = steps(old, node), steps(new, node)
    written, removed = {}, {}
    for key in news.keys() | olds.keys():
        before, after = olds.get(key, _MISSING), news.get(key, _MISSING)
        child = child_of(node, key)
        if before is _MISSING:
            written[key] = everything(after, child)
        elif after is _MISSING:
            removed[key] = everything(before, child)
        elif before != after:
            _descend(key, compare_values(before, after, child), (written, removed))
    return Comparison(written, removed)


def compare_values(before: Any, after: Any, node: Node) -> Comparison | None:
    """Compare what is below a step; None where the step itself is what changed."""
    if not steps(before, node) or not steps(after, node):
        return None
    return compare(before, after, node)


def _descend(
    key: str, below: Comparison | None, results: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    written, removed = results
    if below is None:
        written[key] = {}
        return
    if below.written:
        written[key] = below.written
    if below.removed:
        removed[key] = below.removed


def everything(value: Any, node: Node) -> dict[str, Any]:
    """Own a value and all that is in it."""
    below = steps(value, node)
    if not below:
        return {}
    return {".": {}, **{key: everything(item, child_of(node, key)) for key, item in below.items()}}


def steps(value: Any, node: Node) -> dict[str, Any]:
    """List what has owners of its own one step below; nothing for what is owned as a whole."""
    match value, node:
        case Mapping(), Granular() | Unknown():
            return {f"f:{name}": item for name, item in value.items()}
        case list(), Keyed():
            return {key_of(item, node): item for item in value}
        case list(), SetOf():
            return {value_of(item): item for item in value}
        case _:
            return {}


def child_of(node: Node, key: str) -> Node:
    """Describe what is one step below."""
    match node:
        case Granular():
            return node.child(key[2:])
        case Keyed(item=item):
            return item
        case _:
            return UNKNOWN
