"""The digest of a plan, and the comparison of today's plan with an approved one.

The digest identifies everything that a plan would change, so that only a reviewed plan is applied.
It is printed: secrets are masked before it is computed, or a short one could be found by trying.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, NamedTuple, TypeAlias, assert_never

from reconcile.core.canonical_json import compute_digest, encode_canonical
from reconcile.core.changes import (
    Change,
    Create,
    Delete,
    Drift,
    FieldChange,
    Hold,
    Keep,
    Patch,
    Plan,
    Replace,
    RestartsContainer,
)
from reconcile.core.mask.known_secrets import without_mark_numbers
from reconcile.core.mask.masker import Masker
from reconcile.core.model import (
    ANNOTATION_DIGEST,
    DesiredSession,
    DesiredState,
    KubeObject,
    Manifest,
    ObjectRef,
)
from reconcile.core.plan.session_changes import forces_replacement


class ChangeClass(Enum):
    """The classes of change that a reviewer distinguishes.

    Whether a pod's container is restarted or the pod is replaced, for the same manifest, depends
    on whether the pod has ended by itself: both are a restart.
    """

    CREATE = "create"
    ADOPT = "adopt"
    PATCH = "patch"
    RESTART = "restart"
    REPLACE = "replace"
    DELETE = "delete"


class PlannedChange(NamedTuple):
    """The change of one object: `content` is its digest without secrets, or a delete's reason."""

    ref: ObjectRef
    change_class: ChangeClass
    content: str


def compute_plan_digest(plan: Plan, desired: DesiredState) -> str:
    """Return `sha256:<hex>` over the planned changes, without properties of the live objects.

    Revisions, UIDs, live values and hold reasons are left out, so that a pull request and the
    cluster after its merge have the same digest. A held change counts as the change itself: whether
    it is held depends on what runs. Neither are secrets part of it, since it is printed.
    """
    contents = ContentDigests(desired)
    return digest_planned_changes(plan.installation, iter_planned_changes(plan, contents))


class ContentDigests:
    """The digests, without secrets, of the manifests of one desired state.

    What counts as secret is what the session itself shows to be one, so that the digest of a plan
    is the same whichever other files have been read with it.
    """

    def __init__(self, desired: DesiredState) -> None:
        self._mask = desired.policy.mask
        self._sessions = {wanted.session.id: wanted for wanted in desired.sessions}
        self._templates: dict[str, bool] = {}
        self._digests: dict[ObjectRef, str] = {}

    def find(self, manifest: Manifest) -> str:
        """Return `sha256:<hex>` over the declared body, its secrets masked.

        A patch may carry values that admission changed: the body is that of the desired state.
        """
        if manifest.ref not in self._digests:
            self._digests |= self._compute(self._sessions[manifest.session])
        return self._digests[manifest.ref]

    def _compute(self, wanted: DesiredSession) -> Iterator[tuple[ObjectRef, str]]:
        masker = Masker(self._mask)
        masker.learn_later(lambda: [{"spec": wanted.session.spec}])
        if not masker.knows_secrets() and not any(map(self._gives_secret, wanted.manifests)):
            # Masking a first apply of thousands of sessions would take seconds.
            yield from ((manifest.ref, manifest.digest) for manifest in wanted.manifests)
            return
        bodies = {manifest.ref: _without_digest(manifest.body) for manifest in wanted.manifests}
        for body in bodies.values():
            masker.learn(body)
        for ref, body in bodies.items():
            text = without_mark_numbers(encode_canonical(masker.mask_object(body)).decode())
            yield ref, f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"

    def _gives_secret(self, manifest: Manifest) -> bool:
        """Whether a secret is in the template itself: the same for all sessions without one."""
        if manifest.source not in self._templates:
            masker = Masker(self._mask)
            masker.learn(manifest.body)
            self._templates[manifest.source] = masker.knows_secrets()
        return self._templates[manifest.source]


def _without_digest(body: KubeObject) -> KubeObject:
    metadata = body["metadata"]
    annotations = dict(metadata.get("annotations") or {})
    annotations.pop(ANNOTATION_DIGEST, None)
    return {**body, "metadata": {**metadata, "annotations": annotations}}


def digest_planned_changes(installation: str, changes: Iterable[PlannedChange]) -> str:
    """Return the digest of some changes, in any order."""
    rows = ([r.group, r.kind, r.namespace, r.name, kind.value, body] for r, kind, body in changes)
    return compute_digest([installation, sorted(rows)])


def iter_planned_changes(plan: Plan, contents: ContentDigests) -> Iterator[PlannedChange]:
    """Yield the change of each object that is to be changed."""
    for change in _iter_unheld(plan):
        if not isinstance(change, Keep):
            yield _build_planned_change(change, _changed_fields(change), contents)


def iter_committed_changes(plan: Plan, contents: ContentDigests) -> Iterator[PlannedChange]:
    """Yield the same without drift: as if all changes came from commits."""
    for change in _iter_unheld(plan):
        fields = _changed_fields(change)
        committed = tuple(field for field in fields if not isinstance(field.cause, Drift))
        if not isinstance(change, Keep) and (committed or not fields):
            yield _build_planned_change(change, committed, contents)


def _iter_unheld(plan: Plan) -> Iterator[Create | Patch | Replace | Delete | Keep]:
    for change in plan.changes:
        yield change.change if isinstance(change, Hold) else change


