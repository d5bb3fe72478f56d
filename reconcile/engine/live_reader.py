"""Reads live state: a paged LIST for each kind and namespace, and the names that are taken."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from reconcile.core.errors import ClusterError, ForbiddenError, Problem, UnavailableError
from reconcile.core.inventory import (
    Inventory,
    InventoryCopy,
    is_inventory,
    read_budget_usage,
    read_inventory,
)
from reconcile.core.model import LABEL_INSTALLATION, DesiredState, Kind, KubeObject, Manifest
from reconcile.core.plan.adoption import ForeignObjects, MissingManifests, find_name_conflicts
from reconcile.engine.inventory import CONFIG_MAP, merge_inventories
from reconcile.engine.ports import Cluster


@dataclass(slots=True)
class LiveReader:
    """Yields what lives of one installation, and remembers what it could not read.

    `copies` are the inventories found, by namespace. `failures` are the namespaces of which live
    state is not known: nothing may be planned there. `unavailable` is set once the server did not answer
    in spite of all patience.
    """

    cluster: Cluster
    desired: DesiredState
    copies: dict[str, InventoryCopy] = field(default_factory=dict)
    failures: dict[str, Problem] = field(default_factory=dict)
    unavailable: UnavailableError | None = None

    @property
    def inventory(self) -> Inventory:
        """Everything that the found copies name."""
        return merge_inventories(self.copies.values())

    def read_objects(self) -> Iterator[KubeObject]:
        """Yield our objects; the inventory leads to further namespaces and kinds."""
        policy = self.desired.policy
        done: set[str] = set()
        while todo := sorted(
            (self.desired.namespaces | policy.namespaces | self.inventory.namespaces) - done
        ):
            for namespace in todo:
                done.add(namespace)
                yield from self._list_config_maps(namespace)
        kinds = (self.desired.kinds | self.inventory.kinds) - {CONFIG_MAP}
        for kind in sorted(kinds):
            for namespace in sorted(done - self.failures.keys()):
                yield from self._list(kind, namespace)

    def _list_config_maps(self, namespace: str) -> Iterator[KubeObject]:
        installation = self.desired.policy.installation
        for body in self._list(CONFIG_MAP, namespace):
            if is_inventory(installation, body):
                self.copies[namespace] = _parse_copy(body)
            else:
                yield body

    def _list(self, kind: Kind, namespace: str) -> Iterator[KubeObject]:
        labels = {LABEL_INSTALLATION: self.desired.policy.installation}
        try:
            if self.unavailable is not None:
                raise self.unavailable
            yield from self.cluster.list(kind, namespace, labels)
        except ClusterError as error:
            self._record_failure(kind, namespace, error)

    def _record_failure(self, kind: Kind, namespace: str, error: ClusterError) -> None:
        self.failures[namespace] = _unreadable_problem(kind, namespace, error)
        if isinstance(error, UnavailableError):
            # It was tried long enough already; not once more for each namespace.
            self.unavailable = error

    def find_foreign_objects(self, wanted: MissingManifests) -> ForeignObjects:
        """Look up every name that is about to be created; adoptable objects are read whole."""
        found = ForeignObjects()
        for (kind, namespace), manifests in wanted.items():
            try:
                found |= _find_foreign_objects(self.cluster, kind, namespace, manifests)
            except ClusterError as error:
                self._record_failure(kind, namespace, error)
        return found


def _parse_copy(body: KubeObject) -> InventoryCopy:
    return InventoryCopy(body["metadata"]["uid"], read_inventory(body), read_budget_usage(body))


def _find_foreign_objects(
    cluster: Cluster, kind: Kind, namespace: str, manifests: Mapping[str, Manifest]
) -> ForeignObjects:
    names = set()
    adoptable = {}
    for ref, may_adopt in find_name_conflicts(manifests, cluster.metadata(kind, namespace)).items():
        if may_adopt:
            adoptable[ref] = cluster.get(kind, namespace, ref.name)
        else:
            names.add(ref)
    return ForeignObjects(frozenset(names), adoptable)


def _unreadable_problem(kind: Kind, namespace: str, error: ClusterError) -> Problem:
    message = (
        f"{kind.name} could not be read, so nothing is done in this namespace: "
        f"{error}{permission_hint(kind, error)}"
    )
    return Problem(namespace, 0, 0, "", message)


def permission_hint(kind: Kind, error: ClusterError) -> str:
    """Say which right would help, if one would."""
    if not isinstance(error, ForbiddenError) or not error.verb:
        return ""
    return f"; grant `{error.verb}` on {kind.name} in this namespace"
