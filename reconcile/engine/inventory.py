"""Keeps the inventory true: widened before anything is created, narrowed after things are gone."""

from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from functools import reduce
from operator import or_

from reconcile.core.budget_usage import Spent
from reconcile.core.errors import ClusterError, NotFoundError
from reconcile.core.inventory import (
    Copy,
    Inventory,
    inventory_body,
    inventory_name,
    is_inventory,
    outdated,
)
from reconcile.core.model import MANAGER, Kind, ObjectRef
from reconcile.engine.ports import ApplyOptions, Cluster

CONFIG_MAP = Kind("v1", "ConfigMap")


def inventory_of(objects: Iterable[tuple[Kind, ObjectRef]]) -> Inventory:
    """Say which kinds and namespaces some objects take up."""
    pairs = list(objects)
    return Inventory(
        frozenset(kind for kind, _ in pairs), frozenset(ref.namespace for _, ref in pairs)
    )


def named_by(copies: Iterable[Copy]) -> Inventory:
    """Everything that any of some copies names."""
    found = Inventory()
    for copy in copies:
        found |= copy.inventory
    return found


def spent_by(copies: Iterable[Copy], revision: str) -> Spent:
    """What a revision has used of its budgets, or the last one that used any.

    Copies differ where a pass was cut off while it wrote them.
    """
    known = [copy.spent for copy in copies]
    return reduce(or_, [spent for spent in known if spent.revision == revision] or known, Spent())


@dataclass(slots=True)
class Bookkeeper:
    """Writes the copies of one installation's inventory; `copies` are those that are there.

    `spent` goes into each of them: what the plan at hand uses of the budgets is on record before
    anything is ended.
    `failed` holds the namespaces whose copy could not be written, and why: as long as that is so,
    nothing may be created there.
    """

    cluster: Cluster
    installation: str
    copies: dict[str, Copy]
    spent: Spent
    failed: dict[str, str] = field(default_factory=dict)

    def widen(self, inventory: Inventory) -> None:
        """Let the copies in all namespaces of an inventory name it, and what any copy names.

        Nothing is forgotten here: a namespace that is empty may still have a copy that is to go.
        """
        self._write_all(inventory | named_by(self.copies.values()), inventory.namespaces)

    def narrow(self, inventory: Inventory, told: Set[str]) -> None:
        """Delete the copies of namespaces no longer in use, and let the others say no more.

        ClusterError for what failed, but in namespaces of which that was `told` already, after all
        has been tried; the next pass tries again, since a copy that could not be deleted is still
        named by the others.
        """
        for namespace in sorted(self.copies.keys() - inventory.namespaces):
            self._delete(namespace)
        left = Inventory(inventory.kinds, inventory.namespaces | self.copies.keys())
        self._write_all(left, inventory.namespaces)
        if failed := [reason for name, reason in self.failed.items() if name not in told]:
            raise ClusterError("; ".join(failed))

    def _write_all(self, inventory: Inventory, namespaces: Iterable[str]) -> None:
        for namespace in outdated((inventory, self.spent), self.copies, namespaces):
            try:
                self._write(namespace, inventory)
            except ClusterError as error:
                self.failed[namespace] = f"the inventory could not be written: {error}"

    def _write(self, namespace: str, inventory: Inventory) -> None:
        if namespace not in self.copies:
            self._refuse_stranger(namespace)
        body = inventory_body(self.installation, namespace, inventory, self.spent)
        live = self.cluster.apply(body, ApplyOptions(MANAGER, force=True))
        self.copies[namespace] = Copy(live["metadata"]["uid"], inventory, self.spent)

    def _delete(self, namespace: str) -> None:
        ref = ObjectRef("", CONFIG_MAP.name, namespace, inventory_name(self.installation))
        try:
            self.cluster.delete(CONFIG_MAP, ref, self.copies[namespace].uid)
        except NotFoundError:
            pass
        except ClusterError as error:
            self.failed[namespace] = f"the inventory could not be deleted: {error}"
            return
        del self.copies[namespace]

    def _refuse_stranger(self, namespace: str) -> None:
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
