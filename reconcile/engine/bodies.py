"""The bodies that an apply and a dry run send: a manifest and what becomes known in the cluster."""

from collections.abc import Mapping
from typing import Any

from reconcile.core.errors import ConflictError
from reconcile.core.model import (
    ANNOTATION_RECORD_UID,
    FIELD_MANAGER,
    KubeObject,
    Manifest,
    build_record_ref,
)
from reconcile.core.plan.session_changes import build_owner_reference, with_owner
from reconcile.core.record import RecordStatus, with_record_status
from reconcile.engine.ports import ApplyOptions, Cluster


def build_body(manifest: Manifest, status: RecordStatus, owner_uid: str) -> KubeObject:
    """Complete a manifest: a Record gets its status, other objects their owner if it is known.

    A pod gets the UID of its Record too, which its containers can read.
    """
    if manifest.ref == build_record_ref(manifest.session):
        return with_record_status(manifest.body, status)
    if not owner_uid:
        return manifest.body
    return with_owner(manifest.body, build_owner_reference(manifest.session, owner_uid))


def with_metadata(body: KubeObject, metadata: Mapping[str, Any]) -> KubeObject:
    """Add fields to the metadata of a body: a precondition, or another name."""
    return {**body, "metadata": {**body["metadata"], **metadata}}


def under_free_name(body: KubeObject) -> KubeObject:
    """Give a body a name that is free, for a dry run where its own name is taken."""
    return with_metadata(body, {"name": f"{body['metadata']['name'][:48]}-dry-run"})


def names_only_record_uid(error: ConflictError) -> bool:
    """Whether other managers own no more of a body than the UID of the pod's Record."""
    fields = {owner.field for owner in error.owners}
    return fields == {f".metadata.annotations.{ANNOTATION_RECORD_UID}"}


def without_record_uid(body: KubeObject) -> KubeObject:
    """Leave the annotation with the UID of the pod's Record to its other manager."""
    annotations = dict(body["metadata"]["annotations"])
    annotations.pop(ANNOTATION_RECORD_UID, None)
    return with_metadata(body, {"annotations": annotations})


def apply_dry_run(cluster: Cluster, body: KubeObject, *, force: bool = False) -> KubeObject:
    """Apply a body as a dry run, which changes nothing; errors as for `Cluster.apply`."""
    return cluster.apply(body, ApplyOptions(FIELD_MANAGER, force=force, dry_run=True))
