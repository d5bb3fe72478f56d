"""Keeps the inventory true: widened before anything is created, narrowed after things are gone."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from reconcile.core.errors import ClusterError, NotFoundError
from reconcile.core.inventory import (
    Copy,
    Inventory,
    inventory_body,
    inventory_name,
    is_inventory,
    outdated,
)
from reconcile.core.model import Kind, ObjectRef
from reconcile.core.names import MANAGER
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


@dataclass(slots=True)
class Bookkeeper:
    """Writes the copies of one installation's inventory; `copies` are those that are there.

    `failed` holds the namespaces whose copy could not be written, and why: as long as that is so,
    nothing may be created there.
    """

    cluster: Cluster
    installation: str
    copies: dict[str, Copy]
    failed: dict[str, str] = field(default_factory=dict)

    def widen(self, inventory: Inventory) -> None:
        """Let the copies in all namespaces of an inventory name it, and what any copy names.

        Nothing is forgotten here: a namespace that is empty may still have a copy that is to go.
        """
        self._write_all(inventory | named_by(self.copies.values()), inventory.namespaces)

    def narrow(self, inventory: Inventory) -> None:
        """Delete the copies of namespaces no longer in use, and let the others say no more.

        ClusterError where that fails, after all has been tried; the next pass tries again, since a
        copy that could not be deleted is still named by the others.
        """
        before = set(self.failed)
        for namespace in sorted(self.copies.keys() - inventory.namespaces):
            self._delete(namespace)
        left = Inventory(inventory.kinds, inventory.namespaces | self.copies.keys())
        self._write_all(left, inventory.namespaces)
        if failed := [reason for name, reason in self.failed.items() if name not in before]:
            raise ClusterError("; ".join(failed))

    def _write_all(self, inventory: Inventory, namespaces: Iterable[str]) -> None:
        known = {name: copy.inventory for name, copy in self.copies.items()}
        for namespace in outdated(inventory, known, namespaces):
            try:
                self._write(namespace, inventory)
            except ClusterError as error:
                self.failed[namespace] = f"the inventory could not be written: {error}"

    def _write(self, namespace: str, inventory: Inventory) -> None:
        if namespace not in self.copies:
            self._refuse_stranger(namespace)
        body = inventory_body(self.installation, namespace, inventory)
        live = self.cluster.apply(body, ApplyOptions(MANAGER, force=True))
        self.copies[namespace] = Copy(live["metadata"]["uid"], inventory)

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
