"""A plan with its secrets masked: the common input of every output format.

A report has the plan, its findings and its baseline. The view has one masked entry per change, the
changed fields split by their cause (the commit, or a change outside git), and the fields that make
an object restart or be replaced.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, assert_never

from reconcile.core.changes import (
    Action,
    Change,
    Commit,
    Create,
    Delete,
    Drift,
    FieldChange,
    ForcesReplace,
    Hold,
    Keep,
    MetadataOnly,
    Patch,
    Plan,
    Replace,
    RestartsContainer,
    SessionPlan,
)
from reconcile.core.mask.masker import Masker
from reconcile.core.model import (
    ANNOTATION_DIGEST,
    ANNOTATION_INPUTS_DIGEST,
    KubeObject,
    Manifest,
    ObjectRef,
    SessionId,
)
from reconcile.core.plan.dry_run import AdmissionResult
from reconcile.core.report.escape import escape_controls
from reconcile.core.report.problems import Findings
from reconcile.core.report.summary import (
    Summary,
    action_name,
    changed_fields,
    delivers_prompt,
    summarize_plan,
)


@dataclass(frozen=True, slots=True)
class LiveCluster:
    """The plan changes the live state of a cluster into the desired state."""


@dataclass(frozen=True, slots=True)
class OtherRevision:
    """The plan changes the state at another revision into the desired state, without a cluster.

    `name` is the user's name for the revision (`HEAD~1`), `revision` the commit.
    """

    name: str
    revision: str


Baseline: TypeAlias = LiveCluster | OtherRevision


@dataclass(frozen=True, slots=True)
class PlanReport:
    """The input of every output format of a diff.

    `folder` has the session files, relative to the top of their repository if that is known, else
    as given by the user; problems are relative to it. `admission` is the server's dry-run result
    for each desired object; empty without a dry run.
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
    """Shorten the name of a commit for display."""
    return escape_controls(revision.removesuffix(_DIRTY)[:_SHORT])


def describe_tree(revision: str) -> tuple[str, str]:
    """Describe the tree: trusted text, and the commit, which is empty if there is none."""
    if not revision:
        return "a folder outside git", ""
    if revision.endswith(_DIRTY):
        return "work tree with uncommitted changes, on commit", shorten_revision(revision)
    return "commit", shorten_revision(revision)


def describe_baseline(baseline: Baseline) -> tuple[str, str, str]:
    """Describe the baseline: trusted text, the user's name for it, and the commit."""
    match baseline:
        case LiveCluster():
            return "live cluster", "", ""
        case OtherRevision(name, revision):
            return "", name, shorten_revision(revision)
        case _:
            assert_never(baseline)


class MaskedObject:
    """A whole object, masked only when it is needed, since few of thousands are.

    `body` is not masked: what is shown of it must be.
    """

    __slots__ = ("_masker", "body")

    def __init__(self, body: KubeObject, masker: Masker) -> None:
        self.body = body
        self._masker = masker

    def mask(self) -> KubeObject:
        """Return the object, masked and without the digest annotation."""
        masked = self._masker.mask_object(self.body)
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

    `held_action` is the action that a hold withholds, else empty. `reason` is one word for
    programs, `message` the same for users; both are empty if the action needs no reason.
    `created_object` is set if an object is created. `delivers_prompt`: to work that runs.
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
    delivers_prompt: bool = False


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


def has_changes(session: SessionView) -> bool:
    """Return whether a session has changes, also held ones."""
    return any(change.action != "keep" for change in session.changes)


def build_plan_view(plan: Plan, masker: Masker, *, include_created: bool = False) -> PlanView:
    """Mask a plan; all of its secrets are learned before the first value is masked.

    Set `include_created` if created objects will be shown.
    """
    for session in plan.sessions:
        _learn_session(session, masker, include_created=include_created)
    views = (_build_session_view(session, plan, masker) for session in plan.sessions)
    return PlanView(plan.installation, plan.revision, summarize_plan(plan), tuple(views))


