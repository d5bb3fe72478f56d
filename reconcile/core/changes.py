"""The types of a plan: changes, their effect and cause, and their outcome."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, TypeAlias

from reconcile.core.fields.field_path import FieldPath
from reconcile.core.inventory import BudgetUsage
from reconcile.core.lifecycle.pod_status import MIRROR_SIDECAR
from reconcile.core.model import Kind, Manifest, ObjectRef, SessionId


class AbsentValue(Enum):
    """The value of a field that is absent; `None` is a value that JSON can have."""

    ABSENT = "absent"


ABSENT: Final = AbsentValue.ABSENT


@dataclass(frozen=True, slots=True)
class MetadataOnly:
    """Effect: labels, annotations or owners change; running work is not affected."""


@dataclass(frozen=True, slots=True)
class InPlace:
    """Effect: the object is changed in place; nothing restarts."""


@dataclass(frozen=True, slots=True)
class DeliversPrompt:
    """Effect: the object is changed in place, and the work that runs gets a new prompt."""


@dataclass(frozen=True, slots=True)
class RestartsContainer:
    """Effect: the kubelet restarts this container, whatever the pod's restart policy."""

    container: str

    @property
    def ends_work(self) -> bool:
        """Whether work runs in the container: the mirror's sidecar flushes, and starts again."""
        return self.container != MIRROR_SIDECAR


@dataclass(frozen=True, slots=True)
class ForcesReplace:
    """Effect: the field is immutable, so the object must be deleted and created again."""


Effect: TypeAlias = MetadataOnly | InPlace | DeliversPrompt | RestartsContainer | ForcesReplace


@dataclass(frozen=True, slots=True)
class Commit:
    """Cause: desired state changed."""


@dataclass(frozen=True, slots=True)
class Drift:
    """Cause: another actor changed the live object; `manager` and `time` are empty if unknown."""

    manager: str = ""
    time: str = ""


Cause: TypeAlias = Commit | Drift


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field before and after, `ABSENT` if it is absent.

    `path` is for people: `spec.containers[runner].env[MODEL].value`; `field_path` is the same for
    programs, empty if only the text is known. `before == after` means that we only give up the
    ownership of the field.
    """

    path: str
    before: Any
    after: Any
    effect: Effect
    cause: Cause
    field_path: FieldPath = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class LiveRef:
    """The exact object that a change was decided for."""

    uid: str
    resource_version: str


@dataclass(frozen=True, slots=True)
class Create:
    """The object does not exist and is wanted."""

    manifest: Manifest

    @property
    def ref(self) -> ObjectRef:
        """The object's identity."""
        return self.manifest.ref


@dataclass(frozen=True, slots=True)
class Patch:
    """The object exists and differs in fields that can change.

    `operations` is the minimal JSON Patch. `force` takes fields over from other managers.
    `adopts`: the object was foreign and has the annotation that lets this installation adopt it.
    """

    manifest: Manifest
    live: LiveRef
    fields: tuple[FieldChange, ...]
    operations: tuple[Mapping[str, Any], ...]
    force: bool = False
    adopts: bool = False

    @property
    def ref(self) -> ObjectRef:
        """The object's identity."""
        return self.manifest.ref


@dataclass(frozen=True, slots=True)
class Replace:
    """The object exists and differs in an immutable field: it is deleted, then created."""

    manifest: Manifest
    live: LiveRef
    fields: tuple[FieldChange, ...]

    @property
    def ref(self) -> ObjectRef:
        """The object's identity."""
        return self.manifest.ref


class DeleteReason(Enum):
    """Why an object is no longer wanted."""

    SESSION_REMOVED = "the session's file is gone"
    SESSION_STOPPED = "the session is stopped"
    NOT_RENDERED = "no template renders it any more"


@dataclass(frozen=True, slots=True)
class Delete:
    """The object exists and is not wanted; `is_terminating`: its deletion has begun."""

    ref: ObjectRef
    kind: Kind
    live: LiveRef
    reason: DeleteReason
    is_terminating: bool = False


@dataclass(frozen=True, slots=True)
class Keep:
    """The object is as wanted; `live` and `digest` let the next pass skip its comparison."""

    ref: ObjectRef
    live: LiveRef
    digest: str


