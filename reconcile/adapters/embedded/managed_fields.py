"""Two states of an object -> the fields that a writer came to own, and those that went.

`metadata.managedFields` as a table: who owns what, since when.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from reconcile.core.fields.managed_fields import (
    FieldSet,
    is_empty_field_set,
    iter_managed_fields,
    serialize_item_key,
    serialize_member,
    subtract_field_sets,
)
from reconcile.core.fields.merge_schema import (
    UNKNOWN,
    GranularMap,
    KeyedList,
    SchemaNode,
    SetList,
    UnknownType,
)

APPLY: Final = "Apply"
UPDATE: Final = "Update"


class ManagerIdentifier(NamedTuple):
    """A manager, how it wrote, and through which subresource (empty: the object itself)."""

    manager: str
    operation: str
    subresource: str = ""


class TimedFieldSet(NamedTuple):
    """The fields that somebody owns, and when that last changed."""

    fields: FieldSet
    time: str


FieldManagers: TypeAlias = dict[ManagerIdentifier, TimedFieldSet]


def read_managers(obj: dict[str, Any] | None) -> FieldManagers:
    """Read the table from an object; None has an empty one."""
    entries = iter_managed_fields(obj) if obj else ()
    return {
        ManagerIdentifier(entry.manager, entry.operation, entry.subresource): TimedFieldSet(
            entry.fields, entry.time
        )
        for entry in entries
    }


def write_managers(obj: dict[str, Any], managers: FieldManagers) -> None:
    """Write the table into an object, sorted as the server does, those who own nothing left out."""
    rows = sorted(
        ((who, claim) for who, claim in managers.items() if not is_empty_field_set(claim.fields)),
        key=lambda row: (row[0].operation, row[1].time, row[0]),
    )
    obj["metadata"].pop("managedFields", None)
    if rows:
        entries = [_build_entry(obj["apiVersion"], who, claim) for who, claim in rows]
        obj["metadata"]["managedFields"] = entries


def release_fields(managers: FieldManagers, fields: FieldSet) -> FieldManagers:
    """Take fields away from everybody."""
    return {
        who: TimedFieldSet(subtract_field_sets(claim.fields, fields), claim.time)
        for who, claim in managers.items()
    }


def _build_entry(
    api_version: str, identifier: ManagerIdentifier, owned: TimedFieldSet
) -> dict[str, Any]:
    subresource = {"subresource": identifier.subresource} if identifier.subresource else {}
    return {
        "manager": identifier.manager,
        "operation": identifier.operation,
        "apiVersion": api_version,
        "time": owned.time,
        "fieldsType": "FieldsV1",
        "fieldsV1": owned.fields,
        **subresource,
    }


_MISSING = object()


class FieldChanges(NamedTuple):
    """`written` was added or has another value; `removed` is no more."""

    written: FieldSet
    removed: FieldSet


def compare_fields(old: Any, new: Any, node: SchemaNode) -> FieldChanges:
    """Compare step by step; what is atomic counts as one field."""
    olds, news = child_values(old, node), child_values(new, node)
    written, removed = {}, {}
    for key in news.keys() | olds.keys():
        before, after = olds.get(key, _MISSING), news.get(key, _MISSING)
        child = child_schema(node, key)
        if before is _MISSING:
            written[key] = all_fields(after, child)
        elif after is _MISSING:
            removed[key] = all_fields(before, child)
        elif before != after:
            _add_child_changes(key, compare_values(before, after, child), (written, removed))
    return FieldChanges(written, removed)


def compare_values(before: Any, after: Any, node: SchemaNode) -> FieldChanges | None:
    """Compare what is below a step; None where the step itself is what changed."""
    if not child_values(before, node) or not child_values(after, node):
        return None
    return compare_fields(before, after, node)


def _add_child_changes(
    key: str, changes: FieldChanges | None, results: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    written, removed = results
    if changes is None:
        written[key] = {}
        return
    if changes.written:
        written[key] = changes.written
    if changes.removed:
        removed[key] = changes.removed


def all_fields(value: Any, node: SchemaNode) -> dict[str, Any]:
    """Own a value and all that is in it."""
    below = child_values(value, node)
    if not below:
        return {}
    return {
        ".": {},
        **{key: all_fields(item, child_schema(node, key)) for key, item in below.items()},
    }


def child_values(value: Any, node: SchemaNode) -> dict[str, Any]:
    """List what has owners of its own one step below; nothing for what is owned as a whole."""
    match value, node:
        case Mapping(), GranularMap() | UnknownType():
            return {f"f:{name}": item for name, item in value.items()}
        case list(), KeyedList():
            return {serialize_item_key(item, node): item for item in value}
        case list(), SetList():
            return {serialize_member(item): item for item in value}
        case _:
            return {}


def child_schema(node: SchemaNode, key: str) -> SchemaNode:
    """Describe what is one step below."""
    match node:
        case GranularMap():
            return node.child(key[2:])
        case KeyedList(item=item):
            return item
        case _:
            return UNKNOWN
