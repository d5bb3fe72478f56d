"""Live state as the planner needs it: each object is compared once and its body let go.

One manifest against one live object: the same, or what differs, why and at what cost.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, assert_never

from reconcile.core.changes import ABSENT, Cause, Commit, Drift, FieldChange, ForcesReplace, LiveRef
from reconcile.core.fields.diff import (
    Difference,
    PatchOperation,
    build_json_patch,
    covers,
    find_differences,
)
from reconcile.core.fields.effects import classify_effect
from reconcile.core.fields.field_path import format_path
from reconcile.core.fields.merge_schema import merge_schema_for
from reconcile.core.lifecycle.health import has_started
from reconcile.core.model import (
    ANNOTATION_DIGEST,
    FIELD_MANAGER,
    LABEL_INSTALLATION,
    LABEL_SESSION,
    RECORD_PREFIX,
    RECORD_STATUS_KEY,
    DesiredState,
    Kind,
    KubeObject,
    Manifest,
    ObjectRef,
    SessionId,
    build_record_ref,
)

_STATUS_PATH = ("data", RECORD_STATUS_KEY)
_DIGEST_PATH = ("metadata", "annotations", ANNOTATION_DIGEST)


@dataclass(frozen=True, slots=True)
class InSync:
    """All that is declared is there, as the manifest with this digest declares it."""

    digest: str


@dataclass(frozen=True, slots=True)
class OutOfSync:
    """What differs. `has_conflict` tells that another manager owns a field that we declare."""

    fields: tuple[FieldChange, ...]
    operations: tuple[PatchOperation, ...]
    has_conflict: bool


Comparison: TypeAlias = InSync | OutOfSync


def compare(manifest: Manifest, live: KubeObject) -> Comparison:
    """Compare a manifest with the live object of its name, whoever's it is.

    Owner references are left aside: the owner may not have been seen yet.
    """
    schema = merge_schema_for(manifest.kind)
    if covers(schema, manifest.body, live):
        return InSync(manifest.digest)
    unchanged = _annotation(live, ANNOTATION_DIGEST) == manifest.digest
    found = tuple(
        difference
        for difference in find_differences(schema, _with_live_owners(live, manifest.body), live)
        if difference.path != _STATUS_PATH or manifest.ref != build_record_ref(manifest.session)
        if not (unchanged and _is_server_default(manifest, difference, live))
    )
    if all(difference.path == _DIGEST_PATH for difference in found):
        return InSync(manifest.digest)
    return OutOfSync(
        fields=tuple(
            FieldChange(
                path=format_path(difference.path),
                before=difference.before,
                after=difference.after,
                effect=classify_effect(manifest.kind, difference, live),
                cause=_cause(difference, unchanged=unchanged),
                field_path=difference.path,
            )
            for difference in found
            if difference.path != _DIGEST_PATH
        ),
        operations=build_json_patch(found, live),
        has_conflict=any(_has_conflict(difference) for difference in found),
    )


def _is_server_default(manifest: Manifest, difference: Difference, live: KubeObject) -> bool:
    """Tell what the server made of our own words when it created the object.

    Nobody can have changed a field that cannot change, so one that is ours alone is what a default
    or an admission webhook made of it. Creating the object again would give the same, in every
    pass.
    """
    ours = difference.ownership.ours is not None
    others = {owner.manager for owner in difference.ownership.others} - {FIELD_MANAGER}
    forced = isinstance(classify_effect(manifest.kind, difference, live), ForcesReplace)
    return forced and ours and not others and difference.before is not ABSENT


def _cause(difference: Difference, *, unchanged: bool) -> Cause:
    """Tell drift from commit: drift where desired state is as before, or the field not ours."""
    other = difference.ownership.latest_other
    ours = difference.ownership.ours is not None
    if other is not None and (unchanged or not ours):
        return Drift(other.manager, other.time)
    return Drift() if unchanged else Commit()


def _has_conflict(difference: Difference) -> bool:
    return (
        bool(difference.ownership.others)
        and difference.after is not ABSENT
        and not difference.is_release
    )


def _with_live_owners(live: KubeObject, body: KubeObject) -> KubeObject:
    owners = live["metadata"].get("ownerReferences")
    if not owners:
        return body
    return {**body, "metadata": {**body["metadata"], "ownerReferences": owners}}


def _annotation(live: KubeObject, name: str) -> Any:
    annotations: Mapping[str, Any] = live["metadata"].get("annotations") or {}
    return annotations.get(name)


@dataclass(frozen=True, slots=True)
class Undeclared:
    """Verdict: no manifest wants this object."""


@dataclass(frozen=True, slots=True)
class LiveObject:
    """One live object of ours.

    `owners` are its owner references. `has_started` tells whether a pod's main containers have ever
    run, `phase` is the pod's own word; both are empty for other kinds. `record_status` is what the last pass
    wrote into a Record.
    """

    ref: ObjectRef
    kind: Kind
    live: LiveRef
    session: SessionId
    owners: tuple[Mapping[str, Any], ...]
    is_terminating: bool
    has_started: bool
    phase: str
    record_status: str
    comparison: InSync | OutOfSync | Undeclared


LiveObjects: TypeAlias = Mapping[ObjectRef, LiveObject]
"""What an earlier pass saw; an object that has not changed since is not compared again."""


@dataclass(frozen=True, slots=True)
class LiveState:
    """All live objects of ours, by identity."""

    objects: LiveObjects = field(default_factory=dict)

    @property
    def session_count(self) -> int:
        """How many sessions have any object."""
        return len({sighting.session for sighting in self.objects.values()})

    def group_by_session(self) -> dict[SessionId, list[LiveObject]]:
        """Group by session, those of a session in the order in which they were read."""
        groups: dict[SessionId, list[LiveObject]] = {}
        for sighting in self.objects.values():
            groups.setdefault(sighting.session, []).append(sighting)
        return groups


def observe(desired: DesiredState, live: Iterable[KubeObject], previous: LiveObjects) -> LiveState:
    """Compare what lives with what is wanted, one object at a time, so that memory is bounded."""
    wanted = {m.ref: m for session in desired.sessions for m in session.manifests}
    found = _observe_objects(desired.policy.installation, wanted, live, previous)
    return LiveState({sighting.ref: sighting for sighting in found})


def _observe_objects(
    installation: str,
    wanted: Mapping[ObjectRef, Manifest],
    live: Iterable[KubeObject],
    previous: LiveObjects,
) -> Iterator[LiveObject]:
    for body in live:
        metadata = body["metadata"]
        kind = Kind(body["apiVersion"], body["kind"])
        ref = ObjectRef(kind.group, kind.name, metadata.get("namespace", ""), metadata["name"])
        manifest = wanted.get(ref)
        known = previous.get(ref)
        if known is not None and _is_unchanged(known, metadata, manifest):
            yield known
        elif (session := _find_session(installation, ref, metadata, manifest)) is not None:
            yield _build_live_object(kind, ref, session, body, manifest)


def _is_unchanged(
    previous: LiveObject, metadata: Mapping[str, Any], manifest: Manifest | None
) -> bool:
    if previous.live != LiveRef(metadata["uid"], metadata["resourceVersion"]):
        return False
    match previous.comparison:
        case InSync(digest):
            return manifest is not None and manifest.digest == digest
        case OutOfSync():
            return False
        case Undeclared():
            return manifest is None
        case _:
            assert_never(previous.comparison)


def _find_session(
    installation: str, ref: ObjectRef, metadata: Mapping[str, Any], manifest: Manifest | None
) -> SessionId | None:
    """Say whose object it is; None where it is not ours, or nobody's that we could name."""
    labels = metadata.get("labels") or {}
    if labels.get(LABEL_INSTALLATION) != installation or has_foreign_controller(metadata):
        return None
    if manifest is not None:
        return manifest.session
    name = labels.get(LABEL_SESSION)
    return SessionId(ref.namespace, name) if name else None


def has_foreign_controller(metadata: Mapping[str, Any]) -> bool:
    """Tell whether another controller made the object: such ones often copy our labels."""
    return any(
        owner.get("controller")
        and not (owner.get("kind") == "ConfigMap" and owner["name"].startswith(RECORD_PREFIX))
        for owner in metadata.get("ownerReferences") or ()
    )


def _build_live_object(
    kind: Kind, ref: ObjectRef, session: SessionId, body: KubeObject, manifest: Manifest | None
) -> LiveObject:
    metadata = body["metadata"]
    is_pod = kind.name == "Pod"
    verdict: Comparison | Undeclared = Undeclared() if manifest is None else compare(manifest, body)
    return LiveObject(
        ref=ref,
        kind=kind,
        live=LiveRef(metadata["uid"], metadata["resourceVersion"]),
        session=session,
        owners=tuple(metadata.get("ownerReferences") or ()),
        is_terminating="deletionTimestamp" in metadata,
        has_started=is_pod and has_started(body),
        phase=(body.get("status") or {}).get("phase", "") if is_pod else "",
        record_status=(body.get("data") or {}).get(RECORD_STATUS_KEY, "")
        if ref == build_record_ref(session)
        else "",
        comparison=verdict,
    )
