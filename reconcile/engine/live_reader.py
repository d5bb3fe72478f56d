"""Reads live state: a paged LIST for each kind and namespace, and the names that are taken."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from reconcile.core.errors import ClusterError, ForbiddenError, Problem, UnavailableError
from reconcile.core.inventory import Copy, Inventory, is_inventory, read_inventory, read_spent
from reconcile.core.model import LABEL_INSTALLATION, Desired, Kind, KubeObject, Manifest
from reconcile.core.plan.adoption import Missing, Strangers, taken
from reconcile.engine.inventory import CONFIG_MAP, named_by
from reconcile.engine.ports import Cluster


@dataclass(slots=True)
class LiveReader:
    """Yields what lives of one installation, and remembers what it could not read.

    `copies` are the inventories found, by namespace. `failures` are the namespaces of which live
    state is not known: nothing may be planned there. `away` is set once the server did not answer
    in spite of all patience.
    """

    cluster: Cluster
    desired: Desired
    copies: dict[str, Copy] = field(default_factory=dict)
    failures: dict[str, Problem] = field(default_factory=dict)
    away: UnavailableError | None = None

    @property
    def inventory(self) -> Inventory:
        """Everything that the found copies name."""
        return named_by(self.copies.values())

    def objects(self) -> Iterator[KubeObject]:
        """Yield our objects; the inventory leads to further namespaces and kinds."""
        policy = self.desired.policy
        done: set[str] = set()
        while todo := sorted(
            (self.desired.namespaces | policy.namespaces | self.inventory.namespaces) - done
        ):
            for namespace in todo:
                done.add(namespace)
                yield from self._records(namespace)
        kinds = (self.desired.kinds | self.inventory.kinds) - {CONFIG_MAP}
        for kind in sorted(kinds):
            for namespace in sorted(done - self.failures.keys()):
                yield from self._list(kind, namespace)

    def _records(self, namespace: str) -> Iterator[KubeObject]:
        installation = self.desired.policy.installation
        for body in self._list(CONFIG_MAP, namespace):
            if is_inventory(installation, body):
                self.copies[namespace] = _copy(body)
            else:
                yield body

    def _list(self, kind: Kind, namespace: str) -> Iterator[KubeObject]:
        labels = {LABEL_INSTALLATION: self.desired.policy.installation}
        try:
            if self.away is not None:
                raise self.away
            yield from self.cluster.list(kind, namespace, labels)
        except ClusterError as error:
            self._fail(kind, namespace, error)

    def _fail(self, kind: Kind, namespace: str, error: ClusterError) -> None:
        self.failures[namespace] = _unread(kind, namespace, error)
        if isinstance(error, UnavailableError):
            # It was tried long enough already; not once more for each namespace.
            self.away = error

    def strangers(self, wanted: Missing) -> Strangers:
        """Look up every name that is about to be created; adoptable objects are read whole."""
        found = Strangers()
        for (kind, namespace), manifests in wanted.items():
            try:
                found |= _strangers(self.cluster, kind, namespace, manifests)
            except ClusterError as error:
                self._fail(kind, namespace, error)
        return found


def _copy(body: KubeObject) -> Copy:
    return Copy(body["metadata"]["uid"], read_inventory(body), read_spent(body))


def _strangers(
    cluster: Cluster, kind: Kind, namespace: str, manifests: Mapping[str, Manifest]
) -> Strangers:
    names = set()
    adoptable = {}
    for ref, may_adopt in taken(manifests, cluster.metadata(kind, namespace)).items():
        if may_adopt:
            adoptable[ref] = cluster.get(kind, namespace, ref.name)
        else:
            names.add(ref)
    return Strangers(frozenset(names), adoptable)


def _unread(kind: Kind, namespace: str, error: ClusterError) -> Problem:
    message = (
        f"{kind.name} could not be read, so nothing is done in this namespace: "
        f"{error}{granting(kind, error)}"
    )
    return Problem(namespace, 0, 0, "", message)


def granting(kind: Kind, error: ClusterError) -> str:
    """Say which right would help, if one would."""
    if not isinstance(error, ForbiddenError) or not error.verb:
        return ""
    return f"; grant `{error.verb}` on {kind.name} in this namespace"
