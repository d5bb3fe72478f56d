"""A plan with its secrets hidden: what every format is made from.

A plan with all that its readers are told beside it: against what it stands, what is wrong.

What a plan was made of, in words: which tree, and what it was compared with.

An object's changed fields, parted by who changed them: this commit, or somebody outside git.

Why an object restarts or is replaced: the fields that force it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, assert_never

from reconcile.core.changes import (
    Action,
    Change,
    Create,
    Delete,
    Drift,
    FieldChange,
    ForcesReplace,
    Hold,
    Keep,
    Patch,
    Plan,
    Replace,
    RestartsContainer,
    SessionPlan,
)
from reconcile.core.mask.masker import Masker
from reconcile.core.model import ANNOTATION_DIGEST, KubeObject, Manifest, ObjectRef, SessionId
from reconcile.core.plan.dry_run import AdmissionResult
from reconcile.core.report.escape import escape_controls
from reconcile.core.report.problems import Findings
from reconcile.core.report.summary import Summary, action_name, changed_fields, summarize_plan


@dataclass(frozen=True, slots=True)
class LiveCluster:
    """The plan turns what lives in a cluster into desired state."""


@dataclass(frozen=True, slots=True)
class OtherRevision:
    """The plan turns what another revision asks for into desired state; no cluster was looked at.

    `name` is what the user called it (`HEAD~1`), `revision` the commit that this is.
    """

    name: str
    revision: str


Baseline: TypeAlias = LiveCluster | OtherRevision


@dataclass(frozen=True, slots=True)
class PlanReport:
    """What every form of a diff is made from.

    `folder` is where the session files are, relative to the top of their repository where that is
    known and as the user named it elsewhere: with it, the path of a problem leads to a file.
    `admission` is what the server says of each object that is wanted; empty where it was not asked.
    """

    plan: Plan
    digest: str
    findings: Findings
    baseline: Baseline
    folder: str
    admission: tuple[AdmissionResult, ...] = ()


_DIRTY: Final = "-dirty"
_SHORT: Final = 12


def shorten_revision(revision: str) -> str:
    """Shorten the name of a commit, as people quote it."""
    return escape_controls(revision.removesuffix(_DIRTY)[:_SHORT])


def describe_tree(revision: str) -> tuple[str, str]:
    """Say which tree this is: words of ours, then the commit, empty where there is none."""
    if not revision:
        return "a folder outside git", ""
    if revision.endswith(_DIRTY):
        return "work tree with uncommitted changes, on commit", shorten_revision(revision)
    return "commit", shorten_revision(revision)


def describe_baseline(baseline: Baseline) -> tuple[str, str, str]:
    """Say what it was compared with: words of ours, the name that the user gave, the commit."""
    match baseline:
        case LiveCluster():
            return "live cluster", "", ""
        case OtherRevision(name, revision):
            return "", name, shorten_revision(revision)
        case _:
            assert_never(baseline)


class MaskedObject:
    """A whole object; its secrets are hidden when it is asked for, since few of thousands are."""

    __slots__ = ("_body", "_masker")

    def __init__(self, body: KubeObject, masker: Masker) -> None:
        self._body = body
        self._masker = masker

    def mask(self) -> KubeObject:
        """Give the object, masked and without our own bookkeeping."""
        masked = self._masker.mask_object(self._body)
        metadata = masked.get("metadata", {})
        notes = {
            name: value
            for name, value in metadata.get("annotations", {}).items()
            if name != ANNOTATION_DIGEST
        }
        others = {name: value for name, value in metadata.items() if name != "annotations"}
        return {**masked, "metadata": {**others, **({"annotations": notes} if notes else {})}}


@dataclass(frozen=True, slots=True)
class ChangeView:
    """One change, masked.

    `held_action` is the action that a hold withholds, else empty. `reason` is one word for programs,
    `message` the same for people; both are empty where the action says it all. `created_object` is there
    where an object is created.
    """

    action: str
    ref: ObjectRef
    held_action: str
    reason: str
    message: str
    fields: tuple[FieldChange, ...]
    patch: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...]
    created_object: MaskedObject | None


@dataclass(frozen=True, slots=True)
class SessionView:
    """One session's changes, masked."""

    session: SessionId
    digest: str
    changes: tuple[ChangeView, ...]


@dataclass(frozen=True, slots=True)
class PlanView:
    """A plan, masked."""

    installation: str
    revision: str
    summary: Summary
    sessions: tuple[SessionView, ...]


def build_plan_view(plan: Plan, masker: Masker, *, include_created: bool = False) -> PlanView:
    """Mask a plan; all of its secrets are learned before the first value is shown.

    `include_created` tells that objects which are created will be shown.
    """
    for session in plan.sessions:
        _learn_session(session, masker, include_created=include_created)
    views = (_build_session_view(session, plan, masker) for session in plan.sessions)
    return PlanView(plan.installation, plan.revision, summarize_plan(plan), tuple(views))


def learn_manifest_secrets(changes: Iterable[Change], masker: Masker) -> None:
    """Let the masker learn the secrets of all objects that are to be."""
    for change in changes:
        manifest = find_desired_manifest(change)
        if manifest is not None:
            masker.learn(manifest.body)


def format_hold_message(hold: Hold, session: str, installation: str) -> str:
    """Word why a change is held, and what releases it."""
    return hold.reason.value.format(session=session, installation=installation)