class HoldReason(Enum):
    """Why a change is withheld, and how to release it; `{session}` stands for its id."""

    RUNNING_WORK = (
        "it would end running work, or restart work that has ended: set `update.strategy: "
        "Recreate` or `state: Stopped` in the session, or list `{session}` under `allowRestarts` "
        "in policy.yaml"
    )
    RESTART_BUDGET = (
        "the restart budget is exceeded: raise `budgets.restarts`, or list `{session}` under "
        "`allowRestarts`, in policy.yaml"
    )
    DELETE_BUDGET = (
        "the delete budget is exceeded: raise `budgets.deletes`, or list `{session}` under "
        "`allowDeletes`, in policy.yaml"
    )
    LAST_SESSIONS = (
        "no session of this installation would be left: set `allowEmpty: true` in "
        "policy.yaml if that is meant"
    )
    UNREADABLE = (
        "a file in this namespace could not be used, so nothing in it is pruned: correct it"
    )
    NO_PRUNE = "pruning is switched off: run with --prune"
    OUT_OF_REALM = "the namespace is not listed in policy.yaml, so nothing in it is touched"
    CONFLICT = (
        "another manager has changed it and the policy is to report: change it back, or set "
        "`onConflict: heal` in policy.yaml"
    )
    TAKEN = (
        "the name is taken by a foreign object: choose another name, remove that object, or let it "
        "be adopted: annotate it with `reconcile.ambient-code.io/adopt={installation}`"
    )
    CANNOT_ADOPT = (
        "the object to be adopted differs in an immutable field: remove that object, "
        "or choose another name"
    )
    TERMINATING = "the live object is being deleted: the next pass continues when it is gone"
    FINALIZER = (
        "its deletion waits for a finalizer: let the controller that set it finish, or remove it "
        "from `metadata.finalizers`"
    )
    DATA_LOSS = (
        "replacing it would delete its data: list `{session}` under `allowDeletes` in "
        "policy.yaml if that is meant"
    )
    REFUSED = (
        "the server refuses to change it in place, and the plan did not say that it is replaced: "
        "stop and start the session (`state: Stopped`), or delete the object"
    )
    RESIZED = (
        "its resources were changed in place (`resize`), and only a new pod would get the declared "
        "ones: change them back in the same way, declare them in the session, or stop and start "
        "the session (`state: Stopped`)"
    )
    BACK_OFF = (
        "its pod failed before the runner started, and so did the one before: correct the cause, "
        "which `reconcile status -o wide` shows; a later pass tries again"
    )
    WAITS_FOR_OWNER = "an object that comes before it is held"


@dataclass(frozen=True, slots=True)
class Hold:
    """A wanted change that is withheld, and why."""

    change: "Create | Patch | Replace | Delete"
    reason: HoldReason

    @property
    def ref(self) -> ObjectRef:
        """The object's identity."""
        return self.change.ref


Change: TypeAlias = Create | Patch | Replace | Delete | Keep | Hold
Action: TypeAlias = Create | Patch | Replace | Delete
"""The changes that write."""


@dataclass(frozen=True, slots=True)
class EndedPod:
    """A pod whose work has ended by itself: `phase` is Completed or Failed, `reason` one word.

    `digest` is that of its manifest without labels and annotations; if these are not all that is
    declared otherwise by now, that of the whole manifest which the pod was created from.
    """

    name: str
    phase: str
    reason: str
    digest: str


@dataclass(frozen=True, slots=True)
class UnflushedPod:
    """A pod that ended before everything was stored: when (empty if it is not known), and why."""

    uid: str
    time: str
    reason: str


@dataclass(frozen=True, slots=True)
class FlushTrace:
    """What is known of the last flush of a session's pods.

    `pod` is the UID of the pod whose last flush has not been seen yet. `unflushed` is the last pod
    that ended before everything was stored; one that has stored everything since clears it.
    """

    pod: str = ""
    unflushed: UnflushedPod | None = None


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """What happens to one session: `changes` in the order in which they are carried out.

    `digest` is the session's own, empty for one that is removed. `may_end_work` says whether its
    author or the policy allows running work to be ended, `may_take_over` whether the policy allows
    taking fields back from other managers. `ended` are the pods whose work has ended, also those
    that are gone. `flush` is what the live pods show of their last flush.
    """

    session: SessionId
    changes: tuple[Change, ...]
    digest: str = ""
    may_end_work: bool = False
    may_take_over: bool = True
    ended: tuple[EndedPod, ...] = ()
    flush: FlushTrace = FlushTrace()


@dataclass(frozen=True, slots=True)
class Plan:
    """What turns live state into desired state; `sessions` are ordered by their identity.

    `budget_usage` is what the revision has used of its budgets once this plan is carried out.
    """

    installation: str
    revision: str
    sessions: tuple[SessionPlan, ...]
    budget_usage: BudgetUsage = BudgetUsage()  # noqa: RUF009 - a frozen value

    @property
    def changes(self) -> tuple[Change, ...]:
        """All changes, session by session."""
        return tuple(change for session in self.sessions for change in session.changes)


class Status(Enum):
    """How one change ended."""

    CREATED = "created"
    CONFIGURED = "configured"
    REPLACED = "replaced"
    DELETED = "deleted"
    UNCHANGED = "unchanged"
    HELD = "held"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one change ended; `message` says why for a failed, held or skipped one."""

    change: Change
    status: Status
    message: str = ""
