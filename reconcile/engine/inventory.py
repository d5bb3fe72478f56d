"""Maintains the inventory: widened before objects are created, narrowed after deletes."""

from collections.abc import Iterable, Set
from dataclasses import dataclass, field

from reconcile.core.errors import ClusterError, NotFoundError
from reconcile.core.inventory import (
    BudgetUsage,
    Inventory,
    InventoryCopy,
    build_inventory_body,
    find_confirmed,
    find_outdated_namespaces,
    inventory_name,
    is_inventory,
)
from reconcile.core.model import FIELD_MANAGER, Kind, KubeObject, ObjectMetadata, ObjectRef
from reconcile.engine.ports import ApplyOptions, Cluster

CONFIG_MAP = Kind("v1", "ConfigMap")


def build_inventory(objects: Iterable[tuple[Kind, ObjectRef]]) -> Inventory:
    """List the kinds and namespaces of some objects."""
    pairs = list(objects)
    return Inventory(
        frozenset(kind for kind, _ in pairs), frozenset(ref.namespace for _, ref in pairs)
    )


@dataclass(frozen=True, slots=True)
class InventoryWrite:
    """The body of one copy that would be written."""

    namespace: str
    body: KubeObject
    is_new: bool


@dataclass(slots=True)
class InventoryStore:
    """Writes the copies of one installation's inventory; `copies` are the existing ones.

    `budget_usage` is written into each of them: the usage of a plan is stored before anything is
    ended. `failures` has the namespaces whose copy could not be written, and why: nothing may be
    created there. The copies in `unreadable` namespaces are left as they are, since it is not known
    what they must name. `metadata` is what all objects get.
    """

    cluster: Cluster
    installation: str
    metadata: ObjectMetadata
    copies: dict[str, InventoryCopy]
    budget_usage: BudgetUsage
    unreadable: frozenset[str] = frozenset()
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, inventory: Inventory) -> None:
        """Add an inventory, and what the copies confirm, to the copies in its namespaces.

        Nothing is removed here: an empty namespace may still have a copy that is to be deleted.
        """
        self._write_all(self._with_confirmed(inventory), inventory.namespaces)

    def prune(self, inventory: Inventory, reported: Set[str]) -> None:
        """Delete the copies of unused namespaces, and remove those namespaces from the others.

        ClusterError for what failed, after everything was tried, except in `reported` namespaces;
        the next pass tries again, since the others still name a copy that could not be deleted.
        """
        for namespace in sorted(self.copies.keys() - inventory.namespaces):
            self._delete(namespace)
        remaining = Inventory(inventory.kinds, inventory.namespaces | self.copies.keys())
        self._write_all(remaining, inventory.namespaces)
        if failed := [reason for name, reason in self.failures.items() if name not in reported]:
            raise ClusterError("; ".join(failed))

    def list_writes(self, added: Inventory, pruned: Inventory) -> tuple[InventoryWrite, ...]:
        """List what `add` and then `prune` would write: one copy for each namespace."""
        wanted = {
            **dict.fromkeys(self._find_outdated(pruned, pruned.namespaces), pruned),
            **dict.fromkeys(
                self._find_outdated(self._with_confirmed(added), added.namespaces),
                self._with_confirmed(added),
            ),
        }
        return tuple(
            InventoryWrite(name, self._build_body(name, each), name not in self.copies)
            for name, each in sorted(wanted.items())
        )

    def _with_confirmed(self, inventory: Inventory) -> Inventory:
        found = Inventory(frozenset(), frozenset(self.copies))
        return inventory | find_confirmed(self.copies.values()) | found

    def _find_outdated(self, inventory: Inventory, namespaces: Iterable[str]) -> Iterable[str]:
        wanted = (inventory, self.budget_usage)
        return find_outdated_namespaces(wanted, self.copies, set(namespaces) - self.unreadable)

    def _write_all(self, inventory: Inventory, namespaces: Iterable[str]) -> None:
        for namespace in self._find_outdated(inventory, namespaces):
            try:
                self._write(namespace, inventory)
            except ClusterError as error:
                self.failures[namespace] = f"the inventory could not be written: {error}"

    def _write(self, namespace: str, inventory: Inventory) -> None:
        if namespace not in self.copies:
            check_not_foreign(self.cluster, self.installation, namespace)
        body = self._build_body(namespace, inventory)
        live = self.cluster.apply(body, ApplyOptions(FIELD_MANAGER, force=True))
        self.copies[namespace] = InventoryCopy(
            live["metadata"]["uid"], inventory, self.budget_usage
        )

    def _build_body(self, namespace: str, inventory: Inventory) -> KubeObject:
        return build_inventory_body(
            self.installation, namespace, inventory, self.budget_usage, self.metadata
        )

    def _delete(self, namespace: str) -> None:
        ref = ObjectRef("", CONFIG_MAP.name, namespace, inventory_name(self.installation))
        try:
            self.cluster.delete(CONFIG_MAP, ref, self.copies[namespace].uid)
        except NotFoundError:
            pass
        except ClusterError as error:
            self.failures[namespace] = f"the inventory could not be deleted: {error}"
            return
        del self.copies[namespace]


def check_not_foreign(cluster: Cluster, installation: str, namespace: str) -> None:
    """Raise a ClusterError if a foreign object has the name of the inventory in a namespace."""
    name = inventory_name(installation)
    try:
        live = cluster.get(CONFIG_MAP, namespace, name)
    except NotFoundError:
        return
    if not is_inventory(installation, live):
        raise ClusterError(
            f"ConfigMap {namespace}/{name} is a foreign object, and its name is needed for the "
            "inventory: remove it, or choose another installation id in policy.yaml"
        )
