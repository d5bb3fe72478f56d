"""Keeps the inventory true: widened before anything is created, narrowed after things are gone."""

from collections.abc import Iterable, Mapping
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


@dataclass(slots=True)
class Bookkeeper:
    """Writes the copies of one installation's inventory; `copies` is what is there now.

    `failed` holds the namespaces whose copy could not be written, and why: as long as that is so,
    nothing may be created there.
    """

    cluster: Cluster
    installation: str
    copies: Mapping[str, Copy]
    written: dict[str, Inventory] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin with what was read."""
        self.written = {name: copy.inventory for name, copy in self.copies.items()}

    def write(self, inventory: Inventory) -> None:
        """Make every copy say this, in all namespaces that it names."""
        for namespace in outdated(inventory, self.written, inventory.namespaces):
            try:
                self._write(namespace, inventory)
            except ClusterError as error:
                self.failed[namespace] = f"the inventory could not be written: {error}"

    def _write(self, namespace: str, inventory: Inventory) -> None:
        if namespace not in self.written:
            self._refuse_stranger(namespace)
        body = inventory_body(self.installation, namespace, inventory)
        self.cluster.apply(body, ApplyOptions(MANAGER, force=True))
        self.written[namespace] = inventory

    def narrow(self, inventory: Inventory) -> None:
        """Let copies say no more than this, and delete those of namespaces no longer in use.

        ClusterError where that fails, after all has been tried; the next pass tries again.
        """
        before = set(self.failed)
        self.write(inventory)
        for namespace, copy in self.copies.items():
            if namespace not in inventory.namespaces:
                self._delete(namespace, copy.uid)
        if failed := [reason for name, reason in self.failed.items() if name not in before]:
            raise ClusterError("; ".join(failed))

    def _delete(self, namespace: str, uid: str) -> None:
        ref = ObjectRef("", CONFIG_MAP.name, namespace, inventory_name(self.installation))
        try:
            self.cluster.delete(CONFIG_MAP, ref, uid)
        except NotFoundError:
            return
        except ClusterError as error:
            self.failed[namespace] = f"the inventory could not be deleted: {error}"

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
