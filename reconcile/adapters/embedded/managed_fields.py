"""`metadata.managedFields`: the fields of each manager, and how a write changes them."""

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
    """A manager, its operation, and the subresource (empty for the object itself)."""

    manager: str
    operation: str
    subresource: str = ""


class TimedFieldSet(NamedTuple):
    """The fields of a manager, and the time of their last change."""

    fields: FieldSet
    time: str


FieldManagers: TypeAlias = dict[ManagerIdentifier, TimedFieldSet]


def read_managers(obj: dict[str, Any] | None) -> FieldManagers:
    """Read the managers of an object; None has none."""
    entries = iter_managed_fields(obj) if obj else ()
    return {
        ManagerIdentifier(entry.manager, entry.operation, entry.subresource): TimedFieldSet(
            entry.fields, entry.time
        )
        for entry in entries
    }


def write_managers(obj: dict[str, Any], managers: FieldManagers) -> None:
    """Write the managers into an object, sorted as by a server, without those that own nothing."""
    rows = sorted(
        ((who, claim) for who, claim in managers.items() if not is_empty_field_set(claim.fields)),
        key=lambda row: (row[0].operation, row[1].time, row[0]),
    )
    obj["metadata"].pop("managedFields", None)
    if rows:
        entries = [_build_entry(obj["apiVersion"], who, claim) for who, claim in rows]
        obj["metadata"]["managedFields"] = entries


def release_fields(managers: FieldManagers, fields: FieldSet) -> FieldManagers:
    """Remove fields from all managers."""
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
    """`written`: added fields and fields with a new value; `removed`: fields that were removed."""

    written: FieldSet
    removed: FieldSet


def compare_fields(old: Any, new: Any, node: SchemaNode) -> FieldChanges:
    """Compare two states of an object; an atomic value counts as one field."""
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
    """Compare the children of two values; None if the value changed as a whole."""
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
    """Return the field set of a value and all its children."""
    below = child_values(value, node)
    if not below:
        return {}
    return {
        ".": {},
        **{key: all_fields(item, child_schema(node, key)) for key, item in below.items()},
    }


def child_values(value: Any, node: SchemaNode) -> dict[str, Any]:
    """Return the children that have their own managers; empty for an atomic value."""
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
    """Return the schema of a child."""
    match node:
        case GranularMap():
            return node.child(key[2:])
        case KeyedList(item=item):
            return item
        case _:
            return UNKNOWN
