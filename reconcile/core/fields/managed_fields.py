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
from reconcile.core.fields.field_path import Item, Member, Segment
from reconcile.core.fields.merge_schema import UNKNOWN, Granular, Keyed, Node, SetOf, Unknown
from reconcile.core.model import MANAGER, KubeObject

FieldSet: TypeAlias = Mapping[str, Any]
"""A `fieldsV1` tree; at the top, `{}` is the empty set."""

Path: TypeAlias = tuple[str, ...]
"""The keys from the top of a tree to one that is owned, `.` left out."""

_SELF = "."
_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}
"""What Go's JSON escapes although JSON need not."""
_IDENTITY = frozenset({"apiVersion", "kind"})
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


class Owner(NamedTuple):
    """One entry of `managedFields`; `time` is RFC 3339, `subresource` empty for the object."""

    manager: str
    operation: str
    time: str
    subresource: str
    fields: FieldSet


def fields_of(body: KubeObject, schema: Granular) -> dict[str, Any]:
    """List what a server-side apply of `body` comes to own.

    What identifies an object or is the server's own is left out, as the server does. Empty keyed
    lists and sets own nothing.
    """
    declared = {name: value for name, value in body.items() if name not in _IDENTITY}
    if isinstance(metadata := declared.get("metadata"), Mapping):
        ours = {name: value for name, value in metadata.items() if name not in _SERVER_SET}
        declared["metadata"] = ours
        if not ours:
            del declared["metadata"]
    return _map_fields(declared, schema)


def key_of(item: Any, node: Keyed) -> str:
    """Name an item of a keyed list as the server does: `k:{"containerPort":80,"protocol":"TCP"}`.

    A key that the item lacks has its default, or null where there is none.
    """
    fields = item if isinstance(item, Mapping) else {}
    values = {key: fields.get(key, node.defaults.get(key)) for key in sorted(node.keys)}
    return f"k:{_compact(values)}"


def value_of(item: Any) -> str:
    """Name a member of a set as the server does: `v:"x"`."""
    return f"v:{_compact(item)}"


def leaves(fields: FieldSet) -> Iterator[Path]:
    """Yield the path of everything that is owned, an item before what is in it."""
    for key, below in fields.items():
        if key == _SELF:
            continue
        if _owned(below):
            yield (key,)
        for path in leaves(below):
            yield (key, *path)


def find(body: Any, path: Path) -> Any:
    """Look up what a path names in an object; `ABSENT` where there is no such thing."""
    for key in path:
        body = _step(body, key)
        if body is ABSENT:
            break
    return body


def union(one: FieldSet, other: FieldSet) -> dict[str, Any]:
    """Everything that is in either."""
    result = dict(one)
    for key, below in other.items():
        result[key] = _union(result[key], below) if key in result else below
    return result


def difference(one: FieldSet, other: FieldSet) -> dict[str, Any]:
    """What is in `one` and not in `other`."""
    result = {}
    for key, below in one.items():
        left = _minus(below, other[key]) if key in other else below
        if left is not None:
            result[key] = left
    return result


def intersection(one: FieldSet, other: FieldSet) -> dict[str, Any]:
    """What is in both."""
    common = ((key, _common(below, other[key])) for key, below in one.items() if key in other)
    return {key: below for key, below in common if below is not None}


def released(before: FieldSet, after: FieldSet) -> dict[str, Any]:
    """What `before` owned and `after` gives up, whichever maps the server takes as a whole.

    A map that `before` owns without its entries (servers differ in which ones they keep so) is not
    given up as long as `after` has entries below it.
    """
    result = {}
    for key, below in before.items():
        left = _released(below, after[key]) if key in after else below
        if left is not None:
            result[key] = left
    return result


def is_empty(fields: FieldSet) -> bool:
    """Whether nothing is owned."""
    return not fields


def owners(obj: KubeObject) -> Iterator[Owner]:
    """Yield who owns what in an object, in the order in which the server keeps it."""
    for entry in obj.get("metadata", {}).get("managedFields") or ():
        yield Owner(
            entry.get("manager", ""),
            entry.get("operation", ""),
            entry.get("time", ""),
            entry.get("subresource", ""),
            entry.get("fieldsV1") or {},
        )


def manager_entry(obj: KubeObject, manager: str, operation: str = "Apply") -> dict[str, Any] | None:
    """The fields that a manager owns by an operation on the object itself; None without an entry.

    Several entries (the manager changed the API version) count as one.
    """
    found: dict[str, Any] | None = None
    for owner in owners(obj):
        if (owner.manager, owner.operation, owner.subresource) == (manager, operation, ""):
            found = union(found or {}, owner.fields)
    return found


