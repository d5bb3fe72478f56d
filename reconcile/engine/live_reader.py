"""Reads live state by a paged LIST per kind and namespace, and the names of foreign objects.

The body of an object is not kept: it is compared while its page is in memory.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from reconcile.core.errors import ClusterError, ForbiddenError, Problem, UnavailableError
from reconcile.core.inventory import (
    InventoryCopy,
    find_confirmed,
    has_metadata,
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
    ObjectMetadata,
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
from reconcile.engine.inventory import CONFIG_MAP
from reconcile.engine.ports import Cluster


@dataclass(frozen=True, slots=True)
class LiveReadResult:
    """What was read of one installation.

    `copies` are the inventories found, by namespace. `failures` are the namespaces whose live state
    is not known: nothing may be planned there, and `live_state` has only some of their objects.
    `warnings` say which entries of the inventories were not believed.
    """

    live_state: LiveState
    copies: Mapping[str, InventoryCopy]
    failures: Mapping[str, Problem]
    warnings: tuple[Problem, ...]


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
    lister = _Lister(cluster, desired, build_comparator(desired, previous))
    read: set[str] = set()
    while pending := (lister.declared | lister.find_named_namespaces()) - read:
        for namespace in sorted(pending):
            lister.list(CONFIG_MAP, namespace)
        read |= pending
    kinds = {namespace: lister.find_kinds(namespace) for namespace in read}
    for kind in sorted(frozenset().union(*kinds.values()) - {CONFIG_MAP}):
        for namespace in sorted(read - lister.failures.keys()):
            if kind in kinds[namespace]:
                lister.list(kind, namespace)
    warnings = (*lister.warnings, *lister.warn_unconfirmed())
    return LiveReadResult(LiveState(lister.objects), lister.copies, lister.failures, warnings)


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


_MAX_UNCONFIRMED: Final = 20
"""A copy that names more namespaces which no other copy names is not believed."""

_MAX_NAMED: Final = 3


@dataclass(slots=True)
class _Lister:
    """Collects the results of one LIST after the other.

    `unavailable` is set once the server did not answer in spite of all retries: then no other
    namespace waits for the same retries.
    """

    cluster: Cluster
    desired: DesiredState
    comparator: Comparator
    objects: dict[ObjectRef, LiveObject] = field(default_factory=dict)
    copies: dict[str, InventoryCopy] = field(default_factory=dict)
    failures: dict[str, Problem] = field(default_factory=dict)
    warnings: list[Problem] = field(default_factory=list)
    unavailable: UnavailableError | None = None

    @property
    def declared(self) -> frozenset[str]:
        """The namespaces of the desired tree and of the policy."""
        return self.desired.namespaces | self.desired.policy.namespaces

    def find_named_namespaces(self) -> frozenset[str]:
        """Find the namespaces that the copies name, without forged ones.

        A policy that lists its namespaces bounds what a single copy can add.
        """
        confirmed = find_confirmed(self.copies.values()).namespaces
        if self.desired.policy.namespaces:
            return confirmed
        others = (copy.inventory.namespaces - confirmed for copy in self.copies.values())
        return confirmed.union(*(names for names in others if len(names) <= _MAX_UNCONFIRMED))

    def find_kinds(self, namespace: str) -> frozenset[Kind]:
        """Find the kinds to read in a namespace: a copy says nothing of other namespaces."""
        copy = self.copies.get(namespace)
        known = copy.inventory if copy else find_confirmed(self.copies.values())
        return self.desired.kinds | known.kinds

    def warn_unconfirmed(self) -> Iterator[Problem]:
        """Warn of namespaces that were not read since only one copy names them."""
        known = self.declared | self.find_named_namespaces()
        for place, copy in sorted(self.copies.items()):
            if names := sorted(copy.inventory.namespaces - known):
                more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
                message = (
                    f"the inventory here, and no other one, names {', '.join(names[:_MAX_NAMED])}"
                    f"{more}, which was not read: list it under `spec.namespaces` of policy.yaml "
                    "if sessions were there"
                )
                yield Problem(place, 0, 0, "", message)

    def list(self, kind: Kind, namespace: str) -> None:
        labels = {LABEL_INSTALLATION: self.desired.policy.installation}
        try:
            if self.unavailable is not None:
                raise self.unavailable
            for body in self.cluster.list(kind, namespace, labels):
                self._add(namespace, body)
            self.objects.update({each.ref: each for each in self.comparator.observe_early()})
        except ForbiddenError as error:
            if self._is_doubtful(kind, namespace):
                message = f"{kind.name} was not read, as only one inventory names it: {error}"
                self.warnings.append(Problem(namespace, 0, 0, "", message))
            else:
                self.failures[namespace] = _unreadable_problem(kind, namespace, error)
        except ClusterError as error:
            self.failures[namespace] = _unreadable_problem(kind, namespace, error)
            if isinstance(error, UnavailableError):
                self.unavailable = error

    def _is_doubtful(self, kind: Kind, namespace: str) -> bool:
        """Whether a single copy of several, which may be forged, makes us read this."""
        if len(self.copies) <= 1:
            return namespace not in self.declared and kind == CONFIG_MAP
        confirmed = find_confirmed(self.copies.values())
        is_known = namespace in self.declared | confirmed.namespaces
        return not is_known or kind not in self.desired.kinds | confirmed.kinds

    def _add(self, namespace: str, body: KubeObject) -> None:
        if is_inventory(self.desired.policy.installation, body):
            self.copies[namespace] = _parse_copy(body, self.desired.metadata)
        elif (live_object := self.comparator.observe(body)) is not None:
            self.objects[live_object.ref] = live_object


def _parse_copy(body: KubeObject, metadata: ObjectMetadata) -> InventoryCopy:
    return InventoryCopy(
        body["metadata"]["uid"],
        read_inventory(body),
        read_budget_usage(body),
        has_metadata(body, metadata),
    )


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
