"""A plan with its secrets hidden: what every format is made from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, assert_never

from reconcile.core.changes import (
    Action,
    Change,
    Create,
    Delete,
    FieldChange,
    Hold,
    Keep,
    Patch,
    Plan,
    Replace,
    SessionPlan,
)
from reconcile.core.mask.masker import Masker
from reconcile.core.model import ANNOTATION_DIGEST, KubeObject, Manifest, ObjectRef, SessionId
from reconcile.core.report.summary import Summary, action_name, fields_of, summarise


class Whole:
    """A whole object; its secrets are hidden when it is asked for, since few of thousands are."""

    __slots__ = ("_body", "_masker")

    def __init__(self, body: KubeObject, masker: Masker) -> None:
        self._body = body
        self._masker = masker

    def shown(self) -> KubeObject:
        """Give the object, masked and without our own bookkeeping."""
        masked = self._masker.object(self._body)
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

    `withholds` is the action that a hold withholds, else empty. `reason` is one word for programs,
    `message` the same for people; both are empty where the action says it all. `whole` is there
    where an object is created.
    """

    action: str
    ref: ObjectRef
    withholds: str
    reason: str
    message: str
    fields: tuple[FieldChange, ...]
    patch: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...]
    whole: Whole | None


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


def plan_view(plan: Plan, masker: Masker, *, whole: bool = False) -> PlanView:
    """Mask a plan; all of its secrets are learned before the first value is shown.

    `whole` tells that objects which are created will be shown.
    """
    for session in plan.sessions:
        _learn(session, masker, whole=whole)
    views = (_session_view(session, plan, masker) for session in plan.sessions)
    return PlanView(plan.installation, plan.revision, summarise(plan), tuple(views))


def learn_manifests(changes: Iterable[Change], masker: Masker) -> None:
    """Let the masker learn the secrets of all objects that are to be."""
    for change in changes:
        manifest = manifest_of(change)
        if manifest is not None:
            masker.learn(manifest.body)


def hold_message(hold: Hold, session: str, installation: str) -> str:
    """Word why a change is held, and what releases it."""
    return hold.reason.value.format(session=session, installation=installation)


def _learn(session: SessionPlan, masker: Masker, *, whole: bool) -> None:
    # Sessions of which no value is shown need not be searched: a first apply has thousands.
    if not whole and not any(fields_of(change) for change in session.changes):
        return
    learn_manifests(session.changes, masker)
    for change in session.changes:
        for field in fields_of(change):
            masker.learn_change(change.ref, field)


def manifest_of(change: Change) -> Manifest | None:
    """The object that a change wants to be there, if it wants one; held changes want it too."""
    match change:
        case Create() | Patch() | Replace():
            return change.manifest
        case Hold():
            return manifest_of(change.change)
        case Delete() | Keep():
            return None
        case _:
            assert_never(change)


def _session_view(session: SessionPlan, plan: Plan, masker: Masker) -> SessionView:
    views = (_change_view(change, session, plan, masker) for change in session.changes)
    return SessionView(session.session, session.digest, tuple(views))


def _change_view(change: Change, session: SessionPlan, plan: Plan, masker: Masker) -> ChangeView:
    wanted = change.change if isinstance(change, Hold) else change
    reason, message = _why(change, session, plan)
    return ChangeView(
        action=action_name(change),
        ref=change.ref,
        withholds=action_name(wanted) if isinstance(change, Hold) else "",
        reason=reason,
        message=message,
        fields=tuple(masker.change(change.ref, field) for field in fields_of(change)),
        patch=_patch(wanted, masker),
        notes=_notes(wanted),
        whole=Whole(wanted.manifest.body, masker) if isinstance(wanted, Create) else None,
    )


def _why(change: Change, session: SessionPlan, plan: Plan) -> tuple[str, str]:
    match change:
        case Hold():
            message = hold_message(change, str(session.session), plan.installation)
            return _code(change.reason.name), message
        case Delete():
            return _code(change.reason.name), change.reason.value
        case Create() | Patch() | Replace() | Keep():
            return "", ""
        case _:
            assert_never(change)


def _patch(wanted: Action | Keep, masker: Masker) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(wanted, Patch):
        return ()
    return tuple(masker.operation(wanted.ref, operation) for operation in wanted.operations)


def _notes(wanted: Action | Keep) -> tuple[str, ...]:
    if not isinstance(wanted, Patch):
        return ()
    adopts = ("adopts it: it carries the annotation that gives it to this installation",)
    force = ("takes over fields that other managers own",)
    return (*(adopts if wanted.adopts else ()), *(force if wanted.force else ()))


def _code(name: str) -> str:
    """`RUNNING_WORK` as `RunningWork`."""
    return "".join(part.title() for part in name.split("_"))
