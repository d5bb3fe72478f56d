"""Server-side apply: merges declared fields into an object, and records their manager.

Fields that the manager no longer declares are removed, unless another manager owns them.
"""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, TypeVar

from reconcile.adapters.embedded.managed_fields import (
    APPLY,
    UPDATE,
    FieldChanges,
    FieldManagers,
    ManagerIdentifier,
    TimedFieldSet,
    child_schema,
    child_values,
    compare_fields,
    read_managers,
    release_fields,
    write_managers,
)
from reconcile.core.errors import ConflictError, FieldOwner, InvalidError
from reconcile.core.fields.managed_fields import (
    FieldSet,
    KeyPath,
    build_field_set,
    intersect_field_sets,
    iter_owned_paths,
    serialize_item_key,
    union_field_sets,
)
from reconcile.core.fields.merge_schema import (
    GranularMap,
    KeyedList,
    SchemaNode,
    SetList,
    UnknownType,
)
from reconcile.core.model import KubeObject
from reconcile.engine.ports import ApplyOptions


def check_duplicate_keys(value: Any, node: SchemaNode) -> None:
    """Raise an InvalidError for a list in which two items have the same key."""
    if isinstance(node, KeyedList) and isinstance(value, list):
        for key, count in Counter(serialize_item_key(item, node) for item in value).items():
            if count > 1:
                raise InvalidError(f"duplicate entries for key {key[2:]}")
    for key, below in child_values(value, node).items():
        check_duplicate_keys(below, child_schema(node, key))


Value = TypeVar("Value")


def merge_declared(live: Any, declared: Any, node: SchemaNode) -> Any:
    """Merge declared fields into live ones; new list items come after existing ones."""
    match live, declared, node:
        case Mapping(), Mapping(), GranularMap() | UnknownType():
            return {**live, **_merge_mapping(live, declared, node)}
        case list(), list(), KeyedList() | SetList():
            olds, news = child_values(live, node), child_values(declared, node)
            child = child_schema(node, "")
            mixed = {key: _merge_item(olds, key, item, child) for key, item in news.items()}
            return list({**olds, **mixed}.values())
        case _:
            return declared


def _merge_mapping(
    live: Mapping[str, Any], declared: Mapping[str, Any], node: GranularMap | UnknownType
) -> dict[str, Any]:
    return {
        name: _merge_item(live, name, value, child_schema(node, f"f:{name}"))
        for name, value in declared.items()
    }


def _merge_item(live: Mapping[str, Any], key: str, declared: Any, node: SchemaNode) -> Any:
    return merge_declared(live[key], declared, node) if key in live else declared


def remove_unowned(value: Any, last: FieldSet, kept: FieldSet, node: SchemaNode) -> Any:
    """Remove the fields in `last` from a value, unless they or their children are in `kept`.

    A list item is removed as a whole when no manager owns the item itself; a map, when no manager
    owns a field in it. A field without a manager is removed together with its parent.
    """
    below = child_values(value, node)
    if not below:
        return value
    for key, owned in last.items():
        if key not in below:
            continue
        if _is_removed(key, owned, kept.get(key)):
            del below[key]
        elif owned:
            below[key] = remove_unowned(
                below[key], owned, kept.get(key, {}), child_schema(node, key)
            )
    if isinstance(value, list):
        return list(below.values())
    return {key[2:]: item for key, item in below.items()}


def _is_removed(key: str, owned: FieldSet, kept: FieldSet | None) -> bool:
    if key.startswith("f:"):
        return kept is None
    return _owns_itself(owned) and (kept is None or not _owns_itself(kept))


def _owns_itself(fields: FieldSet) -> bool:
    return not fields or "." in fields


_BEFORE_FIRST_APPLY = ManagerIdentifier("before-first-apply", UPDATE)
_ALWAYS_KEPT: FieldSet = {"f:metadata": {".": {}}}
_IDENTITY_METADATA = (
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "managedFields",
    "creationTimestamp",
)


def apply_declared(
    live: KubeObject, body: KubeObject, options: ApplyOptions, schema: GranularMap, time: str
) -> dict[str, Any]:
    """Return the object after the apply, with managers but without defaults.

    `live` has only identity fields if the object does not exist yet. Without `force`, a conflict
    is a ConflictError with every manager and field.
    """
    applier = ManagerIdentifier(options.manager, APPLY)
    managers = _read_or_infer_managers(live, schema, time)
    declared = declared_fields(body)
    check_duplicate_keys(declared, schema)
    applied = build_field_set(declared, schema)
    last = managers.pop(applier, TimedFieldSet({}, time)).fields
    kept = union_field_sets(applied, _ALWAYS_KEPT)
    for claim in managers.values():
        kept = union_field_sets(kept, claim.fields)
    before = without_managed_fields(live)
    wanted = remove_unowned(merge_declared(before, declared, schema), last, kept, schema)
    comparison = compare_fields(before, wanted, schema)
    others = _take_ownership(managers, comparison, force=options.force)
    return _with_managers(wanted, {**others, applier: TimedFieldSet(applied, time)})


