"""One installation on an embedded cluster, which has what old servers have not: native sidecars."""

from dataclasses import dataclass
from pathlib import Path

from reconcile.adapters.embedded.cluster import EmbeddedCluster
from reconcile.cli.main import run_reconcile_cli
from reconcile.core.model import ObjectRef
from tests.e2e.site import KINDS, Object, Tree


@dataclass(frozen=True, slots=True)
class EmbeddedSite(Tree):
    """A namespace with its desired tree; `state` is the file of the cluster."""

    state: Path

    @property
    def cluster(self) -> EmbeddedCluster:
        """The cluster as it is now."""
        return EmbeddedCluster(self.state)

    def apply(self) -> None:
        """Run `apply`, which must succeed."""
        assert (
            run_reconcile_cli(["apply", str(self.tree), "--cluster", f"embedded:{self.state}"]) == 0
        )

    def create(self, kind: str, body: Object) -> Object:
        """Create an object as another client."""
        found = {"apiVersion": KINDS[kind].api_version, "kind": kind, **body}
        found["metadata"] = {"namespace": self.namespace, **body["metadata"]}
        return dict(self.cluster.create(found, "stranger"))

    def remove(self, kind: str, name: str) -> None:
        """Delete an object as another client, and let the node end it."""
        found = KINDS[kind]
        uid = self.cluster.get(found, self.namespace, name)["metadata"]["uid"]
        self.cluster.delete(found, ObjectRef(found.group, kind, self.namespace, name), uid)


def make(folder: Path) -> EmbeddedSite:
    """Make an installation with an empty cluster."""
    tree = folder / "desired"
    tree.mkdir()
    site = EmbeddedSite("team-a", tree, folder / "cluster.json")
    site.defaults()
    return site
