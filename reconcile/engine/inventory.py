"""Keeps the inventory true: widened before anything is created, narrowed after things are gone."""

from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from functools import reduce
from operator import or_

from reconcile.core.budget_usage import BudgetUsage
from reconcile.core.errors import ClusterError, NotFoundError
from reconcile.core.inventory import (
    Inventory,
    InventoryCopy,
    build_inventory_body,
    find_outdated_namespaces,
    inventory_name,
    is_inventory,
)
from reconcile.core.model import FIELD_MANAGER, Kind, ObjectRef
from reconcile.engine.ports import ApplyOptions, Cluster

CONFIG_MAP = Kind("v1", "ConfigMap")


def build_inventory(objects: Iterable[tuple[Kind, ObjectRef]]) -> Inventory:
    """Say which kinds and namespaces some objects take up."""
    pairs = list(objects)
    return Inventory(
        frozenset(kind for kind, _ in pairs), frozenset(ref.namespace for _, ref in pairs)
    )


def merge_inventories(copies: Iterable[InventoryCopy]) -> Inventory:
    """Everything that any of some copies names."""
    found = Inventory()
    for copy in copies:
        found |= copy.inventory
    return found


def find_budget_usage(copies: Iterable[InventoryCopy], revision: str) -> BudgetUsage:
    """What a revision has used of its budgets, or the last one that used any.

    Copies differ where a pass was cut off while it wrote them.
    """
    known = [copy.budget_usage for copy in copies]
    return reduce(
        or_, [spent for spent in known if spent.revision == revision] or known, BudgetUsage()
    )


@dataclass(slots=True)
class InventoryStore:
    """Writes the copies of one installation's inventory; `copies` are those that are there.

    `budget_usage` goes into each of them: what the plan at hand uses of the budgets is on record before
    anything is ended.
    `failures` holds the namespaces whose copy could not be written, and why: as long as that is so,
    nothing may be created there.
    """

    cluster: Cluster
    installation: str
    copies: dict[str, InventoryCopy]
    budget_usage: BudgetUsage
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, inventory: Inventory) -> None:
        """Let the copies in all namespaces of an inventory name it, and what any copy names.

        Nothing is forgotten here: a namespace that is empty may still have a copy that is to go.
        """
        self._write_all(inventory | merge_inventories(self.copies.values()), inventory.namespaces)

    def prune(self, inventory: Inventory, reported: Set[str]) -> None:
        """Delete the copies of namespaces no longer in use, and let the others say no more.

        ClusterError for what failed, but in namespaces of which that was `reported` already, after all
        has been tried; the next pass tries again, since a copy that could not be deleted is still
        named by the others.
        """
        for namespace in sorted(self.copies.keys() - inventory.namespaces):
            self._delete(namespace)
        left = Inventory(inventory.kinds, inventory.namespaces | self.copies.keys())
        self._write_all(left, inventory.namespaces)
        if failed := [reason for name, reason in self.failures.items() if name not in reported]:
            raise ClusterError("; ".join(failed))

    def _write_all(self, inventory: Inventory, namespaces: Iterable[str]) -> None:
        for namespace in find_outdated_namespaces(
            (inventory, self.budget_usage), self.copies, namespaces
        ):
            try:
                self._write(namespace, inventory)
            except ClusterError as error:
                self.failures[namespace] = f"the inventory could not be written: {error}"

    def _write(self, namespace: str, inventory: Inventory) -> None:
        if namespace not in self.copies:
            self._check_not_foreign(namespace)
        body = build_inventory_body(self.installation, namespace, inventory, self.budget_usage)
        live = self.cluster.apply(body, ApplyOptions(FIELD_MANAGER, force=True))
        self.copies[namespace] = InventoryCopy(
            live["metadata"]["uid"], inventory, self.budget_usage
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

    def _check_not_foreign(self, namespace: str) -> None:
        name = inventory_name(self.installation)
        try:
            found = self.cluster.get(CONFIG_MAP, namespace, name)
        except NotFoundError:
            return
        if not is_inventory(self.installation, found):
            raise ClusterError(
                f"ConfigMap {namespace}/{name} is not ours, and its name is needed for the "
                "inventory: remove it, or choose another installation id in policy.yaml"
            )
