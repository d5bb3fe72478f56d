"""The vocabulary of desired state; `changes` has that of plans.

The labels, annotations and object names that are a contract with people and other tools.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, TypeAlias

from reconcile.core.errors import Problem

LABEL_PREFIX: Final = "reconcile.ambient-code.io/"
"""Every label and annotation of ours starts so; session files may not set one."""

LABEL_INSTALLATION: Final = LABEL_PREFIX + "installation"
"""Whose object this is: the one label that live state is selected by."""

LABEL_SESSION: Final = LABEL_PREFIX + "session"
"""The session that the object belongs to."""

LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
"""Kubernetes' own word for the tool in charge; its value is `FIELD_MANAGER`."""

ANNOTATION_DIGEST: Final = LABEL_PREFIX + "digest"
"""The digest of the body that was applied last, so that drift can be told from a commit."""

ANNOTATION_ADOPT: Final = LABEL_PREFIX + "adopt"
"""Set by hand on a stranger's object to an installation's id: that installation may take it."""

FIELD_MANAGER: Final = "reconcile"
"""Our field manager; what it owns in managedFields is what we declared last."""

STATUS_FIELD_MANAGER: Final = "reconcile-status"
"""The manager of what is observed, so that status never shows up in a plan."""

RECORD_PREFIX: Final = "session-"
"""A session's Record is the ConfigMap of this prefix and the session's name."""

INVENTORY_PREFIX: Final = "reconcile-inventory-"
"""An installation's inventory is the ConfigMap of this prefix and the installation's id."""

RECORD_STATUS_KEY: Final = "status"
"""The key of a Record's data under which the last pass that changed something left its note."""


KubeObject: TypeAlias = Mapping[str, Any]
"""A Kubernetes object as JSON gives it: dicts, lists, text, numbers, booleans, None."""


@dataclass(frozen=True, slots=True, order=True)
class Kind:
    """What an object is: `Kind("v1", "Pod")`, `Kind("networking.k8s.io/v1", "NetworkPolicy")`."""

    api_version: str
    name: str

    @property
    def group(self) -> str:
        """The API group, empty for the core group."""
        return self.api_version.rpartition("/")[0]


@dataclass(frozen=True, slots=True, order=True)
class ObjectRef:
    """An object's identity; the API version is left out, since versions move."""

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        """Word it for people: `Pod team-a/fix-login-runner`."""
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class SessionId:
    """A session's identity."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """Word it as people write it in a policy: `team-a/fix-login`."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """Where something is declared; lines and columns count from 1."""

    path: str
    line: int
    column: int

    def __str__(self) -> str:
        """Word it as compilers do."""
        return f"{self.path}:{self.line}:{self.column}"


def build_record_ref(session: SessionId) -> ObjectRef:
    """Name a session's Record: the ConfigMap that owns all of its objects."""
    return ObjectRef("", "ConfigMap", session.namespace, RECORD_PREFIX + session.name)


class SessionState(Enum):
    """What an author wants of a session."""

    RUNNING = "Running"
    STOPPED = "Stopped"


class UpdateStrategy(Enum):
    """When a change that ends running work may be made."""

    WHEN_STOPPED = "WhenStopped"
    RECREATE = "Recreate"


@dataclass(frozen=True, slots=True)
class Session:
    """One desired session, with installation and project settings already merged in.

    `spec` has the file's own field names; every known field is present, None where nothing sets it.
    `digest` covers all that a template can see of the session.
    """

    id: SessionId
    origin: Origin
    state: SessionState
    strategy: UpdateStrategy
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    spec: Mapping[str, Any]
    digest: str


@dataclass(frozen=True, slots=True)
class Budget:
    """How many sessions one revision may hit: `percent` of those that live, at least `at_least`."""

    percent: int = 25
    at_least: int = 1

    def limit(self, total: int) -> int:
        """The number of sessions allowed out of `total` living ones."""
        return max(self.at_least, total * self.percent // 100)


class OnConflict(Enum):
    """What to do with a declared field that somebody else has changed."""

    HEAL = "heal"
    REPORT = "report"


@dataclass(frozen=True, slots=True)
class Policy:
    """An installation's realm and its limits, from `policy.yaml`.

    `namespaces` are the only ones that may be touched; empty means those that have a folder.
    `allow_deletes` and `allow_restarts` hold `namespace/name` of sessions approved by name.
    """

    installation: str = "default"
    namespaces: frozenset[str] = frozenset()
    deletes: Budget = field(default_factory=Budget)
    restarts: Budget = field(default_factory=Budget)
    allow_deletes: frozenset[str] = frozenset()
    allow_restarts: frozenset[str] = frozenset()
    allow_empty: bool = False
    on_conflict: OnConflict = OnConflict.HEAL
    mask: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object that is wanted.

    `body` carries our labels and annotations, but no owner reference: the owner's UID is known
    only once it lives. `digest` is over `body`. `source` is the template's file name.
    """

    ref: ObjectRef
    kind: Kind
    session: SessionId
    body: KubeObject
    digest: str
    source: str


@dataclass(frozen=True, slots=True)
class DesiredSession:
    """One session that can be carried out: `manifests` in the order of creation, Record first."""

    session: Session
    manifests: tuple[Manifest, ...]


@dataclass(frozen=True, slots=True)
class DesiredState:
    """The whole desired state of one revision.

    `broken` are sessions whose file exists but cannot be used: what lives of them stays as it is.
    `unreadable` are namespaces in which nothing may be pruned, since a file in them was not
    understood; the empty string stands for the whole tree. `kinds` are those of the templates, for
    which live state is read even when there is no session.
    """

    policy: Policy
    revision: str
    sessions: tuple[DesiredSession, ...]
    kinds: frozenset[Kind] = frozenset()
    namespaces: frozenset[str] = frozenset()
    broken: frozenset[SessionId] = frozenset()
    unreadable: frozenset[str] = frozenset()
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
