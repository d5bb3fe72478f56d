"""Declared fields into an object, and fields that nobody declares any more out of it."""

from collections.abc import Mapping
from typing import Any, TypeVar

from reconcile.adapters.embedded.managed_fields import child_of, steps
from reconcile.core.fields.managed_fields import FieldSet
from reconcile.core.fields.merge_schema import Granular, Keyed, Node, SetOf, Unknown

Value = TypeVar("Value")


def merge(live: Any, declared: Any, node: Node) -> Any:
    """Put what is declared over what is live; new list items come after those that are there."""
    match live, declared, node:
        case Mapping(), Mapping(), Granular() | Unknown():
            return {**live, **_merged(live, declared, node)}
        case list(), list(), Keyed() | SetOf():
            olds, news = steps(live, node), steps(declared, node)
            child = child_of(node, "")
            mixed = {key: _merge_one(olds, key, item, child) for key, item in news.items()}
            return list({**olds, **mixed}.values())
        case _:
            return declared


def _merged(
    live: Mapping[str, Any], declared: Mapping[str, Any], node: Granular | Unknown
) -> dict[str, Any]:
    return {
        name: _merge_one(live, name, value, child_of(node, f"f:{name}"))
        for name, value in declared.items()
    }


def _merge_one(live: Mapping[str, Any], key: str, declared: Any, node: Node) -> Any:
    return merge(live[key], declared, node) if key in live else declared


def prune(value: Any, last: FieldSet, kept: FieldSet, node: Node) -> Any:
    """Take out of a value what is in `last`, unless it or something in it is in `kept`.

    A list item goes as a whole as soon as nobody owns the item as such; a map, as soon as nobody
    owns anything in it. What has no owner at all goes with what it stands in.
    """
    below = steps(value, node)
    if not below:
        return value
    for key, owned in last.items():
        if key not in below:
            continue
        if _goes(key, owned, kept.get(key)):
            del below[key]
        elif owned:
            below[key] = prune(below[key], owned, kept.get(key, {}), child_of(node, key))
    if isinstance(value, list):
        return list(below.values())
    return {key[2:]: item for key, item in below.items()}


def _goes(key: str, owned: FieldSet, kept: FieldSet | None) -> bool:
    if key.startswith("f:"):
        return kept is None
    return _has_itself(owned) and (kept is None or not _has_itself(kept))


def _has_itself(fields: FieldSet) -> bool:
    return not fields or "." in fields
