"""Two states of an object -> the fields that a writer came to own, and those that went.

`metadata.managedFields` as a table: who owns what, since when.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from reconcile.core.fields.managed_fields import (
    FieldSet,
    difference,
    is_empty,
    key_of,
    owners,
    value_of,
)
from reconcile.core.fields.merge_schema import UNKNOWN, Granular, Keyed, Node, SetOf, Unknown

APPLY: Final = "Apply"
UPDATE: Final = "Update"


class Who(NamedTuple):
    """A manager, how it wrote, and through which subresource (empty: the object itself)."""

    manager: str
    operation: str
    subresource: str = ""


class Claim(NamedTuple):
    """The fields that somebody owns, and when that last changed."""

    fields: FieldSet
    time: str


Managers: TypeAlias = dict[Who, Claim]


def managers_of(obj: dict[str, Any] | None) -> Managers:
    """Read the table from an object; None has an empty one."""
    entries = owners(obj) if obj else ()
    return {
        Who(entry.manager, entry.operation, entry.subresource): Claim(entry.fields, entry.time)
        for entry in entries
    }


def record(obj: dict[str, Any], managers: Managers) -> None:
    """Write the table into an object, sorted as the server does, those who own nothing left out."""
    rows = sorted(
        ((who, claim) for who, claim in managers.items() if not is_empty(claim.fields)),
        key=lambda row: (row[0].operation, row[1].time, row[0]),
    )
    obj["metadata"].pop("managedFields", None)
    if rows:
        entries = [_entry(obj["apiVersion"], who, claim) for who, claim in rows]
        obj["metadata"]["managedFields"] = entries


def without(managers: Managers, fields: FieldSet) -> Managers:
    """Take fields away from everybody."""
    return {
        who: Claim(difference(claim.fields, fields), claim.time) for who, claim in managers.items()
    }


def _entry(api_version: str, who: Who, claim: Claim) -> dict[str, Any]:
    subresource = {"subresource": who.subresource} if who.subresource else {}
    return {
        "manager": who.manager,
        "operation": who.operation,
        "apiVersion": api_version,
        "time": claim.time,
        "fieldsType": "FieldsV1",
        "fieldsV1": claim.fields,
        **subresource,
    }


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
