"""What exactly differs between what we declare and what lives: additions, changes, removals.

Additions and changes are found by walking what is declared, removals by walking what our manager
owns. Whatever is neither declared nor owned by us is others' and never shows up here.

The cheap gate: is everything that we declare there? Most objects of most passes end here.

Whatever this cannot tell for certain it calls different; `differences` then finds out.

The minimal JSON Patch of a list of differences, against the very object that was read.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from reconcile.core.changes import ABSENT
from reconcile.core.fields.field_path import Item, Member, Path, Segment, index_of, locate, token_of
from reconcile.core.fields.managed_fields import Claims, claims_of, segment_of
from reconcile.core.fields.merge_schema import (
    UNKNOWN,
    Granular,
    Injected,
    Keyed,
    Node,
    Quantity,
    SetOf,
    Unknown,
    keeps_all,
)
from reconcile.core.fields.quantity import same_quantity
from reconcile.core.fields.zero_values import covers_exactly, means_absent
from reconcile.core.model import KubeObject

_MISSING: Final = object()

PERHAPS_ATOMIC: Final = frozenset(
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


def covers(node: Node, declared: Any, live: Any) -> bool:
    """Tell whether `live` has all of `declared`; what else it has is others' and no matter."""
    if declared == live:
        return True
    match node:
        case Quantity():
            return same_quantity(declared, live)
        case Keyed():
            return _covers_items(node, declared, live)
        case Granular() | Unknown() if isinstance(declared, dict):
            return isinstance(live, dict) and _covers_map(node, declared, live)
        case SetOf():
            return isinstance(live, list) and all(member in live for member in declared)
        case _:
            return covers_exactly(declared, _counted(node, declared, live))


def _counted(node: Node, declared: Any, live: Any) -> Any:
    return node.without(declared, live) if isinstance(node, Injected) else live


def _covers_map(node: Granular | Unknown, declared: dict[str, Any], live: dict[str, Any]) -> bool:
    for name, value in declared.items():
        found = live.get(name, _MISSING)
        if found is _MISSING:
            if keeps_all(node) or not means_absent(name, value):
                return False
        elif value != found and not _covers_entry(node, name, value, found):
            return False
    return True


def _covers_entry(node: Granular | Unknown, name: str, value: Any, found: Any) -> bool:
    both_maps = isinstance(value, dict) and isinstance(found, dict)
    if name in PERHAPS_ATOMIC and both_maps and len(found) != len(value):
        return False
    return covers(node.child(name) if isinstance(node, Granular) else UNKNOWN, value, found)


def _covers_items(node: Keyed, declared: Any, live: Any) -> bool:
    if not isinstance(declared, list) or not isinstance(live, list):
        return False
    by_key = {key_values(node, item): item for item in live}
    return all(covers(node.item, item, by_key.get(key_values(node, item))) for item in declared)


def key_values(node: Keyed, item: Any) -> tuple[Any, ...]:
    """Give the values that tell a list's item from the others, with the server's defaults."""
    fields = item if isinstance(item, dict) else {}
    return tuple(_hashable(fields.get(key, node.defaults.get(key))) for key in node.keys)


def _hashable(value: Any) -> Any:
    """Nonsense as a key finds nothing; the server will refuse it."""
    return str(value) if isinstance(value, dict | list) else value


@dataclass(frozen=True, slots=True)
class Difference:
    """One place that differs; `before == after` where only our claim on it is given up."""

    path: Path
    before: Any
    after: Any
    claims: Claims

    @property
    def is_release(self) -> bool:
        """Whether the value stays, since another manager declares it too."""
        return bool(self.before == self.after)


def differences(schema: Granular, declared: KubeObject, live: KubeObject) -> tuple[Difference, ...]:
    """List all that differs, in the order of declaration, removals last."""
    claims = claims_of(live)
    changed = _map_differences(schema, declared, live, _Place((), claims))
    removed = _removals(schema, declared, live, _Place((), claims))
    return (*changed, *removed)


@dataclass(frozen=True, slots=True)
class _Place:
    path: Path
    claims: Claims

    def at(self, segment: Segment) -> "_Place":
        return _Place((*self.path, segment), self.claims.at(segment))

    def differs(self, before: Any, after: Any) -> Difference:
        return Difference(self.path, before, after, self.claims)


def _value_differences(node: Node, declared: Any, live: Any, place: _Place) -> Iterator[Difference]:
    node = _refine(node, place.claims)
    if isinstance(node, Injected):
        live = node.without(declared, live)
    match declared, live, node:
        case list(), list(), Keyed():
            yield from _item_differences(node, declared, live, place)
        case list(), list(), SetOf():
            for member in declared:
                if member not in live:
                    yield place.at(Member(member)).differs(ABSENT, member)
        case dict(), dict(), _:
            yield from _map_differences(node, declared, live, place)
        case _ if not _same(node, declared, live):
            yield place.differs(live, declared)
        case _:
            pass


