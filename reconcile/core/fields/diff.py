"""What exactly differs between what we declare and what lives: additions, changes, removals.

Additions and changes are found by walking what is declared, removals by walking what our manager
owns. Whatever is neither declared nor owned by us is others' and never shows up here.

The cheap gate: is everything that we declare there? Most objects of most passes end here.

Whatever this cannot tell for certain it calls different; `find_differences` then finds out.

The minimal JSON Patch of a list of differences, against the very object that was read.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from reconcile.core.changes import ABSENT
from reconcile.core.fields.field_path import (
    FieldPath,
    ListItem,
    Segment,
    SetMember,
    escape_pointer_token,
    find_item_index,
    resolve_json_pointer,
)
from reconcile.core.fields.managed_fields import FieldOwnership, deserialize_segment, read_ownership
from reconcile.core.fields.merge_schema import (
    UNKNOWN,
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
"""Maps that some servers merge as a whole: an entry that is not ours needs a closer look."""


def covers(node: SchemaNode, declared: Any, live: Any) -> bool:
    """Tell whether `live` has all of `declared`; what else it has is others' and no matter."""
    if declared == live:
        return True
    match node:
        case Quantity():
            return same_quantity(declared, live)
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
        found = live.get(name, _MISSING)
        if found is _MISSING:
            if keeps_zero_values(node) or not is_omitted_when_stored(name, value):
                return False
        elif value != found and not _covers_entry(node, name, value, found):
            return False
    return True


def _covers_entry(node: GranularMap | UnknownType, name: str, value: Any, found: Any) -> bool:
    both_maps = isinstance(value, dict) and isinstance(found, dict)
    if name in POSSIBLY_ATOMIC and both_maps and len(found) != len(value):
        return False
    return covers(node.child(name) if isinstance(node, GranularMap) else UNKNOWN, value, found)


def _covers_items(node: KeyedList, declared: Any, live: Any) -> bool:
    if not isinstance(declared, list) or not isinstance(live, list):
        return False
    by_key = {key_values(node, item): item for item in live}
    return all(covers(node.item, item, by_key.get(key_values(node, item))) for item in declared)


def key_values(node: KeyedList, item: Any) -> tuple[Any, ...]:
    """Give the values that tell a list's item from the others, with the server's defaults."""
    fields = item if isinstance(item, dict) else {}
    return tuple(_make_hashable(fields.get(key, node.defaults.get(key))) for key in node.keys)


def _make_hashable(value: Any) -> Any:
    """Nonsense as a key finds nothing; the server will refuse it."""
    return str(value) if isinstance(value, dict | list) else value


@dataclass(frozen=True, slots=True)
class Difference:
    """One place that differs; `before == after` where only our claim on it is given up."""

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
    """List all that differs, in the order of declaration, removals last."""
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
    node: SchemaNode, declared: Any, live: Any, place: _Location
) -> Iterator[Difference]:
    node = _infer_node(node, place.ownership)
    if isinstance(node, InjectedList):
        live = node.without_injected(declared, live)
    match declared, live, node:
        case list(), list(), KeyedList():
            yield from _diff_items(node, declared, live, place)
        case list(), list(), SetList():
            for member in declared:
                if member not in live:
                    yield place.descend(SetMember(member)).difference(ABSENT, member)
        case dict(), dict(), _:
            yield from _diff_map(node, declared, live, place)
        case _ if not _is_equal(node, declared, live):
            yield place.difference(live, declared)
        case _:
            pass


def _is_equal(node: SchemaNode, declared: Any, live: Any) -> bool:
    if isinstance(node, Quantity):
        return same_quantity(declared, live)
    return is_equal_atomic(declared, live)


def _infer_node(node: SchemaNode, ownership: FieldOwnership) -> SchemaNode:
    """Learn from the server's own bookkeeping how it merges a list that the schema lacks."""
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
    node: SchemaNode, declared: KubeObject, live: KubeObject, place: _Location
) -> Iterator[Difference]:
    if place.path and place.ownership.is_leaf and declared and live:
        if not _is_equal_atomic(node, declared, live):
            yield place.difference(live, declared)
        return
    for name, value in declared.items():
        below = place.descend(name)
        if name in live:
            child = node.child(name) if isinstance(node, GranularMap) else UNKNOWN
            yield from _diff_value(child, value, live[name], below)
        elif keeps_zero_values(node) or not is_omitted_when_stored(name, value):
            yield below.difference(ABSENT, value)
    if not declared and live and place.ownership.is_leaf and _may_be_emptied(place):
        yield place.difference(live, declared)


def _is_equal_atomic(node: SchemaNode, declared: KubeObject, live: KubeObject) -> bool:
    if keeps_zero_values(node):
        return declared.keys() == live.keys() and covers(node, declared, live)
    return is_equal_atomic(declared, live)


