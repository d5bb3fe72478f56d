"""Field ownership: the `fieldsV1` trees of `metadata.managedFields`, and the owners of one path.

A tree is kept as JSON. Each key names one step (`f:spec` a field, `k:{"name":"a"}` an item of a
keyed list, `v:"x"` a member of a set). Below it, `{}` and an entry `.` both mean that the step
itself is owned. Source: FieldsV1 in Kubernetes' meta/v1 and structured-merge-diff.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias, assert_never

import orjson

from reconcile.core.fields.field_path import ListItem, Segment, SetMember
from reconcile.core.fields.merge_schema import (
    UNKNOWN,
    GranularMap,
    KeyedList,
    SchemaNode,
    SetList,
    UnknownType,
)
from reconcile.core.model import FIELD_MANAGER, KubeObject

FieldSet: TypeAlias = Mapping[str, Any]
"""A `fieldsV1` tree; at the top, `{}` is the empty set."""

KeyPath: TypeAlias = tuple[str, ...]
"""The keys from the root of a tree to an owned step, without `.`."""

_SELF = "."
_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}
"""Characters that Go's JSON encoder escapes although JSON does not require it."""
_TYPE_FIELDS = frozenset({"apiVersion", "kind"})
_SERVER_SET = frozenset(
    {
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "managedFields",
        "creationTimestamp",
        "generation",
        "selfLink",
    }
)


class ManagedFieldsEntry(NamedTuple):
    """One entry of `managedFields`; `time` is RFC 3339, `subresource` empty for the object."""

    manager: str
    operation: str
    time: str
    subresource: str
    fields: FieldSet


def build_field_set(body: KubeObject, schema: GranularMap) -> dict[str, Any]:
    """List the fields that a server-side apply of `body` owns.

    Fields that identify an object or that the server sets are left out, as the server does. Empty
    keyed lists and sets own nothing.
    """
    declared = {name: value for name, value in body.items() if name not in _TYPE_FIELDS}
    if isinstance(metadata := declared.get("metadata"), Mapping):
        ours = {name: value for name, value in metadata.items() if name not in _SERVER_SET}
        declared["metadata"] = ours
        if not ours:
            del declared["metadata"]
    return _map_fields(declared, schema)


def serialize_item_key(item: Any, node: KeyedList) -> str:
    """Serialize an item's key as the server does: `k:{"containerPort":80,"protocol":"TCP"}`.

    A key that the item does not have gets its default, or null.
    """
    fields = item if isinstance(item, Mapping) else {}
    values = {key: fields.get(key, node.defaults.get(key)) for key in sorted(node.keys)}
    return f"k:{_to_compact_json(values)}"


def serialize_member(item: Any) -> str:
    """Serialize a member of a set as the server does: `v:"x"`."""
    return f"v:{_to_compact_json(item)}"


def iter_owned_paths(fields: FieldSet) -> Iterator[KeyPath]:
    """Yield the path of every owned step, an item before its fields."""
    for key, below in fields.items():
        if key == _SELF:
            continue
        if _is_owned(below):
            yield (key,)
        for path in iter_owned_paths(below):
            yield (key, *path)


def union_field_sets(one: FieldSet, other: FieldSet) -> dict[str, Any]:
    """The fields of either set."""
    result = dict(one)
    for key, below in other.items():
        result[key] = _union_nodes(result[key], below) if key in result else below
    return result


def subtract_field_sets(one: FieldSet, other: FieldSet) -> dict[str, Any]:
    """The fields of `one` that are not in `other`."""
    result = {}
    for key, below in one.items():
        left = _subtract_nodes(below, other[key]) if key in other else below
        if left is not None:
            result[key] = left
    return result


def intersect_field_sets(one: FieldSet, other: FieldSet) -> dict[str, Any]:
    """The fields that are in both sets."""
    common = (
        (key, _intersect_nodes(below, other[key])) for key, below in one.items() if key in other
    )
    return {key: below for key, below in common if below is not None}


def find_released_fields(before: FieldSet, after: FieldSet) -> dict[str, Any]:
    """The fields that `before` owned and `after` does not, on servers of all versions.

    A map that `before` owns as a whole (servers differ in which maps they treat so) is not released
    as long as `after` has entries below it.
    """
    result = {}
    for key, below in before.items():
        left = _released_nodes(below, after[key]) if key in after else below
        if left is not None:
            result[key] = left
    return result


def is_empty_field_set(fields: FieldSet) -> bool:
    """Whether the set has no fields."""
    return not fields


def iter_managed_fields(obj: KubeObject) -> Iterator[ManagedFieldsEntry]:
    """Yield the entries of an object's managedFields, in the server's order."""
    for entry in obj.get("metadata", {}).get("managedFields") or ():
        yield ManagedFieldsEntry(
            entry.get("manager", ""),
            entry.get("operation", ""),
            entry.get("time", ""),
            entry.get("subresource", ""),
            entry.get("fieldsV1") or {},
        )