def _map_fields(value: Mapping[str, Any], node: Node) -> dict[str, Any]:
    result = {}
    for name, item in value.items():
        child = node.child(name) if isinstance(node, Granular) else UNKNOWN
        below = _fields_below(item, child)
        if below is not None:
            result[f"f:{name}"] = below
    return result


def _fields_below(value: Any, node: Node) -> dict[str, Any] | None:
    match value, node:
        case list(), Keyed(item=item):
            keyed = {key_of(each, node): _item_fields(each, item) for each in value}
            return keyed or None
        case list(), SetOf():
            return {value_of(each): {} for each in value} or None
        case Mapping(), Granular() | Unknown() if value:
            return _map_fields(value, node) or None
        case _:
            return {}


def _item_fields(item: Any, node: Granular) -> dict[str, Any]:
    return {_SELF: {}, **_map_fields(item, node)} if isinstance(item, Mapping) else {}


def _compact(value: Any) -> str:
    return orjson.dumps(value).decode().translate(_ESCAPES)


def _step(body: Any, key: str) -> Any:
    kind, name = key[0], key[2:]
    match kind, body:
        case "f", Mapping():
            return body.get(name, ABSENT)
        case "k", list():
            wanted = orjson.loads(name).items()
            return next((item for item in body if _has(item, wanted)), ABSENT)
        case "v", list():
            wanted_value = orjson.loads(name)
            return wanted_value if wanted_value in body else ABSENT
        case _:
            return ABSENT


def _has(item: Any, wanted: Any) -> bool:
    return isinstance(item, Mapping) and all(item.get(key) == value for key, value in wanted)


def _owned(below: FieldSet) -> bool:
    return not below or _SELF in below


def _node(below: FieldSet, *, owned: bool) -> dict[str, Any] | None:
    steps = {key: value for key, value in below.items() if key != _SELF}
    if not steps:
        return {} if owned else None
    return {_SELF: {}, **steps} if owned else steps


def _union(one: FieldSet, other: FieldSet) -> dict[str, Any]:
    return _node(union(one, other), owned=_owned(one) or _owned(other)) or {}


def _minus(one: FieldSet, other: FieldSet) -> dict[str, Any] | None:
    return _node(difference(one, other), owned=_owned(one) and not _owned(other))


def _released(before: FieldSet, after: FieldSet) -> dict[str, Any] | None:
    return _node(released(before, after), owned=False)


def _common(one: FieldSet, other: FieldSet) -> dict[str, Any] | None:
    return _node(intersection(one, other), owned=_owned(one) and _owned(other))


@dataclass(frozen=True, slots=True)
class Claims:
    """Our own fields below a path (None: we own nothing there), and the entries of all others."""

    ours: FieldSet | None
    others: tuple[Owner, ...]

    def at(self, segment: Segment) -> "Claims":
        """Go one step down."""
        key = field_key(segment)
        return Claims(
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
    def is_others(self) -> bool:
        """Whether another manager owns this very place, and not just something in it."""
        return any(not owner.fields or "." in owner.fields for owner in self.others)

    @property
    def latest_other(self) -> Owner | None:
        """The entry of the other manager that wrote last, if any owns something here."""
        return max(self.others, key=lambda owner: owner.time, default=None)


NOBODYS: Final = Claims(None, ())


def field_key(segment: Segment) -> str:
    """Word a step as `fieldsV1` does."""
    match segment:
        case str():
            return f"f:{segment}"
        case Item(keys):
            return key_of(dict(keys), Keyed(tuple(name for name, _ in keys)))
        case Member(value):
            return value_of(value)
        case _:
            assert_never(segment)


def segment_of(key: str) -> Segment | None:
    """Read a step back; None for `.`, which is the place itself."""
    form, _, text = key.partition(":")
    match form:
        case "f":
            return text
        case "k":
            values: Mapping[str, Any] = orjson.loads(text)
            return Item(tuple(values.items()))
        case "v":
            return Member(orjson.loads(text))
        case _:
            return None


def claims_of(live: KubeObject) -> Claims:
    """Read an object's managedFields, but for what subresources (the kubelet's status) own."""
    others = tuple(
        owner
        for owner in owners(live)
        if not owner.subresource and (owner.manager, owner.operation) != (MANAGER, "Apply")
    )
    return Claims(manager_entry(live, MANAGER), others)
