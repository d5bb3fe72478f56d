"""Name conflicts and adoption: an apply merges into any existing object of the name.

Foreign objects are therefore found before anything is created. Pure.
"""

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
    build_record_ref,
)
from reconcile.core.plan.live_state import LiveState, has_foreign_controller


@dataclass(frozen=True, slots=True)
class ForeignObjects:
    """Foreign objects with a name that a manifest needs.

    `adoptable` has the bodies of those that this installation may adopt, by their annotation, and
    of those that may be ours, but have lost their label.
    """

    conflicts: frozenset[ObjectRef] = frozenset()
    adoptable: Mapping[ObjectRef, KubeObject] = field(default_factory=dict)

    def __or__(self, other: "ForeignObjects") -> "ForeignObjects":
        """The objects of both."""
        return ForeignObjects(
            self.conflicts | other.conflicts, {**self.adoptable, **other.adoptable}
        )


MissingManifests: TypeAlias = Mapping[tuple[Kind, str], Mapping[str, Manifest]]
"""Manifests without a live object of ours, by kind and namespace, then by name."""


def find_missing_manifests(desired: DesiredState, live_state: LiveState) -> MissingManifests:
    """List what a plan would create; each of these names must be looked up before."""
    missing: dict[tuple[Kind, str], dict[str, Manifest]] = {}
    for wanted in desired.sessions:
        for manifest in wanted.manifests:
            if manifest.ref not in live_state.objects:
                place = (manifest.kind, manifest.ref.namespace)
                missing.setdefault(place, {})[manifest.ref.name] = manifest
    return missing


def find_name_conflicts(
    names: Mapping[str, Manifest], present: Iterable[KubeObject]
) -> dict[ObjectRef, bool]:
    """Find the names that objects of one kind and namespace have taken.

    `present` are objects with metadata only; the value says whether the object must be read, as it
    may be adopted, or be ours.
    """
    conflicts = {}
    for body in present:
        manifest = names.get(body["metadata"]["name"])
        if manifest is not None:
            metadata = body["metadata"]
            record = build_record_ref(manifest.session).name
            owners = find_unlabelled_owners(metadata)
            is_candidate = any(owner.get("name") == record for owner in owners)
            conflicts[manifest.ref] = is_candidate or is_adoptable(manifest, metadata)
    return conflicts


def find_unlabelled_owners(metadata: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Find the controllers of an object that has no installation label; none if it has one."""
    if LABEL_INSTALLATION in (metadata.get("labels") or {}):
        return []
    return [owner for owner in metadata.get("ownerReferences") or () if owner.get("controller")]


def is_adoptable(manifest: Manifest, metadata: Mapping[str, Any]) -> bool:
    """Whether a foreign object has the annotation that lets this installation adopt it."""
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
    """Find the manager that wrote an object before our first apply of it; empty if there is none.

    An apply creates or merges, and does not report which. If another manager created the object
    just before, its fields are older than ours. Times have a resolution of one second, so a
    conflict within one second is not found.
    """
    entries = [owner for owner in iter_managed_fields(live) if not owner.subresource]
    ours = [owner.time for owner in entries if owner.manager == FIELD_MANAGER]
    others = [owner for owner in entries if owner.manager != FIELD_MANAGER]
    return next((owner.manager for owner in others if owner.time < min(ours, default="")), "")


def build_release_body(manifest: Manifest, uid: str) -> KubeObject:
    """Build the body whose apply releases all fields that we have applied to this exact object."""
    metadata = {"name": manifest.ref.name, "namespace": manifest.ref.namespace, "uid": uid}
    kind = manifest.kind
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata}