def _same(node: Node, declared: Any, live: Any) -> bool:
    if isinstance(node, Quantity):
        return same_quantity(declared, live)
    return covers_exactly(declared, live)


def _refine(node: Node, claims: Claims) -> Node:
    """Learn from the server's own bookkeeping how it merges a list that the schema lacks."""
    if isinstance(node, Unknown):
        trees = [*(owner.fields for owner in claims.others), claims.ours or {}]
        for key in (key for tree in trees for key in tree):
            match segment_of(key):
                case Item(keys):
                    return Keyed(tuple(name for name, _ in keys))
                case Member():
                    return SetOf()
                case _:
                    continue
    return node


def _map_differences(
    node: Node, declared: KubeObject, live: KubeObject, place: _Place
) -> Iterator[Difference]:
    if place.path and place.claims.is_leaf and declared and live:
        if not _same_whole(node, declared, live):
            yield place.differs(live, declared)
        return
    for name, value in declared.items():
        below = place.at(name)
        if name in live:
            child = node.child(name) if isinstance(node, Granular) else UNKNOWN
            yield from _value_differences(child, value, live[name], below)
        elif keeps_all(node) or not means_absent(name, value):
            yield below.differs(ABSENT, value)
    if not declared and live and place.claims.is_leaf and _may_be_emptied(place):
        yield place.differs(live, declared)


def _same_whole(node: Node, declared: KubeObject, live: KubeObject) -> bool:
    if keeps_all(node):
        return declared.keys() == live.keys() and covers(node, declared, live)
    return covers_exactly(declared, live)


def _may_be_emptied(place: _Place) -> bool:
    """In an empty map of ours the server fills in defaults, but not where it may be one value."""
    return place.claims.ours is None or place.path[-1] in PERHAPS_ATOMIC


def _item_differences(
    node: Keyed, declared: list[Any], live: list[Any], place: _Place
) -> Iterator[Difference]:
    by_key = {key_values(node, item): item for item in live}
    for item in declared:
        values = key_values(node, item)
        below = place.at(Item(tuple(zip(node.keys, values, strict=True))))
        if values not in by_key:
            yield below.differs(ABSENT, item)
        else:
            yield from _value_differences(node.item, item, by_key[values], below)


def _removals(node: Node, declared: Any, live: Any, place: _Place) -> Iterator[Difference]:
    for key in place.claims.ours or ():
        segment = segment_of(key)
        if segment is None:
            continue
        found = _find(segment, live, node)
        if found is ABSENT:
            continue
        below = place.at(segment)
        child = _child(node, segment)
        wanted = _find(segment, declared, node)
        if wanted is ABSENT:
            yield from _removal(child, found, below)
        elif type(wanted) is type(found):
            yield from _removals(child, wanted, found, below)


def _removal(node: Node, live: Any, place: _Place) -> Iterator[Difference]:
    """Remove a place, or where others own something in it as well, what is ours alone there."""
    if not _stays(place):
        yield place.differs(live, ABSENT)
    elif place.claims.ours == {} or not isinstance(live, dict | list):
        yield place.differs(live, live)
    else:
        yield from _removals(node, ABSENT, live, place)


def _stays(place: _Place) -> bool:
    """A field stays for whatever others own in it; a list's item only for who owns it itself."""
    is_field = isinstance(place.path[-1], str)
    return bool(place.claims.others) if is_field else place.claims.is_others


def _child(node: Node, segment: Segment) -> Node:
    if isinstance(segment, str):
        return node.child(segment) if isinstance(node, Granular) else UNKNOWN
    return node.item if isinstance(node, Keyed) else UNKNOWN


def _find(segment: Segment, value: Any, node: Node) -> Any:
    if isinstance(segment, str):
        return value.get(segment, ABSENT) if isinstance(value, dict) else ABSENT
    if isinstance(segment, Item) and isinstance(node, Keyed) and isinstance(value, list):
        values = key_values(node, dict(segment.keys))
        return next((item for item in value if key_values(node, item) == values), ABSENT)
    index = index_of(segment, value)
    return ABSENT if index is None else value[index]


Operation: TypeAlias = Mapping[str, Any]


def json_patch(found: Iterable[Difference], live: KubeObject) -> tuple[Operation, ...]:
    """Word differences as operations; removals last and from the back, so that indices hold."""
    writes = []
    removals = []
    for difference in found:
        place, there = locate(difference.path, live)
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
                below = f"{place}/{token_of(name)}"
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
