"""Live state as the planner needs it: the result of comparing each live object with its manifest.

An object is in sync, or out of sync with the fields that differ, the cause and the effect of each.
Only the result is kept: the body of an object can be freed as soon as it is compared.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, assert_never

from reconcile.core.changes import (
    ABSENT,
    Cause,
    Commit,
    Drift,
    EndedPod,
    FieldChange,
    ForcesReplace,
    LiveRef,
    MetadataOnly,
)
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
from reconcile.core.lifecycle.pod_status import (
    MirrorState,
    find_end,
    find_mirror_state,
    has_started,
    takes_prompts,
)
from reconcile.core.manifest import compute_work_digest
from reconcile.core.model import (
    ANNOTATION_DIGEST,
    ANNOTATION_INPUTS_DIGEST,
    ANNOTATION_RECORD_UID,
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
from reconcile.core.plan.admission import accept_admitted_values
from reconcile.core.record import AdmittedValues, parse_record_status

START_FAILURE: Final = FieldChange(
    path="status.phase",
    before="Failed",
    after="Pending",
    effect=ForcesReplace(),
    cause=Drift(),
    field_path=("status", "phase"),
)
"""Why a pod is replaced whose runner never started."""

_STATUS_PATH = ("data", RECORD_STATUS_KEY)
_INPUTS_PATH = ("metadata", "annotations", ANNOTATION_INPUTS_DIGEST)
_DIGEST_PATH = ("metadata", "annotations", ANNOTATION_DIGEST)


@dataclass(frozen=True, slots=True)
class InSync:
    """The object has every declared field, as the manifest with this digest declares it."""

    digest: str


@dataclass(frozen=True, slots=True)
class OutOfSync:
    """The fields that differ; `has_conflict`: another manager owns a field that we declare.

    `is_new_manifest`: the manifest is another one than that which was applied last.
    """

    fields: tuple[FieldChange, ...]
    operations: tuple[PatchOperation, ...]
    has_conflict: bool
    is_new_manifest: bool = True


Comparison: TypeAlias = InSync | OutOfSync


def compare(manifest: Manifest, live: KubeObject) -> Comparison:
    """Compare a manifest with the live object of its name, whether it is ours or foreign.

    Owner references and the UID of a pod's Record are not compared here: the Record may not have
    been read yet.
    """
    schema = merge_schema_for(manifest.kind)
    if covers(schema, manifest.body, live):
        return InSync(manifest.digest)
    unchanged = _annotation(live, ANNOTATION_DIGEST) == manifest.digest
    differences = tuple(
        difference
        for difference in find_differences(
            schema, _with_applied_metadata(manifest.body, live), live
        )
        if difference.path != _STATUS_PATH or manifest.ref != build_record_ref(manifest.session)
        if not (unchanged and _is_server_default(manifest, difference, live))
    )
    if all(difference.path == _DIGEST_PATH for difference in differences):
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
            for difference in differences
            if difference.path != _DIGEST_PATH
        ),
        operations=build_json_patch(differences, live),
        has_conflict=any(_has_conflict(difference) for difference in differences),
        is_new_manifest=not unchanged,
    )


def _is_server_default(manifest: Manifest, difference: Difference, live: KubeObject) -> bool:
    """Whether the server changed our value when it created the object.

    An immutable field that only we own cannot have been edited since, so its value comes from a
    default or an admission webhook. Replacing the object would give the same value, in every pass.
    """
    ours = difference.ownership.ours is not None
    others = {owner.manager for owner in difference.ownership.others} - {FIELD_MANAGER}
    is_immutable = isinstance(classify_effect(manifest.kind, difference, live), ForcesReplace)
    return is_immutable and ours and not others and difference.before is not ABSENT


def _cause(difference: Difference, *, unchanged: bool) -> Cause:
    """Drift if desired state is unchanged or we do not own the field; otherwise a commit."""
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


def _with_applied_metadata(body: KubeObject, live: KubeObject) -> KubeObject:
    """Add to a manifest, as it is live, what only an apply adds: no difference is found in it."""
    metadata = dict(body["metadata"])
    if owners := live["metadata"].get("ownerReferences"):
        metadata["ownerReferences"] = owners
    if uid := _annotation(live, ANNOTATION_RECORD_UID):
        declared = metadata.get("annotations", {})
        metadata["annotations"] = {**declared, ANNOTATION_RECORD_UID: uid}
    return {**body, "metadata": metadata}


def _annotation(live: KubeObject, name: str) -> Any:
    annotations: Mapping[str, Any] = live["metadata"].get("annotations") or {}
    return annotations.get(name)


@dataclass(frozen=True, slots=True)
class Undeclared:
    """No manifest declares this object."""


@dataclass(frozen=True, slots=True)
class LiveObject:
    """One live object of the installation.

    `owners` are its owner references. `has_started` says whether a pod's main containers have ever
    run, `phase` is the phase that the pod reports; both are empty for other kinds. `record_status`
    is what the last pass wrote into a Record, empty for other objects. `ended` says that the work
    of a pod has ended, `mirror` whether its workspace is stored, `takes_prompts` whether a new
    prompt would reach its work. `manifest` is what a patch applies
    (the declared values, or those that admission made of them); None if the object is not declared.
    """

    ref: ObjectRef
    kind: Kind
    live: LiveRef
    session: SessionId
    owners: tuple[Mapping[str, Any], ...]
    is_terminating: bool
    finalizers: tuple[str, ...]
    has_started: bool
    phase: str
    record_status: str
    comparison: InSync | OutOfSync | Undeclared
    ended: EndedPod | None = None
    mirror: MirrorState | None = None
    takes_prompts: bool = False
    manifest: Manifest | None = None

    @property
    def has_drift(self) -> bool:
        """Whether it differs from what was applied last, and no commit declares it again."""
        return isinstance(self.comparison, OutOfSync) and not self.comparison.is_new_manifest

    @property
    def failed_to_start(self) -> bool:
        """Whether it is a pod that failed before its runner started, so that it has no work."""
        return self.phase == "Failed" and not self.has_started

    @property
    def waits_for_finalizer(self) -> bool:
        """Whether it is being deleted and nothing but a finalizer keeps it; a pod may still run."""
        return self.is_terminating and bool(self.finalizers) and self.kind.name != "Pod"


LiveObjects: TypeAlias = Mapping[ObjectRef, LiveObject]
"""The live objects of an earlier pass; one that has not changed since is not compared again."""


@dataclass(frozen=True, slots=True)
class LiveState:
    """All live objects of the installation, by identity."""

    objects: LiveObjects = field(default_factory=dict)

    @property
    def session_counts(self) -> Counter[str]:
        """The number of sessions that have at least one object, by namespace."""
        sessions = {live_object.session for live_object in self.objects.values()}
        return Counter(session.namespace for session in sessions)

    def group_by_session(self) -> dict[SessionId, list[LiveObject]]:
        """Group the objects by session; within a session they keep the order of reading."""
        groups: dict[SessionId, list[LiveObject]] = {}
        for live_object in self.objects.values():
            groups.setdefault(live_object.session, []).append(live_object)
        return groups


@dataclass(frozen=True, slots=True)
class Comparator:
    """Compares live objects, one at a time, with the manifests of one revision.

    `previous` are the results of an earlier pass, which are used again where nothing has changed.
    `records` are the statuses, as text, of the Records that have been read so far.
    """

    installation: str
    manifests: Mapping[ObjectRef, Manifest]
    previous: LiveObjects
    records: dict[SessionId, str] = field(default_factory=dict)
    _early: list[KubeObject] = field(default_factory=list)

    def observe_early(self) -> Iterator[LiveObject]:
        """Compare again what had drifted and was read before its Record, which may explain it.

        Call it once all ConfigMaps of a namespace have been read: only they precede Records.
        """
        bodies = [*self._early]
        self._early.clear()
        yield from filter(None, map(self.observe, bodies))

    def observe(self, body: KubeObject) -> LiveObject | None:
        """Compare one object; None if it does not belong to a session of this installation."""
        metadata = body["metadata"]
        kind = Kind(body["apiVersion"], body["kind"])
        ref = ObjectRef(kind.group, kind.name, metadata.get("namespace", ""), metadata["name"])
        manifest = self.manifests.get(ref)
        previous = self.previous.get(ref)
        if previous is not None and _is_unchanged(previous, metadata, manifest):
            return self._note_record(previous)
        session = _find_session(self.installation, ref, metadata, manifest)
        if session is None:
            return None
        if manifest is not None and session in self.records:
            admitted = parse_record_status(self.records[session]).admitted_values(ref)
            manifest = accept_admitted_values(manifest, body, admitted)
        live_object = _build_live_object(kind, ref, session, body, manifest)
        if kind.name == "ConfigMap" and session not in self.records and live_object.has_drift:
            self._early.append(body)
        return self._note_record(live_object)

    def _note_record(self, live_object: LiveObject) -> LiveObject:
        if live_object.record_status:
            self.records[live_object.session] = live_object.record_status
        return live_object


def build_comparator(desired: DesiredState, previous: LiveObjects) -> Comparator:
    """Prepare the comparison of live objects with desired state."""
    manifests = {m.ref: m for session in desired.sessions for m in session.manifests}
    return Comparator(desired.policy.installation, manifests, previous)


def observe(desired: DesiredState, live: Iterable[KubeObject], previous: LiveObjects) -> LiveState:
    """Compare objects that are in memory already with desired state."""
    observed = map(build_comparator(desired, previous).observe, live)
    return LiveState({each.ref: each for each in observed if each is not None})


def observe_unlabelled(
    manifest: Manifest, body: KubeObject, admitted: AdmittedValues
) -> LiveObject:
    """Compare an object of ours that has lost its label."""
    manifest = accept_admitted_values(manifest, body, admitted)
    return _build_live_object(manifest.kind, manifest.ref, manifest.session, body, manifest)


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
    """Find the session of an object; None if it is foreign or has no session label."""
    labels = metadata.get("labels") or {}
    if labels.get(LABEL_INSTALLATION) != installation or has_foreign_controller(metadata):
        return None
    if manifest is not None:
        return manifest.session
    name = labels.get(LABEL_SESSION)
    return SessionId(ref.namespace, name) if name else None


def has_foreign_controller(metadata: Mapping[str, Any]) -> bool:
    """Whether another controller made the object: controllers often copy labels, ours too."""
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
    comparison = Undeclared() if manifest is None else compare(manifest, body)
    return LiveObject(
        ref=ref,
        kind=kind,
        live=LiveRef(metadata["uid"], metadata["resourceVersion"]),
        session=session,
        owners=tuple(metadata.get("ownerReferences") or ()),
        is_terminating="deletionTimestamp" in metadata,
        finalizers=tuple(metadata.get("finalizers") or ()),
        has_started=is_pod and has_started(body),
        phase=(body.get("status") or {}).get("phase", "") if is_pod else "",
        record_status=(body.get("data") or {}).get(RECORD_STATUS_KEY, "")
        if ref == build_record_ref(session)
        else "",
        comparison=comparison,
        ended=_find_ended_pod(body, manifest, comparison) if is_pod else None,
        mirror=find_mirror_state(body) if is_pod else None,
        takes_prompts=is_pod and takes_prompts(body),
        manifest=manifest,
    )


def _find_ended_pod(
    pod: KubeObject, manifest: Manifest | None, comparison: Comparison | Undeclared
) -> EndedPod | None:
    end = find_end(pod)
    if end is None:
        return None
    if manifest is not None and _has_declared_work(comparison):
        digest = compute_work_digest(manifest)
    else:
        digest = str(_annotation(pod, ANNOTATION_DIGEST) or "")
    return EndedPod(pod["metadata"]["name"], end.phase.value, end.reason, digest)


def _has_declared_work(comparison: Comparison | Undeclared) -> bool:
    """Whether a declared pod differs at most in labels, annotations and owners."""
    fields = comparison.fields if isinstance(comparison, OutOfSync) else ()
    return all(
        isinstance(each.effect, MetadataOnly) and not changes_inputs(each) for each in fields
    )


def changes_inputs(change: FieldChange) -> bool:
    """Whether a commit changes the inputs of a pod, which only a pod that runs reads again."""
    return change.field_path == _INPUTS_PATH and isinstance(change.cause, Commit)