def learn_manifest_secrets(changes: Iterable[Change], masker: Masker) -> None:
    """Let the masker learn the secrets of all desired objects."""
    for change in changes:
        manifest = find_desired_manifest(change)
        if manifest is not None:
            masker.learn(manifest.body)


def format_hold_message(hold: Hold, session: str, installation: str) -> str:
    """Describe why a change is held, and what releases it."""
    return hold.reason.value.format(session=session, installation=installation)


def _learn_session(session: SessionPlan, masker: Masker, *, include_created: bool) -> None:
    # Sessions of which no value is shown are skipped: a first apply has thousands.
    if not include_created and not any(changed_fields(change) for change in session.changes):
        return
    learn_manifest_secrets(session.changes, masker)
    for change in session.changes:
        for field in changed_fields(change):
            masker.learn_change(change.ref, field)


def find_desired_manifest(change: Change) -> Manifest | None:
    """Return the desired object of a change, also of a held one; None for a delete or a keep."""
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
        delivers_prompt=delivers_prompt(change),
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
    adopts = ("adopts the object: an annotation assigns it to this installation",)
    force = ("takes over fields that other managers own",)
    inputs = ("its inputs change",)
    return (
        *(adopts if wanted.adopts else ()),
        *(force if wanted.force else ()),
        *(inputs if any(map(_is_inputs_digest, wanted.fields)) else ()),
    )


def _is_inputs_digest(field: FieldChange) -> bool:
    """Whether a field only says that other inputs are mounted into a pod.

    The inputs themselves are shown; their digest would say no more to a reader.
    """
    is_digest = field.path.endswith(f"[{ANNOTATION_INPUTS_DIGEST}]")
    return is_digest and isinstance(field.effect, MetadataOnly) and isinstance(field.cause, Commit)


def _to_pascal_case(name: str) -> str:
    """`RUNNING_WORK` as `RunningWork`."""
    return "".join(part.title() for part in name.split("_"))


DELIVERS_PROMPT: Final = "delivers a new prompt to running work"

DRIFT_TITLE: Final = "Drift: changed outside git"


@dataclass(frozen=True, slots=True)
class DriftGroup:
    """Fields that one manager changed at one time."""

    cause: Drift
    fields: tuple[FieldChange, ...]


@dataclass(frozen=True, slots=True)
class FieldsByCause:
    """The fields that this commit changes, and those that were changed outside git."""

    commit: tuple[FieldChange, ...]
    drift: tuple[DriftGroup, ...]


def split_by_cause(fields: Iterable[FieldChange]) -> FieldsByCause:
    """Split fields by cause, in their order; annotations that are digests are left out."""
    commit: list[FieldChange] = []
    drift: dict[Drift, list[FieldChange]] = {}
    for field in fields:
        if field.path.endswith(f"[{ANNOTATION_DIGEST}]") or _is_inputs_digest(field):
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
    """The effect (`restarts`), the first fields that force it, and the number of further ones."""

    effect: str
    paths: tuple[str, ...]
    more: int

    def format(self, paths: Iterable[str]) -> str:
        """Return the sentence, with `paths` formatted for the output format."""
        listed = " and ".join(paths) if not self.more else ", ".join(paths)
        more = f" and {self.more} more" if self.more else ""
        return f"{self.effect} because {listed}{more} changed"


def find_disruption(change: ChangeView) -> Disruption | None:
    """Return why an object restarts or is replaced; None if neither happens, or it is held."""
    if change.action == "replace":
        forcing = [field for field in change.fields if isinstance(field.effect, ForcesReplace)]
        effect = "restarts" if change.ref.kind == "Pod" else "is deleted and created again"
        return _build_disruption(effect, forcing or change.fields)
    restarting = [field for field in change.fields if isinstance(field.effect, RestartsContainer)]
    if change.action != "patch" or not restarting:
        return None
    return _build_disruption("restarts a container", restarting)


def _build_disruption(effect: str, fields: Iterable[FieldChange]) -> Disruption:
    paths = tuple(field.path for field in fields)
    return Disruption(effect, paths[:_MAX_PATHS], max(0, len(paths) - _MAX_PATHS))
