"""What an installation has ever used: kinds and namespaces, so that nothing of ours is forgotten.

Each namespace in use holds a copy, so that no home has to be declared and any one leads to all.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from reconcile.core.budget_usage import Spent, parse_spent, spent_text
from reconcile.core.model import (
    INVENTORY_PREFIX,
    LABEL_INSTALLATION,
    LABEL_MANAGED_BY,
    MANAGER,
    Kind,
    KubeObject,
)


@dataclass(frozen=True, slots=True)
class Inventory:
    """Kinds and namespaces that may hold objects of one installation."""

    kinds: frozenset[Kind] = frozenset()
    namespaces: frozenset[str] = frozenset()

    def __or__(self, other: "Inventory") -> "Inventory":
        """Everything that is in either."""
        return Inventory(self.kinds | other.kinds, self.namespaces | other.namespaces)


@dataclass(frozen=True, slots=True)
class Copy:
    """What one namespace has, in the ConfigMap with this UID."""

    uid: str
    inventory: Inventory
    spent: Spent


def inventory_name(installation: str) -> str:
    """The name of the ConfigMap, the same in every namespace."""
    return INVENTORY_PREFIX + installation


def is_inventory(installation: str, body: KubeObject) -> bool:
    """Tell whether an object is this installation's inventory."""
    metadata = body["metadata"]
    labels = metadata.get("labels") or {}
    return (
        body["kind"] == "ConfigMap"
        and metadata["name"] == inventory_name(installation)
        and labels.get(LABEL_INSTALLATION) == installation
    )


def read_inventory(body: KubeObject) -> Inventory:
    """Read a copy; one that was damaged by hand is as good as empty and will be written anew."""
    data = body.get("data") or {}
    try:
        kinds = frozenset(map(_kind, orjson.loads(data.get("kinds", "[]"))))
        namespaces = frozenset(map(_name, orjson.loads(data.get("namespaces", "[]"))))
        return Inventory(kinds, namespaces)
    except (ValueError, TypeError):
        return Inventory()


def read_spent(body: KubeObject) -> Spent:
    """Read from a copy what a revision has used of its budgets."""
    return parse_spent((body.get("data") or {}).get("spent", ""))


def inventory_body(
    installation: str, namespace: str, inventory: Inventory, spent: Spent
) -> dict[str, Any]:
    """Write the copy for one namespace."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": inventory_name(installation),
            "namespace": namespace,
            "labels": {LABEL_INSTALLATION: installation, LABEL_MANAGED_BY: MANAGER},
        },
        "data": {
            "kinds": _text(sorted([kind.api_version, kind.name] for kind in inventory.kinds)),
            "namespaces": _text(sorted(inventory.namespaces)),
            "spent": spent_text(spent),
        },
    }


def outdated(
    wanted: tuple[Inventory, Spent], copies: Mapping[str, Copy], namespaces: Iterable[str]
) -> tuple[str, ...]:
    """List the namespaces whose copy does not say what it should."""
    said = {name: (copy.inventory, copy.spent) for name, copy in copies.items()}
    return tuple(sorted(name for name in namespaces if said.get(name) != wanted))


def _kind(pair: object) -> Kind:
    match pair:
        case [api_version, name]:
            return Kind(_name(api_version), _name(name))
        case _:
            raise TypeError("a kind is an API version and a name")


def _name(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError("a name is text, and not empty")
    return value


def _text(value: object) -> str:
    return orjson.dumps(value).decode()