def find_manager_fields(
    obj: KubeObject, manager: str, operation: str = "Apply"
) -> dict[str, Any] | None:
    """The fields that a manager owns by an operation on the object itself; None without an entry.

    Several entries (the manager changed the API version) count as one.
    """
    fields: dict[str, Any] | None = None
    for owner in iter_managed_fields(obj):
        if (owner.manager, owner.operation, owner.subresource) == (manager, operation, ""):
            fields = union_field_sets(fields or {}, owner.fields)
    return fields


def _map_fields(value: Mapping[str, Any], node: SchemaNode) -> dict[str, Any]:
    result = {}
    for name, item in value.items():
        child = node.child(name) if isinstance(node, GranularMap) else UNKNOWN
        below = _value_fields(item, child)
        if below is not None:
            result[f"f:{name}"] = below
    return result


def _value_fields(value: Any, node: SchemaNode) -> dict[str, Any] | None:
    match value, node:
        case list(), KeyedList(item=item):
            keyed = {serialize_item_key(each, node): _item_fields(each, item) for each in value}
            return keyed or None
        case list(), SetList():
            return {serialize_member(each): {} for each in value} or None
        case Mapping(), GranularMap() | UnknownType() if value:
            return _map_fields(value, node) or None
        case _:
            return {}


def _item_fields(item: Any, node: GranularMap) -> dict[str, Any]:
    return {_SELF: {}, **_map_fields(item, node)} if isinstance(item, Mapping) else {}


def _to_compact_json(value: Any) -> str:
    return orjson.dumps(value).decode().translate(_ESCAPES)


def _is_owned(below: FieldSet) -> bool:
    return not below or _SELF in below


def _build_node(below: FieldSet, *, owned: bool) -> dict[str, Any] | None:
    steps = {key: value for key, value in below.items() if key != _SELF}
    if not steps:
        return {} if owned else None
    return {_SELF: {}, **steps} if owned else steps


def _union_nodes(one: FieldSet, other: FieldSet) -> dict[str, Any]:
    return _build_node(union_field_sets(one, other), owned=_is_owned(one) or _is_owned(other)) or {}


def _subtract_nodes(one: FieldSet, other: FieldSet) -> dict[str, Any] | None:
    return _build_node(
        subtract_field_sets(one, other), owned=_is_owned(one) and not _is_owned(other)
    )


def _released_nodes(before: FieldSet, after: FieldSet) -> dict[str, Any] | None:
    return _build_node(find_released_fields(before, after), owned=False)


def _intersect_nodes(one: FieldSet, other: FieldSet) -> dict[str, Any] | None:
    return _build_node(intersect_field_sets(one, other), owned=_is_owned(one) and _is_owned(other))


@dataclass(frozen=True, slots=True)
class FieldOwnership:
    """Our fields below a path (None: we own nothing there), and the entries of all others."""

    ours: FieldSet | None
    others: tuple[ManagedFieldsEntry, ...]

    def descend(self, segment: Segment) -> "FieldOwnership":
        """Narrow the ownership to one step below."""
        key = serialize_segment(segment)
        return FieldOwnership(
            None if self.ours is None else self.ours.get(key),
            tuple(
                owner._replace(fields=owner.fields[key])
                for owner in self.others
                if key in owner.fields
            ),
        )

    @property
    def is_leaf(self) -> bool:
        """Whether the value is owned as a whole, and no part of it separately."""
        trees = [owner.fields for owner in self.others]
        if self.ours is not None:
            trees.append(self.ours)
        return bool(trees) and not any(trees)

    @property
    def is_owned_by_others(self) -> bool:
        """Whether another manager owns the path itself, and not only something below it."""
        return any(not owner.fields or "." in owner.fields for owner in self.others)

    @property
    def latest_other(self) -> ManagedFieldsEntry | None:
        """The entry of the other manager that wrote last, if any owns something here."""
        return max(self.others, key=lambda owner: owner.time, default=None)


def serialize_segment(segment: Segment) -> str:
    """Serialize a step as a key of `fieldsV1`."""
    match segment:
        case str():
            return f"f:{segment}"
        case ListItem(keys):
            return serialize_item_key(dict(keys), KeyedList(tuple(name for name, _ in keys)))
        case SetMember(value):
            return serialize_member(value)
        case _:
            assert_never(segment)


def deserialize_segment(key: str) -> Segment | None:
    """Parse a key of `fieldsV1`; None for `.`, which is the path itself."""
    form, _, text = key.partition(":")
    match form:
        case "f":
            return text
        case "k":
            values: Mapping[str, Any] = orjson.loads(text)
            return ListItem(tuple(values.items()))
        case "v":
            return SetMember(orjson.loads(text))
        case _:
            return None


def read_ownership(live: KubeObject) -> FieldOwnership:
    """Read an object's managedFields; `resize` and `scale` change declared fields too."""
    others = tuple(
        owner
        for owner in iter_managed_fields(live)
        if (owner.manager, owner.operation, owner.subresource) != (FIELD_MANAGER, "Apply", "")
    )
    return FieldOwnership(find_manager_fields(live, FIELD_MANAGER), others)
