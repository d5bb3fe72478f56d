"""Live state as the planner needs it: each object is compared once and its body let go.

One manifest against one live object: the same, or what differs, why and at what cost.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, assert_never

from reconcile.core.changes import ABSENT, Cause, Commit, Drift, FieldChange, ForcesReplace, LiveRef
from reconcile.core.fields.diff import Difference, Operation, covers, differences, json_patch
from reconcile.core.fields.effects import effect_of
from reconcile.core.fields.field_path import show
from reconcile.core.fields.merge_schema import schema_of
from reconcile.core.lifecycle.health import has_started
from reconcile.core.model import (
    ANNOTATION_DIGEST,
    LABEL_INSTALLATION,
    LABEL_SESSION,
    MANAGER,
    NOTE_KEY,
    RECORD_PREFIX,
    Desired,
    Kind,
    KubeObject,
    Manifest,
    ObjectRef,
    SessionId,
    record_of,
)

_NOTE_PATH = ("data", NOTE_KEY)
_DIGEST_PATH = ("metadata", "annotations", ANNOTATION_DIGEST)


@dataclass(frozen=True, slots=True)
class Same:
    """All that is declared is there, as the manifest with this digest declares it."""

    digest: str


@dataclass(frozen=True, slots=True)
class Differs:
    """What differs. `contested` tells that another manager owns a field that we declare."""

    fields: tuple[FieldChange, ...]
    operations: tuple[Operation, ...]
    contested: bool


Verdict: TypeAlias = Same | Differs


def judge(manifest: Manifest, live: KubeObject) -> Verdict:
    """Compare a manifest with the live object of its name, whoever's it is.

    Owner references are left aside: the owner may not have been seen yet.
    """
    schema = schema_of(manifest.kind)
    if covers(schema, manifest.body, live):
        return Same(manifest.digest)
    unchanged = _annotation(live, ANNOTATION_DIGEST) == manifest.digest
    found = tuple(
        difference
        for difference in differences(schema, _with_owners_of(live, manifest.body), live)
        if difference.path != _NOTE_PATH or manifest.ref != record_of(manifest.session)
        if not (unchanged and _is_the_servers(manifest, difference, live))
    )
    if all(difference.path == _DIGEST_PATH for difference in found):
        return Same(manifest.digest)
    return Differs(
        fields=tuple(
            FieldChange(
                path=show(difference.path),
                before=difference.before,
                after=difference.after,
                effect=effect_of(manifest.kind, difference, live),
                cause=_cause(difference, unchanged=unchanged),
                at=difference.path,
            )
            for difference in found
            if difference.path != _DIGEST_PATH
        ),
        operations=json_patch(found, live),
        contested=any(_is_contested(difference) for difference in found),
    )


def _is_the_servers(manifest: Manifest, difference: Difference, live: KubeObject) -> bool:
    """Tell what the server made of our own words when it created the object.

    Nobody can have changed a field that cannot change, so one that is ours alone is what a default
    or an admission webhook made of it. Creating the object again would give the same, in every
    pass.
    """
    ours = difference.claims.ours is not None
    others = {owner.manager for owner in difference.claims.others} - {MANAGER}
    forced = isinstance(effect_of(manifest.kind, difference, live), ForcesReplace)
    return forced and ours and not others and difference.before is not ABSENT


def _cause(difference: Difference, *, unchanged: bool) -> Cause:
    """Tell drift from commit: drift where desired state is as before, or the field not ours."""
    other = difference.claims.latest_other
    ours = difference.claims.ours is not None
    if other is not None and (unchanged or not ours):
        return Drift(other.manager, other.time)
    return Drift() if unchanged else Commit()


def _is_contested(difference: Difference) -> bool:
    return (
        bool(difference.claims.others)
        and difference.after is not ABSENT
        and not difference.is_release
    )


def _with_owners_of(live: KubeObject, body: KubeObject) -> KubeObject:
    owners = live["metadata"].get("ownerReferences")
    if not owners:
        return body
    return {**body, "metadata": {**body["metadata"], "ownerReferences": owners}}


def _annotation(live: KubeObject, name: str) -> Any:
    annotations: Mapping[str, Any] = live["metadata"].get("annotations") or {}
    return annotations.get(name)


@dataclass(frozen=True, slots=True)
class Unwanted:
    """Verdict: no manifest wants this object."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """One live object of ours.

    `owners` are its owner references. `started` tells whether a pod's main containers have ever
    run, `phase` is the pod's own word; both are empty for other kinds. `note` is what the last pass
    wrote into a Record.
    """

    ref: ObjectRef
    kind: Kind
    live: LiveRef
    session: SessionId
    owners: tuple[Mapping[str, Any], ...]
    terminating: bool
    started: bool
    phase: str
    note: str
    verdict: Same | Differs | Unwanted


Memo: TypeAlias = Mapping[ObjectRef, Sighting]
"""What an earlier pass saw; an object that has not changed since is not compared again."""


@dataclass(frozen=True, slots=True)
class Sight:
    """All live objects of ours, by identity."""

    objects: Memo = field(default_factory=dict)

    @property
    def living(self) -> int:
        """How many sessions have any object."""
        return len({sighting.session for sighting in self.objects.values()})

    def by_session(self) -> dict[SessionId, list[Sighting]]:
        """Group by session, those of a session in the order in which they were read."""
        groups: dict[SessionId, list[Sighting]] = {}
        for sighting in self.objects.values():
            groups.setdefault(sighting.session, []).append(sighting)
        return groups


def observe(desired: Desired, live: Iterable[KubeObject], memo: Memo) -> Sight:
    """Compare what lives with what is wanted, one object at a time, so that memory is bounded."""
    wanted = {m.ref: m for session in desired.sessions for m in session.manifests}
    found = _sightings(desired.policy.installation, wanted, live, memo)
    return Sight({sighting.ref: sighting for sighting in found})


def _sightings(
    installation: str, wanted: Mapping[ObjectRef, Manifest], live: Iterable[KubeObject], memo: Memo
) -> Iterator[Sighting]:
    for body in live:
        metadata = body["metadata"]
        kind = Kind(body["apiVersion"], body["kind"])
        ref = ObjectRef(kind.group, kind.name, metadata.get("namespace", ""), metadata["name"])
        manifest = wanted.get(ref)
        known = memo.get(ref)
        if known is not None and _is_unchanged(known, metadata, manifest):
            yield known
        elif (session := _session_of(installation, ref, metadata, manifest)) is not None:
            yield _sighting(kind, ref, session, body, manifest)


def _is_unchanged(known: Sighting, metadata: Mapping[str, Any], manifest: Manifest | None) -> bool:
    if known.live != LiveRef(metadata["uid"], metadata["resourceVersion"]):
        return False
    match known.verdict:
        case Same(digest):
            return manifest is not None and manifest.digest == digest
        case Differs():
            return False
        case Unwanted():
            return manifest is None
        case _:
            assert_never(known.verdict)


def _session_of(
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


def _sighting(
    kind: Kind, ref: ObjectRef, session: SessionId, body: KubeObject, manifest: Manifest | None
) -> Sighting:
    metadata = body["metadata"]
    is_pod = kind.name == "Pod"
    verdict: Verdict | Unwanted = Unwanted() if manifest is None else judge(manifest, body)
    return Sighting(
        ref=ref,
        kind=kind,
        live=LiveRef(metadata["uid"], metadata["resourceVersion"]),
        session=session,
        owners=tuple(metadata.get("ownerReferences") or ()),
        terminating="deletionTimestamp" in metadata,
        started=is_pod and has_started(body),
        phase=(body.get("status") or {}).get("phase", "") if is_pod else "",
        note=(body.get("data") or {}).get(NOTE_KEY, "") if ref == record_of(session) else "",
        verdict=verdict,
    )
