"""The differences between a declared and a live object: additions, changes, removals.

`covers` is the cheap check whether a live object has everything that is declared; most objects of
most passes need no more. If it is not certain, it says no, and `find_differences` decides: it walks
the declared fields for additions and changes, and the fields that our manager owns for removals. A
field that is neither declared nor owned by us belongs to others and is ignored.

`build_json_patch` gives the minimal JSON Patch for the exact object that was read.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from reconcile.core.changes import ABSENT
from reconcile.core.fields.field_path import (
    FieldPath,
    ListItem,
    PointerResolver,
    Segment,
    SetMember,
    escape_pointer_token,
    find_item_index,
)
from reconcile.core.fields.managed_fields import FieldOwnership, deserialize_segment, read_ownership
from reconcile.core.fields.merge_schema import (
    UNKNOWN,
    AtomicMap,
    GranularMap,
    InjectedList,
    KeyedList,
    Quantity,
    SchemaNode,
    SetList,
    UnknownType,
    keeps_zero_values,
)
from reconcile.core.fields.quantity import same_quantity
from reconcile.core.fields.zero_values import is_equal_atomic, is_omitted_when_stored
from reconcile.core.model import KubeObject

_MISSING: Final = object()

POSSIBLY_ATOMIC: Final = frozenset(
    {
        "configMapKeyRef",
        "fieldRef",
        "matchLabels",
        "namespaceSelector",
        "nodeSelector",
        "podSelector",
        "secretKeyRef",
        "selector",
    }
)
"""Maps that some servers merge as a whole: `covers` is not certain if they have other entries."""


def covers(node: SchemaNode, declared: Any, live: Any) -> bool:
    """Whether `live` has all of `declared`; its other fields belong to others."""
    if declared == live:
        return True
    match node:
        case Quantity(digits):
            return same_quantity(declared, live, digits)
        case KeyedList():
            return _covers_items(node, declared, live)
        case GranularMap() | UnknownType() if isinstance(declared, dict):
            return isinstance(live, dict) and _covers_map(node, declared, live)
        case SetList():
            return isinstance(live, list) and all(member in live for member in declared)
        case _:
            return is_equal_atomic(declared, _without_injected(node, declared, live))


def _without_injected(node: SchemaNode, declared: Any, live: Any) -> Any:
    return node.without_injected(declared, live) if isinstance(node, InjectedList) else live


def _covers_map(
    node: GranularMap | UnknownType, declared: dict[str, Any], live: dict[str, Any]
) -> bool:
    for name, value in declared.items():
        current = live.get(name, _MISSING)
        if current is _MISSING:
            if keeps_zero_values(node) or not is_omitted_when_stored(name, value):
                return False
        elif value != current and not _covers_entry(node, name, value, current):
            return False
    return True


def _covers_entry(node: GranularMap | UnknownType, name: str, value: Any, current: Any) -> bool:
    both_maps = isinstance(value, dict) and isinstance(current, dict)
    if name in POSSIBLY_ATOMIC and both_maps and len(current) != len(value):
        return False
    return covers(node.child(name) if isinstance(node, GranularMap) else UNKNOWN, value, current)


def _covers_items(node: KeyedList, declared: Any, live: Any) -> bool:
    if not isinstance(declared, list) or not isinstance(live, list):
        return False
    by_key = {key_values(node, item): item for item in live}
    return all(covers(node.item, item, by_key.get(key_values(node, item))) for item in declared)


def key_values(node: KeyedList, item: Any) -> tuple[Any, ...]:
    """Return the values of an item's keys, with the server's defaults."""
    fields = item if isinstance(item, dict) else {}
    return tuple(_make_hashable(fields.get(key, node.defaults.get(key))) for key in node.keys)


def _make_hashable(value: Any) -> Any:
    """Convert an invalid key to text, which matches nothing; the server will refuse it."""
    return str(value) if isinstance(value, dict | list) else value


@dataclass(frozen=True, slots=True)
class Difference:
    """One path that differs; `before == after` if we only give up its ownership."""

    path: FieldPath
    before: Any
    after: Any
    ownership: FieldOwnership

    @property
    def is_release(self) -> bool:
        """Whether the value stays, since another manager declares it too."""
        return bool(self.before == self.after)


def find_differences(
    schema: GranularMap, declared: KubeObject, live: KubeObject
) -> tuple[Difference, ...]:
    """List all differences in the order of declaration, removals last."""
    claims = read_ownership(live)
    changed = _diff_map(schema, declared, live, _Location((), claims))
    removed = _diff_removals(schema, declared, live, _Location((), claims))
    return (*changed, *removed)


@dataclass(frozen=True, slots=True)
class _Location:
    path: FieldPath
    ownership: FieldOwnership

    def descend(self, segment: Segment) -> "_Location":
        return _Location((*self.path, segment), self.ownership.descend(segment))

    def difference(self, before: Any, after: Any) -> Difference:
        return Difference(self.path, before, after, self.ownership)


def _diff_value(
    node: SchemaNode, declared: Any, live: Any, location: _Location
) -> Iterator[Difference]:
    node = _infer_node(node, location.ownership)
    if isinstance(node, InjectedList):
        live = node.without_injected(declared, live)
    match declared, live, node:
        case list(), list(), KeyedList():
            yield from _diff_items(node, declared, live, location)
        case list(), list(), SetList():
            for member in declared:
                if member not in live:
                    yield location.descend(SetMember(member)).difference(ABSENT, member)
        case dict(), dict(), _:
            yield from _diff_map(node, declared, live, location)
        case _ if not _is_equal(node, declared, live):
            yield location.difference(live, declared)
        case _:
            pass


def _is_equal(node: SchemaNode, declared: Any, live: Any) -> bool:
    if isinstance(node, Quantity):
        return same_quantity(declared, live, node.digits)
    return is_equal_atomic(declared, live)


def _infer_node(node: SchemaNode, ownership: FieldOwnership) -> SchemaNode:
    """Infer from managedFields how the server merges a list that the schema does not have."""
    if isinstance(node, UnknownType):
        trees = [*(owner.fields for owner in ownership.others), ownership.ours or {}]
        for key in (key for tree in trees for key in tree):
            match deserialize_segment(key):
                case ListItem(keys):
                    return KeyedList(tuple(name for name, _ in keys))
                case SetMember():
                    return SetList()
                case _:
                    continue
    return node


def _diff_map(
    node: SchemaNode, declared: KubeObject, live: KubeObject, location: _Location
) -> Iterator[Difference]:
    is_whole = isinstance(node, AtomicMap) or location.ownership.is_leaf
    if location.path and is_whole and declared and live:
        if not _is_equal_atomic(node, declared, live):
            yield location.difference(live, declared)
        return
    for name, value in declared.items():
        below = location.descend(name)
        if name in live:
            child = node.child(name) if isinstance(node, GranularMap) else UNKNOWN
            yield from _diff_value(child, value, live[name], below)
        elif keeps_zero_values(node) or not is_omitted_when_stored(name, value):
            yield below.difference(ABSENT, value)
    if not declared and live and is_whole and _may_be_emptied(location):
        yield location.difference(live, declared)


def _is_equal_atomic(node: SchemaNode, declared: KubeObject, live: KubeObject) -> bool:
    if keeps_zero_values(node):
        return declared.keys() == live.keys() and covers(node, declared, live)
    return is_equal_atomic(declared, live)


def _may_be_emptied(location: _Location) -> bool:
    """Whether an empty map of ours empties the live one, which may have defaults of the server."""
    return location.ownership.ours is None or location.path[-1] in POSSIBLY_ATOMIC


def _diff_items(
    node: KeyedList, declared: list[Any], live: list[Any], location: _Location
) -> Iterator[Difference]:
    by_key = {key_values(node, item): item for item in live}
    for item in declared:
        values = key_values(node, item)
        below = location.descend(ListItem(tuple(zip(node.keys, values, strict=True))))
        if values not in by_key:
            yield below.difference(ABSENT, item)
        else:
            yield from _diff_value(node.item, item, by_key[values], below)


def _diff_removals(
    node: SchemaNode, declared: Any, live: Any, location: _Location
) -> Iterator[Difference]:
    node = _infer_node(node, location.ownership)
    live_entries, wanted_entries = _Entries(node, live), _Entries(node, declared)
    for key in location.ownership.ours or ():
        segment = deserialize_segment(key)
        if segment is None:
            continue
        current = live_entries.find(segment)
        if current is ABSENT:
            continue
        below = location.descend(segment)
        child = _child_node(node, segment)
        wanted = wanted_entries.find(segment)
        if wanted is ABSENT:
            yield from _diff_removal(child, current, below)
        elif type(wanted) is type(current):
            yield from _diff_removals(child, wanted, current, below)


def _diff_removal(node: SchemaNode, live: Any, location: _Location) -> Iterator[Difference]:
    """Remove a path; if others own something below it too, remove only what is ours alone."""
    if not _has_other_owner(location):
        yield location.difference(live, ABSENT)
    elif location.ownership.ours == {} or not isinstance(live, dict | list):
        yield location.difference(live, live)
    else:
        yield from _diff_removals(node, ABSENT, live, location)


def _has_other_owner(location: _Location) -> bool:
    """A field is kept if others own anything below it, a list item only if they own the item."""
    is_field = isinstance(location.path[-1], str)
    return bool(location.ownership.others) if is_field else location.ownership.is_owned_by_others


def _child_node(node: SchemaNode, segment: Segment) -> SchemaNode:
    if isinstance(segment, str):
        return node.child(segment) if isinstance(node, GranularMap) else UNKNOWN
    return node.item if isinstance(node, KeyedList) else UNKNOWN


class _Entries:
    """The entries of a map or a list; those of a keyed list are indexed, as there may be many."""

    def __init__(self, node: SchemaNode, value: Any) -> None:
        self._node = node
        self._value = value
        self._by_key: dict[tuple[Any, ...], Any] | None = None

    def find(self, segment: Segment) -> Any:
        """Return the value of one entry; ABSENT if there is none."""
        if isinstance(segment, str):
            return self._value.get(segment, ABSENT) if isinstance(self._value, dict) else ABSENT
        if isinstance(segment, ListItem) and isinstance(self._node, KeyedList):
            return self._find_item(self._node, segment)
        index = find_item_index(segment, self._value)
        return ABSENT if index is None else self._value[index]

    def _find_item(self, node: KeyedList, segment: ListItem) -> Any:
        if self._by_key is None:
            items = self._value if isinstance(self._value, list) else []
            # Of items with the same key the first one counts.
            self._by_key = {key_values(node, item): item for item in reversed(items)}
        return self._by_key.get(key_values(node, dict(segment.keys)), ABSENT)


PatchOperation: TypeAlias = Mapping[str, Any]


def build_json_patch(
    differences: Iterable[Difference], live: KubeObject
) -> tuple[PatchOperation, ...]:
    """Build the operations; removals come last and from the end, so that indices stay valid."""
    writes = []
    removals = []
    pointers = PointerResolver(live)
    for difference in differences:
        pointer, existing = pointers.resolve(difference.path)
        if difference.is_release:
            continue
        if difference.after is ABSENT:
            removals.append({"op": "remove", "path": pointer})
        elif difference.before is ABSENT:
            writes.append({"op": "add", "path": pointer, "value": difference.after})
        else:
            # The compared value may be a part of the live one (admission adds to some lists).
            whole = existing is not difference.before
            writes += _replacements(pointer, difference.before, difference.after, whole=whole)
    removals.sort(key=lambda operation: _indices(operation["path"]), reverse=True)
    return (*writes, *removals)


def _replacements(
    pointer: str, before: Any, after: Any, *, whole: bool = False
) -> Iterator[dict[str, Any]]:
    """Replace only what differs: lists of equal length are compared item by item."""
    match before, after:
        case dict(), dict() if not whole and before.keys() <= after.keys():
            for name in after:
                below = f"{pointer}/{escape_pointer_token(name)}"
                if name not in before:
                    yield {"op": "add", "path": below, "value": after[name]}
                else:
                    yield from _replacements(below, before[name], after[name])
        case list(), list() if not whole and len(before) == len(after):
            for index, (one, other) in enumerate(zip(before, after, strict=True)):
                yield from _replacements(f"{pointer}/{index}", one, other)
        case _ if before != after or whole:
            yield {"op": "replace", "path": pointer, "value": after}
        case _:
            return


def _indices(pointer: str) -> list[tuple[bool, int, str]]:
    steps = pointer.split("/")
    return [(step.isdecimal(), int(step) if step.isdecimal() else 0, step) for step in steps]