def _learn_session(session: SessionPlan, masker: Masker, *, include_created: bool) -> None:
    # Sessions of which no value is shown need not be searched: a first apply has thousands.
    if not include_created and not any(changed_fields(change) for change in session.changes):
        return
    learn_manifest_secrets(session.changes, masker)
    for change in session.changes:
        for field in changed_fields(change):
            masker.learn_change(change.ref, field)


def find_desired_manifest(change: Change) -> Manifest | None:
    """The object that a change wants to be there, if it wants one; held changes want it too."""
    match change:
        case Create() | Patch() | Replace():
            return change.manifest
        case Hold():
            return find_desired_manifest(change.change)
        case Delete() | Keep():
            return None
        case _:
            assert_never(change)


def _build_session_view(session: SessionPlan, plan: Plan, masker: Masker) -> SessionView:
    views = (_build_change_view(change, session, plan, masker) for change in session.changes)
    return SessionView(session.session, session.digest, tuple(views))


def _build_change_view(
    change: Change, session: SessionPlan, plan: Plan, masker: Masker
) -> ChangeView:
    wanted = change.change if isinstance(change, Hold) else change
    reason, message = _describe_reason(change, session, plan)
    return ChangeView(
        action=action_name(change),
        ref=change.ref,
        held_action=action_name(wanted) if isinstance(change, Hold) else "",
        reason=reason,
        message=message,
        fields=tuple(masker.mask_change(change.ref, field) for field in changed_fields(change)),
        patch=_mask_patch(wanted, masker),
        notes=_build_notes(wanted),
        created_object=MaskedObject(wanted.manifest.body, masker)
        if isinstance(wanted, Create)
        else None,
    )


def _describe_reason(change: Change, session: SessionPlan, plan: Plan) -> tuple[str, str]:
    match change:
        case Hold():
            message = format_hold_message(change, str(session.session), plan.installation)
            return _to_pascal_case(change.reason.name), message
        case Delete():
            return _to_pascal_case(change.reason.name), change.reason.value
        case Create() | Patch() | Replace() | Keep():
            return "", ""
        case _:
            assert_never(change)


def _mask_patch(wanted: Action | Keep, masker: Masker) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(wanted, Patch):
        return ()
    return tuple(masker.mask_operation(wanted.ref, operation) for operation in wanted.operations)


def _build_notes(wanted: Action | Keep) -> tuple[str, ...]:
    if not isinstance(wanted, Patch):
        return ()
    adopts = ("adopts it: it carries the annotation that gives it to this installation",)
    force = ("takes over fields that other managers own",)
    return (*(adopts if wanted.adopts else ()), *(force if wanted.force else ()))


def _to_pascal_case(name: str) -> str:
    """`RUNNING_WORK` as `RunningWork`."""
    return "".join(part.title() for part in name.split("_"))


DRIFT_TITLE: Final = "Drift: changed outside git"


@dataclass(frozen=True, slots=True)
class DriftGroup:
    """Fields that one manager changed at one time."""

    cause: Drift
    fields: tuple[FieldChange, ...]


@dataclass(frozen=True, slots=True)
class FieldsByCause:
    """What this commit changes, and what was changed outside git before it."""

    commit: tuple[FieldChange, ...]
    drift: tuple[DriftGroup, ...]


def split_by_cause(fields: Iterable[FieldChange]) -> FieldsByCause:
    """Part fields by their cause, each in its order; our own bookkeeping is left out."""
    commit: list[FieldChange] = []
    drift: dict[Drift, list[FieldChange]] = {}
    for field in fields:
        if field.path.endswith(f"[{ANNOTATION_DIGEST}]"):
            continue
        if isinstance(field.cause, Drift):
            drift.setdefault(field.cause, []).append(field)
        else:
            commit.append(field)
    groups = (DriftGroup(cause, tuple(listed)) for cause, listed in drift.items())
    return FieldsByCause(tuple(commit), tuple(groups))


_MAX_PATHS: Final = 2


@dataclass(frozen=True, slots=True)
class Disruption:
    """What happens (`restarts`), the first fields that force it, and how many more do."""

    effect: str
    paths: tuple[str, ...]
    more: int

    def format(self, paths: Iterable[str]) -> str:
        """Word it with the paths as the form at hand shows them."""
        listed = " and ".join(paths) if not self.more else ", ".join(paths)
        more = f" and {self.more} more" if self.more else ""
        return f"{self.effect} because {listed}{more} changed"


def find_disruption(change: ChangeView) -> Disruption | None:
    """Say why an object restarts or is replaced; None for one that goes on, or is held."""
    if change.action == "replace":
        forcing = [field for field in change.fields if isinstance(field.effect, ForcesReplace)]
        happens = "restarts" if change.ref.kind == "Pod" else "is deleted and created again"
        return _build_disruption(happens, forcing or change.fields)
    restarting = [field for field in change.fields if isinstance(field.effect, RestartsContainer)]
    if change.action != "patch" or not restarting:
        return None
    return _build_disruption("restarts a container", restarting)


def _build_disruption(effect: str, fields: Iterable[FieldChange]) -> Disruption:
    paths = tuple(field.path for field in fields)
    return Disruption(effect, paths[:_MAX_PATHS], max(0, len(paths) - _MAX_PATHS))
