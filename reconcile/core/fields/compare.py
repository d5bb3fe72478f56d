"""The cheap gate: is everything that we declare there? Most objects of most passes end here.

Whatever this cannot tell for certain it calls different; `differences` then finds out.
"""

from typing import Any, Final

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
from reconcile.core.fields.quantity_part import same_quantity
from reconcile.core.fields.zero import covers_exactly, means_absent

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
