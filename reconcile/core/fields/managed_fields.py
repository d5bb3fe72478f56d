"""Who owns which field: the `fieldsV1` trees of `metadata.managedFields`.

A tree is used as the JSON that it is. Each key names one step (`f:spec` a field, `k:{"name":"a"}`
an item of a keyed list, `v:"x"` a member of a set). Below it, `{}` and an entry `.` both say that
the step itself is owned. Source: FieldsV1 in Kubernetes' meta/v1 and structured-merge-diff.

Who owns what around one place: an object's managedFields, narrowed step by step along a path.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias, assert_never

import orjson

from reconcile.core.changes import ABSENT
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
"""The keys from the top of a tree to one that is owned, `.` left out."""

_SELF = "."
_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}
"""What Go's JSON escapes although JSON need not."""
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
    """List what a server-side apply of `body` comes to own.

    What identifies an object or is the server's own is left out, as the server does. Empty keyed
    lists and sets own nothing.
    """
    declared = {name: value for name, value in body.items() if name not in _TYPE_FIELDS}
    if isinstance(metadata := declared.get("metadata"), Mapping):
        ours = {name: value for name, value in metadata.items() if name not in _SERVER_SET}
        declared["metadata"] = ours
        if not ours:
            del declared["metadata"]
    return _map_fields(declared, schema)


def serialize_item_key(item: Any, node: KeyedList) -> str:
    """Name an item of a keyed list as the server does: `k:{"containerPort":80,"protocol":"TCP"}`.

    A key that the item lacks has its default, or null where there is none.
    """
    fields = item if isinstance(item, Mapping) else {}
    values = {key: fields.get(key, node.defaults.get(key)) for key in sorted(node.keys)}
    return f"k:{_to_compact_json(values)}"


def serialize_member(item: Any) -> str:
    """Name a member of a set as the server does: `v:"x"`."""
    return f"v:{_to_compact_json(item)}"


def iter_owned_paths(fields: FieldSet) -> Iterator[KeyPath]:
    """Yield the path of everything that is owned, an item before what is in it."""
    for key, below in fields.items():
        if key == _SELF:
            continue
        if _is_owned(below):
            yield (key,)
        for path in iter_owned_paths(below):
            yield (key, *path)


def find_value(body: Any, path: KeyPath) -> Any:
    """Look up what a path names in an object; `ABSENT` where there is no such thing."""
    for key in path:
        body = _descend(body, key)
        if body is ABSENT:
            break
    return body


def union_field_sets(one: FieldSet, other: FieldSet) -> dict[str, Any]:
    """Everything that is in either."""
    result = dict(one)
    for key, below in other.items():
        result[key] = _union_nodes(result[key], below) if key in result else below
    return result


def subtract_field_sets(one: FieldSet, other: FieldSet) -> dict[str, Any]:
    """What is in `one` and not in `other`."""
    result = {}
    for key, below in one.items():
        left = _subtract_nodes(below, other[key]) if key in other else below
        if left is not None:
            result[key] = left
    return result


def intersect_field_sets(one: FieldSet, other: FieldSet) -> dict[str, Any]:
    """What is in both."""
    common = (
        (key, _intersect_nodes(below, other[key])) for key, below in one.items() if key in other
    )
    return {key: below for key, below in common if below is not None}


def find_released_fields(before: FieldSet, after: FieldSet) -> dict[str, Any]:
    """What `before` owned and `after` gives up, whichever maps the server takes as a whole.

    A map that `before` owns without its entries (servers differ in which ones they keep so) is not
    given up as long as `after` has entries below it.
    """
    result = {}
    for key, below in before.items():
        left = _released_nodes(below, after[key]) if key in after else below
        if left is not None:
            result[key] = left
    return result


def is_empty_field_set(fields: FieldSet) -> bool:
    """Whether nothing is owned."""
    return not fields


def iter_managed_fields(obj: KubeObject) -> Iterator[ManagedFieldsEntry]:
    """Yield who owns what in an object, in the order in which the server keeps it."""
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
    found: dict[str, Any] | None = None
    for owner in iter_managed_fields(obj):
        if (owner.manager, owner.operation, owner.subresource) == (manager, operation, ""):
            found = union_field_sets(found or {}, owner.fields)
    return found


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


def _descend(body: Any, key: str) -> Any:
    kind, name = key[0], key[2:]
    match kind, body:
        case "f", Mapping():
            return body.get(name, ABSENT)
        case "k", list():
            wanted = orjson.loads(name).items()
            return next((item for item in body if _has_keys(item, wanted)), ABSENT)
        case "v", list():
            wanted_value = orjson.loads(name)
            return wanted_value if wanted_value in body else ABSENT
        case _:
            return ABSENT


def _has_keys(item: Any, wanted: Any) -> bool:
    return isinstance(item, Mapping) and all(item.get(key) == value for key, value in wanted)


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
    """Our own fields below a path (None: we own nothing there), and the entries of all others."""

    ours: FieldSet | None
    others: tuple[ManagedFieldsEntry, ...]

    def descend(self, segment: Segment) -> "FieldOwnership":
        """Go one step down."""
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
        """Whether the value is owned as a whole, and no part of it by anybody."""
        trees = [owner.fields for owner in self.others]
        if self.ours is not None:
            trees.append(self.ours)
        return bool(trees) and not any(trees)

    @property
    def is_owned_by_others(self) -> bool:
        """Whether another manager owns this very place, and not just something in it."""
        return any(not owner.fields or "." in owner.fields for owner in self.others)

    @property
    def latest_other(self) -> ManagedFieldsEntry | None:
        """The entry of the other manager that wrote last, if any owns something here."""
        return max(self.others, key=lambda owner: owner.time, default=None)


UNOWNED: Final = FieldOwnership(None, ())


def serialize_segment(segment: Segment) -> str:
    """Word a step as `fieldsV1` does."""
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
    """Read a step back; None for `.`, which is the place itself."""
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
    """Read an object's managedFields, but for what subresources (the kubelet's status) own."""
    others = tuple(
        owner
        for owner in iter_managed_fields(live)
        if not owner.subresource and (owner.manager, owner.operation) != (FIELD_MANAGER, "Apply")
    )
    return FieldOwnership(find_manager_fields(live, FIELD_MANAGER), others)
