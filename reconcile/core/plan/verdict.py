"""One manifest against one live object: the same, or what differs, why and at what cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from reconcile.core.changes import ABSENT, Cause, Commit, Drift, FieldChange, ForcesReplace
from reconcile.core.fields.diff import Difference, Operation, covers, differences, json_patch
from reconcile.core.fields.effects import effect_of
from reconcile.core.fields.field_path import show
from reconcile.core.fields.merge_schema import schema_of
from reconcile.core.model import (
    ANNOTATION_DIGEST,
    MANAGER,
    NOTE_KEY,
    KubeObject,
    Manifest,
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
