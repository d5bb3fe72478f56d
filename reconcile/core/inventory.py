"""The kinds and namespaces that an installation has used, so that each of its objects is found.

Each namespace in use has a copy, so that no central namespace has to be declared: any copy names
all the others. Who may write ConfigMaps in one of the namespaces may forge its copy, so an entry
that only one of several copies has is not believed of other namespaces.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from reconcile.core.budget_usage import BudgetUsage, format_budget_usage, parse_budget_usage
from reconcile.core.model import (
    FIELD_MANAGER,
    INVENTORY_PREFIX,
    LABEL_INSTALLATION,
    LABEL_MANAGED_BY,
    Kind,
    KubeObject,
)

_NAMESPACE: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_KIND_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}(/[a-z0-9]{1,63})?")
_MAX_KINDS: Final = 100
_MAX_NAMESPACES: Final = 5000
"""A copy with more entries counts as damaged: each of them costs a request."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """Kinds and namespaces that may hold objects of one installation."""

    kinds: frozenset[Kind] = frozenset()
    namespaces: frozenset[str] = frozenset()

    def __or__(self, other: "Inventory") -> "Inventory":
        """The kinds and namespaces of both."""
        return Inventory(self.kinds | other.kinds, self.namespaces | other.namespaces)


@dataclass(frozen=True, slots=True)
class InventoryCopy:
    """The copy of one namespace, in the ConfigMap with this UID."""

    uid: str
    inventory: Inventory
    budget_usage: BudgetUsage


def inventory_name(installation: str) -> str:
    """The name of the ConfigMap, the same in every namespace."""
    return INVENTORY_PREFIX + installation


def is_inventory(installation: str, body: KubeObject) -> bool:
    """Whether an object is this installation's inventory."""
    metadata = body["metadata"]
    labels = metadata.get("labels") or {}
    return (
        body["kind"] == "ConfigMap"
        and metadata["name"] == inventory_name(installation)
        and labels.get(LABEL_INSTALLATION) == installation
    )


def read_inventory(body: KubeObject) -> Inventory:
    """Read a copy; a damaged one counts as empty and will be rewritten."""
    data = body.get("data") or {}
    try:
        kinds = frozenset(map(_parse_kind, orjson.loads(data.get("kinds", "[]"))))
        namespaces = frozenset(map(_parse_namespace, orjson.loads(data.get("namespaces", "[]"))))
    except (ValueError, TypeError):
        return Inventory()
    is_absurd = len(kinds) > _MAX_KINDS or len(namespaces) > _MAX_NAMESPACES
    return Inventory() if is_absurd else Inventory(kinds, namespaces)


def read_budget_usage(body: KubeObject) -> BudgetUsage:
    """Read the budget usage of a copy."""
    return parse_budget_usage((body.get("data") or {}).get("spent", ""))


def build_inventory_body(
    installation: str, namespace: str, inventory: Inventory, budget_usage: BudgetUsage
) -> dict[str, Any]:
    """Build the ConfigMap for one namespace."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": inventory_name(installation),
            "namespace": namespace,
            "labels": {LABEL_INSTALLATION: installation, LABEL_MANAGED_BY: FIELD_MANAGER},
        },
        "data": {
            "kinds": _to_json(sorted([kind.api_version, kind.name] for kind in inventory.kinds)),
            "namespaces": _to_json(sorted(inventory.namespaces)),
            "spent": format_budget_usage(budget_usage),
        },
    }


def find_confirmed(copies: Iterable[InventoryCopy]) -> Inventory:
    """Return the entries that at least two copies have, or those of the only copy."""
    inventories = [copy.inventory for copy in copies]
    needed = min(2, len(inventories))
    kinds = Counter(kind for each in inventories for kind in each.kinds)
    namespaces = Counter(name for each in inventories for name in each.namespaces)
    return Inventory(
        frozenset(kind for kind, count in kinds.items() if count >= needed),
        frozenset(name for name, count in namespaces.items() if count >= needed),
    )


def find_outdated_namespaces(
    wanted: tuple[Inventory, BudgetUsage],
    copies: Mapping[str, InventoryCopy],
    namespaces: Iterable[str],
) -> tuple[str, ...]:
    """List the namespaces whose copy is missing or differs from `wanted`."""
    stored = {name: (copy.inventory, copy.budget_usage) for name, copy in copies.items()}
    return tuple(sorted(name for name in namespaces if stored.get(name) != wanted))


def _parse_kind(pair: object) -> Kind:
    match pair:
        case [api_version, name]:
            return Kind(_parse_name(api_version), _parse_name(name))
        case _:
            raise TypeError("a kind is an API version and a name")


def _parse_name(value: object) -> str:
    if not isinstance(value, str) or not _KIND_NAME.fullmatch(value):
        raise TypeError("the name of a kind or a version has letters, digits, `.`, `-` and `/`")
    return value


def _parse_namespace(value: object) -> str:
    if not isinstance(value, str) or not _NAMESPACE.fullmatch(value):
        raise TypeError("a namespace is a DNS label")
    return value


def _to_json(value: object) -> str:
    return orjson.dumps(value).decode()
