"""Live state as the planner needs it: each object is compared once and its body let go."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, assert_never

from reconcile.core.changes import LiveRef
from reconcile.core.lifecycle.health import has_started
from reconcile.core.model import (
    LABEL_INSTALLATION,
    LABEL_SESSION,
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
from reconcile.core.plan.verdict import Differs, Same, Verdict, judge


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
