"""Names that are taken: apply merges into whatever is there, so strangers are found first."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from reconcile.core.fields.managed_fields import iter_managed_fields
from reconcile.core.model import (
    ANNOTATION_ADOPT,
    FIELD_MANAGER,
    LABEL_INSTALLATION,
    DesiredState,
    Kind,
    KubeObject,
    Manifest,
    ObjectRef,
)
from reconcile.core.plan.live_state import LiveState, has_foreign_controller


@dataclass(frozen=True, slots=True)
class ForeignObjects:
    """Objects that are not ours but have a name that we want.

    `adoptable` holds those whose annotation gives them to this installation, bodies included.
    """

    conflicts: frozenset[ObjectRef] = frozenset()
    adoptable: Mapping[ObjectRef, KubeObject] = field(default_factory=dict)

    def __or__(self, other: "ForeignObjects") -> "ForeignObjects":
        """All that is in either."""
        return ForeignObjects(
            self.conflicts | other.conflicts, {**self.adoptable, **other.adoptable}
        )


MissingManifests: TypeAlias = Mapping[tuple[Kind, str], Mapping[str, Manifest]]
"""Manifests without a live object of ours, by kind and namespace, then by name."""


def find_missing_manifests(desired: DesiredState, live_state: LiveState) -> MissingManifests:
    """List what a plan would create; each of these names must be looked up before."""
    found: dict[tuple[Kind, str], dict[str, Manifest]] = {}
    for wanted in desired.sessions:
        for manifest in wanted.manifests:
            if manifest.ref not in live_state.objects:
                place = (manifest.kind, manifest.ref.namespace)
                found.setdefault(place, {})[manifest.ref.name] = manifest
    return found


def find_name_conflicts(
    names: Mapping[str, Manifest], present: Iterable[KubeObject]
) -> dict[ObjectRef, bool]:
    """Say which names are taken among the objects of one kind and namespace.

    `present` has metadata alone; the value tells whether the object may be adopted.
    """
    found = {}
    for body in present:
        manifest = names.get(body["metadata"]["name"])
        if manifest is not None:
            found[manifest.ref] = _is_adoptable(manifest, body["metadata"])
    return found


def _is_adoptable(manifest: Manifest, metadata: Mapping[str, Any]) -> bool:
    labels = metadata.get("labels") or {}
    annotations = metadata.get("annotations") or {}
    ours = manifest.body["metadata"]["labels"][LABEL_INSTALLATION]
    return (
        annotations.get(ANNOTATION_ADOPT) == ours
        and labels.get(LABEL_INSTALLATION, ours) == ours
        and not has_foreign_controller(metadata)
        and "deletionTimestamp" not in metadata
    )


def find_earlier_manager(live: KubeObject) -> str:
    """Name who had written an object before our own first apply of it; empty if nobody had.

    Apply creates or merges, and does not tell which: where a stranger took the name just before us,
    its fields are older than ours. Times have seconds, so within one second this is not seen.
    """
    entries = [owner for owner in iter_managed_fields(live) if not owner.subresource]
    ours = [owner.time for owner in entries if owner.manager == FIELD_MANAGER]
    others = [owner for owner in entries if owner.manager != FIELD_MANAGER]
    return next((owner.manager for owner in others if owner.time < min(ours, default="")), "")


def build_release_body(manifest: Manifest, uid: str) -> KubeObject:
    """The body whose apply takes back all that we have applied to this very object."""
    metadata = {"name": manifest.ref.name, "namespace": manifest.ref.namespace, "uid": uid}
    kind = manifest.kind
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata}