def _may_be_emptied(place: _Location) -> bool:
    """In an empty map of ours the server fills in defaults, but not where it may be one value."""
    return place.ownership.ours is None or place.path[-1] in POSSIBLY_ATOMIC


def _diff_items(
    node: KeyedList, declared: list[Any], live: list[Any], place: _Location
) -> Iterator[Difference]:
    by_key = {key_values(node, item): item for item in live}
    for item in declared:
        values = key_values(node, item)
        below = place.descend(ListItem(tuple(zip(node.keys, values, strict=True))))
        if values not in by_key:
            yield below.difference(ABSENT, item)
        else:
            yield from _diff_value(node.item, item, by_key[values], below)


def _diff_removals(
    node: SchemaNode, declared: Any, live: Any, place: _Location
) -> Iterator[Difference]:
    for key in place.ownership.ours or ():
        segment = deserialize_segment(key)
        if segment is None:
            continue
        found = _find_segment(segment, live, node)
        if found is ABSENT:
            continue
        below = place.descend(segment)
        child = _child_node(node, segment)
        wanted = _find_segment(segment, declared, node)
        if wanted is ABSENT:
            yield from _diff_removal(child, found, below)
        elif type(wanted) is type(found):
            yield from _diff_removals(child, wanted, found, below)


def _diff_removal(node: SchemaNode, live: Any, place: _Location) -> Iterator[Difference]:
    """Remove a place, or where others own something in it as well, what is ours alone there."""
    if not _has_other_owner(place):
        yield place.difference(live, ABSENT)
    elif place.ownership.ours == {} or not isinstance(live, dict | list):
        yield place.difference(live, live)
    else:
        yield from _diff_removals(node, ABSENT, live, place)


def _has_other_owner(place: _Location) -> bool:
    """A field stays for whatever others own in it; a list's item only for who owns it itself."""
    is_field = isinstance(place.path[-1], str)
    return bool(place.ownership.others) if is_field else place.ownership.is_owned_by_others


def _child_node(node: SchemaNode, segment: Segment) -> SchemaNode:
    if isinstance(segment, str):
        return node.child(segment) if isinstance(node, GranularMap) else UNKNOWN
    return node.item if isinstance(node, KeyedList) else UNKNOWN


def _find_segment(segment: Segment, value: Any, node: SchemaNode) -> Any:
    if isinstance(segment, str):
        return value.get(segment, ABSENT) if isinstance(value, dict) else ABSENT
    if isinstance(segment, ListItem) and isinstance(node, KeyedList) and isinstance(value, list):
        values = key_values(node, dict(segment.keys))
        return next((item for item in value if key_values(node, item) == values), ABSENT)
    index = find_item_index(segment, value)
    return ABSENT if index is None else value[index]


PatchOperation: TypeAlias = Mapping[str, Any]


def build_json_patch(found: Iterable[Difference], live: KubeObject) -> tuple[PatchOperation, ...]:
    """Word differences as operations; removals last and from the back, so that indices hold."""
    writes = []
    removals = []
    for difference in found:
        place, there = resolve_json_pointer(difference.path, live)
        if difference.is_release:
            continue
        if difference.after is ABSENT:
            removals.append({"op": "remove", "path": place})
        elif difference.before is ABSENT:
            writes.append({"op": "add", "path": place, "value": difference.after})
        else:
            # What is compared may be less than what is there (admission adds to some lists).
            whole = there is not difference.before
            writes += _replacements(place, difference.before, difference.after, whole=whole)
    removals.sort(key=lambda operation: _indices(operation["path"]), reverse=True)
    return (*writes, *removals)


def _replacements(
    place: str, before: Any, after: Any, *, whole: bool = False
) -> Iterator[dict[str, Any]]:
    """Replace no more of a value than differs: lists of one length are compared item by item."""
    match before, after:
        case dict(), dict() if not whole and before.keys() <= after.keys():
            for name in after:
                below = f"{place}/{escape_pointer_token(name)}"
                if name not in before:
                    yield {"op": "add", "path": below, "value": after[name]}
                else:
                    yield from _replacements(below, before[name], after[name])
        case list(), list() if not whole and len(before) == len(after):
            for index, (one, other) in enumerate(zip(before, after, strict=True)):
                yield from _replacements(f"{place}/{index}", one, other)
        case _ if before != after or whole:
            yield {"op": "replace", "path": place, "value": after}
        case _:
            return


def _indices(place: str) -> list[tuple[bool, int, str]]:
    steps = place.split("/")
    return [(step.isdecimal(), int(step) if step.isdecimal() else 0, step) for step in steps]
