"""The body that an apply sends, and a trial of it that changes nothing."""

from collections.abc import Mapping
from typing import Any

from reconcile.core.model import MANAGER, KubeObject, Manifest, record_of
from reconcile.core.plan.session_changes import owner_reference, with_owner
from reconcile.core.record import Note, with_note
from reconcile.engine.ports import ApplyOptions, Cluster


def body_to_apply(manifest: Manifest, note: Note, owner_uid: str) -> KubeObject:
    """Complete a manifest: a Record carries its note, all else its owner where that is known."""
    if manifest.ref == record_of(manifest.session):
        return with_note(manifest.body, note)
    if not owner_uid:
        return manifest.body
    return with_owner(manifest.body, owner_reference(manifest.session, owner_uid))


def with_metadata(body: KubeObject, metadata: Mapping[str, Any]) -> KubeObject:
    """Put something into a body's metadata: a precondition, or another name."""
    return {**body, "metadata": {**body["metadata"], **metadata}}


def elsewhere(body: KubeObject) -> KubeObject:
    """Give a body a name that is free, for a trial where its own is taken."""
    return with_metadata(body, {"name": f"{body['metadata']['name'][:48]}-dry-run"})


def dry_run(cluster: Cluster, body: KubeObject, *, force: bool = False) -> KubeObject:
    """Let the server judge a body, changing nothing; errors as for `Cluster.apply`."""
    return cluster.apply(body, ApplyOptions(MANAGER, force=force, dry_run=True))