def record_update(
    live: KubeObject, new: KubeObject, identifier: ManagerIdentifier, schema: GranularMap, time: str
) -> dict[str, Any]:
    """Return an object after an update; the writer owns the fields that it changed."""
    managers = read_managers(dict(live))
    wanted = without_managed_fields(new)
    if not managers and "resourceVersion" in live["metadata"]:
        # As on a server: without managers, ownership is tracked from the next apply on.
        return wanted
    written, removed = compare_fields(without_managed_fields(live), wanted, schema)
    if written or removed:
        managers = release_fields(managers, union_field_sets(written, removed))
    if written:
        own = managers.get(identifier, TimedFieldSet({}, time)).fields
        managers[identifier] = TimedFieldSet(union_field_sets(own, written), time)
    return _with_managers(wanted, managers)


def declared_fields(body: KubeObject) -> dict[str, Any]:
    """Return the declared fields of a body, without identity fields and nulls."""
    declared: dict[str, Any] = without_nulls(dict(body))
    metadata = declared.get("metadata", {})
    for name in _IDENTITY_METADATA:
        metadata.pop(name, None)
    return declared


def without_nulls(value: Any) -> Any:
    """Remove all null fields, at any depth; the result is a copy."""
    match value:
        case Mapping():
            return {key: without_nulls(item) for key, item in value.items() if item is not None}
        case list() | tuple():
            return [without_nulls(item) for item in value]
        case _:
            return value


def without_managed_fields(obj: KubeObject) -> dict[str, Any]:
    """Return the object without its managedFields."""
    metadata = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    return {**obj, "metadata": metadata}


def _read_or_infer_managers(live: KubeObject, schema: GranularMap, time: str) -> FieldManagers:
    managers = read_managers(dict(live))
    if managers:
        return managers
    # The fields of an object without managers belong to `before-first-apply`.
    metadata = {key: live["metadata"][key] for key in _IDENTITY_METADATA if key in live["metadata"]}
    return {
        _BEFORE_FIRST_APPLY: TimedFieldSet(
            compare_fields({**_type_meta(live), "metadata": metadata}, live, schema).written, time
        )
    }


def _type_meta(obj: KubeObject) -> dict[str, Any]:
    return {"apiVersion": obj["apiVersion"], "kind": obj["kind"]}


def _take_ownership(
    managers: FieldManagers, comparison: FieldChanges, *, force: bool
) -> FieldManagers:
    written, removed = comparison
    contested = {
        who: intersect_field_sets(claim.fields, written) for who, claim in managers.items()
    }
    conflicts = {who: fields for who, fields in contested.items() if fields}
    if conflicts and not force:
        raise ConflictError(_conflict_message(conflicts), tuple(_list_conflicts(conflicts)))
    return release_fields(managers, union_field_sets(written, removed))


def _with_managers(obj: dict[str, Any], managers: FieldManagers) -> dict[str, Any]:
    write_managers(obj, managers)
    return obj


def _list_conflicts(conflicts: Mapping[ManagerIdentifier, FieldSet]) -> list[FieldOwner]:
    return [
        FieldOwner(who.manager, format_field_path(path))
        for who, fields in sorted(conflicts.items())
        for path in sorted(iter_owned_paths(fields))
    ]


def _conflict_message(conflicts: Mapping[ManagerIdentifier, FieldSet]) -> str:
    owners = [f'"{owner.manager}": {owner.field}' for owner in _list_conflicts(conflicts)]
    noun = "conflict" if len(owners) == 1 else "conflicts"
    return f"Apply failed with {len(owners)} {noun}: conflict with {', '.join(owners)}"


def format_field_path(path: KeyPath) -> str:
    """Format a path as the server does: `.spec.containers[name="runner"].image`."""
    return "".join(_format_step(step) for step in path)


def _format_step(step: str) -> str:
    form, _, text = step.partition(":")
    match form:
        case "f":
            return f".{text}"
        case "k":
            keys = (f"{key}={json.dumps(value)}" for key, value in json.loads(text).items())
            return f"[{','.join(keys)}]"
        case _:
            return f"[={text}]"