def _changed_fields(change: Change) -> tuple[FieldChange, ...]:
    return change.fields if isinstance(change, Patch | Replace) else ()


def _build_planned_change(
    change: Create | Patch | Replace | Delete,
    fields: tuple[FieldChange, ...],
    contents: ContentDigests,
) -> PlannedChange:
    match change:
        case Create(manifest) | Patch(manifest) | Replace(manifest):
            return PlannedChange(change.ref, _classify(change, fields), contents.find(manifest))
        case Delete(reason=reason):
            return PlannedChange(change.ref, ChangeClass.DELETE, reason.name)
        case _:
            assert_never(change)


def _classify(change: Create | Patch | Replace, fields: tuple[FieldChange, ...]) -> ChangeClass:
    match change:
        case Create():
            return ChangeClass.CREATE
        case Patch(adopts=True):
            return ChangeClass.ADOPT
        case _:
            return _classify_update(change.ref, fields)


def _classify_update(ref: ObjectRef, fields: tuple[FieldChange, ...]) -> ChangeClass:
    forced = any(map(forces_replacement, fields))
    if any(isinstance(field.effect, RestartsContainer) for field in fields) or (
        forced and ref.kind == "Pod"
    ):
        return ChangeClass.RESTART
    return ChangeClass.REPLACE if forced else ChangeClass.PATCH


_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_TEXT: Final = re.compile(r"[ -~]{1,300}")

ChangeClasses: TypeAlias = Mapping[ObjectRef, str]
"""The class of each object's change."""


@dataclass(frozen=True, slots=True)
class Approval:
    """The digest of the approved plan; `changes` if the plan itself is available."""

    digest: str
    changes: ChangeClasses | None = None


def parse_approved_digest(text: str) -> Approval:
    """Parse a digest as `diff` prints it; ValueError says what it must be."""
    if not _DIGEST.fullmatch(text):
        raise ValueError(
            "a plan digest is `sha256:` and 64 hexadecimal digits, as `diff` prints it"
        )
    return Approval(text)


def parse_approved_plan(document: bytes) -> Approval:
    """Parse the output of `diff -o json`; ValueError if it is something else."""
    try:
        plan = json.loads(document)
        approved = parse_approved_digest(plan["digest"])
        changes = dict(_parse_changes(plan["sessions"]))
    except (LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise ValueError("is not a plan with a digest, as `diff -o json` prints it") from error
    return Approval(approved.digest, changes)


def describe_approval_mismatch(plan: Plan, desired: DesiredState, approval: Approval) -> str:
    """Describe how a plan differs from the approved one; empty if it does not."""
    contents = ContentDigests(desired)
    planned = list(iter_planned_changes(plan, contents))
    now = digest_planned_changes(plan.installation, planned)
    if now == approval.digest:
        return ""
    lines = [
        "this is not the plan that was approved, so nothing was changed",
        f"  approved: {approval.digest}",
        f"  now:      {now}",
    ]
    classes = {each.ref: each.change_class.value for each in planned}
    committed = list(iter_committed_changes(plan, contents))
    if digest_planned_changes(plan.installation, committed) == approval.digest:
        lines.append("It is the approved plan except for drift, which comes from no commit:")
        without_drift = {each.ref: each.change_class.value for each in committed}
        lines.extend(_describe_differences(without_drift, classes))
    elif approval.changes is not None:
        lines.extend(_describe_comparison(approval.changes, classes))
    lines.append("Review the current plan, and approve its digest if it is what you want.")
    return "\n".join(lines)


def _describe_comparison(approved: ChangeClasses, now: ChangeClasses) -> Iterator[str]:
    differences = list(_describe_differences(approved, now))
    if differences:
        yield "They differ in:"
        yield from differences
    else:
        yield (
            "Both change the same objects in the same ways, but with different content: "
            "session files, settings or templates have changed since."
        )


def _describe_differences(approved: ChangeClasses, now: ChangeClasses) -> Iterator[str]:
    for ref in sorted(approved.keys() | now.keys()):
        before, after = approved.get(ref), now.get(ref)
        if before is None:
            yield f"  {ref}: {after}, which was not approved"
        elif after is None:
            yield f"  {ref}: {before} was approved, and is no longer planned"
        elif before != after:
            yield f"  {ref}: {after}, where {before} was approved"


def _parse_changes(sessions: Any) -> Iterator[tuple[ObjectRef, str]]:
    for session in sessions:
        for change in session["changes"]:
            parts = (change["kind"], change["namespace"], change["name"])
            if not all(_TEXT.fullmatch(part) for part in parts):
                raise ValueError("is not the name of an object")
            yield ObjectRef(change["group"], *parts), _parse_change_class(change)


def _parse_change_class(change: Mapping[str, Any]) -> str:
    """Derive the class of a change from its JSON, as `_build_planned_change` does from a change."""
    action: str = change.get("withholds") or change["action"]
    effects = {field["effect"]["type"] for field in change["fields"]}
    if any(note.startswith("adopts ") for note in change["notes"]):
        return ChangeClass.ADOPT.value
    is_replaced_pod = action == "replace" and change["kind"] == "Pod"
    if is_replaced_pod or "restartsContainer" in effects:
        return ChangeClass.RESTART.value
    return ChangeClass(action).value
