"""Reads live state by a paged LIST per kind and namespace, and the names of foreign objects.

The body of an object is not kept: it is compared while its page is in memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconcile.core.errors import ClusterError, ForbiddenError, Problem, UnavailableError
from reconcile.core.inventory import (
    Inventory,
    InventoryCopy,
    is_inventory,
    read_budget_usage,
    read_inventory,
)
from reconcile.core.model import (
    LABEL_INSTALLATION,
    DesiredState,
    Kind,
    KubeObject,
    Manifest,
    ObjectRef,
)
from reconcile.core.plan.adoption import ForeignObjects, MissingManifests, find_name_conflicts
from reconcile.core.plan.live_state import (
    Comparator,
    LiveObject,
    LiveObjects,
    LiveState,
    build_comparator,
)
from reconcile.engine.inventory import CONFIG_MAP, merge_inventories
from reconcile.engine.ports import Cluster


@dataclass(frozen=True, slots=True)
class LiveReadResult:
    """What was read of one installation.

    `copies` are the inventories found, by namespace. `failures` are the namespaces whose live state
    is not known: nothing may be planned there, and `live_state` has only some of their objects.
    """

    live_state: LiveState
    copies: Mapping[str, InventoryCopy]
    failures: Mapping[str, Problem]

    @property
    def inventory(self) -> Inventory:
        """Everything that the found copies name."""
        return merge_inventories(self.copies.values())


@dataclass(frozen=True, slots=True)
class ForeignObjectsResult:
    """The names that are taken by foreign objects; `failures` as for `LiveReadResult`."""

    objects: ForeignObjects
    failures: Mapping[str, Problem]


def read_live_state(
    cluster: Cluster, desired: DesiredState, previous: LiveObjects
) -> LiveReadResult:
    """Read all objects of the installation, and compare each as soon as its page arrives.

    ConfigMaps come first: the inventories among them name further namespaces and kinds. A namespace
    that cannot be read is reported in the result; no ClusterError is raised.
    """
    lister = _Lister(cluster, desired.policy.installation, build_comparator(desired, previous))
    read: set[str] = set()
    namespaces = desired.namespaces | desired.policy.namespaces
    while pending := (namespaces | lister.inventory.namespaces) - read:
        for namespace in sorted(pending):
            lister.list(CONFIG_MAP, namespace)
        read |= pending
    for kind in sorted((desired.kinds | lister.inventory.kinds) - {CONFIG_MAP}):
        for namespace in sorted(read - lister.failures.keys()):
            lister.list(kind, namespace)
    return LiveReadResult(LiveState(lister.objects), lister.copies, lister.failures)


def find_foreign_objects(cluster: Cluster, missing: MissingManifests) -> ForeignObjectsResult:
    """Look up every name that is about to be created; adoptable objects are read completely."""
    objects = ForeignObjects()
    failures: dict[str, Problem] = {}
    for (kind, namespace), manifests in missing.items():
        try:
            objects |= _find_foreign_objects(cluster, kind, namespace, manifests)
        except ClusterError as error:
            failures[namespace] = _unreadable_problem(kind, namespace, error)
    return ForeignObjectsResult(objects, failures)


@dataclass(slots=True)
class _Lister:
    """Collects the results of one LIST after the other.

    `unavailable` is set once the server did not answer in spite of all retries: then no other
    namespace waits for the same retries.
    """

    cluster: Cluster
    installation: str
    comparator: Comparator
    objects: dict[ObjectRef, LiveObject] = field(default_factory=dict)
    copies: dict[str, InventoryCopy] = field(default_factory=dict)
    failures: dict[str, Problem] = field(default_factory=dict)
    unavailable: UnavailableError | None = None

    @property
    def inventory(self) -> Inventory:
        return merge_inventories(self.copies.values())

    def list(self, kind: Kind, namespace: str) -> None:
        try:
            if self.unavailable is not None:
                raise self.unavailable
            for body in self.cluster.list(kind, namespace, {LABEL_INSTALLATION: self.installation}):
                self._add(namespace, body)
        except ClusterError as error:
            self.failures[namespace] = _unreadable_problem(kind, namespace, error)
            if isinstance(error, UnavailableError):
                self.unavailable = error

    def _add(self, namespace: str, body: KubeObject) -> None:
        if is_inventory(self.installation, body):
            self.copies[namespace] = _parse_copy(body)
        elif (live_object := self.comparator.observe(body)) is not None:
            self.objects[live_object.ref] = live_object


def _parse_copy(body: KubeObject) -> InventoryCopy:
    return InventoryCopy(body["metadata"]["uid"], read_inventory(body), read_budget_usage(body))


def _find_foreign_objects(
    cluster: Cluster, kind: Kind, namespace: str, manifests: Mapping[str, Manifest]
) -> ForeignObjects:
    conflicts = set()
    adoptable = {}
    for ref, may_adopt in find_name_conflicts(manifests, cluster.metadata(kind, namespace)).items():
        if may_adopt:
            adoptable[ref] = cluster.get(kind, namespace, ref.name)
        else:
            conflicts.add(ref)
    return ForeignObjects(frozenset(conflicts), adoptable)


def _unreadable_problem(kind: Kind, namespace: str, error: ClusterError) -> Problem:
    message = (
        f"{kind.name} could not be read, so nothing is done in this namespace: "
        f"{error}{permission_hint(kind, error)}"
    )
    return Problem(namespace, 0, 0, "", message)


def permission_hint(kind: Kind, error: ClusterError) -> str:
    """Name the permission to grant, if the error is a missing permission."""
    if not isinstance(error, ForbiddenError) or not error.verb:
        return ""
    return f"; grant `{error.verb}` on {kind.name} in this namespace"
