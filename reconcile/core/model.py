"""The types of desired state; `changes` has those of plans.

The labels, annotations and object names here are public: people and other tools rely on them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, TypeAlias

from reconcile.core.errors import Problem

LABEL_PREFIX: Final = "reconcile.ambient-code.io/"
"""The prefix of all labels and annotations of this project; session files may not set one."""

LABEL_INSTALLATION: Final = LABEL_PREFIX + "installation"
"""The installation that owns the object: live state is selected by this label alone."""

LABEL_SESSION: Final = LABEL_PREFIX + "session"
"""The session that the object belongs to."""

LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
"""Kubernetes' recommended label for the managing tool; its value is `FIELD_MANAGER`."""

ANNOTATION_DIGEST: Final = LABEL_PREFIX + "digest"
"""The digest of the body that was applied last; it distinguishes drift from a commit.

An inventory has that of its further labels and annotations, if it has any.
"""

ANNOTATION_ADOPT: Final = LABEL_PREFIX + "adopt"
"""Set by a user on a foreign object to an installation's id, which may then adopt it."""

ANNOTATION_RECORD_UID: Final = LABEL_PREFIX + "record-uid"
"""The UID of a pod's Record, for the pod's own containers; set when the pod is applied.

Like owner references it is in no manifest and no digest: what differs in it is not a change.
"""

ANNOTATION_INPUTS_DIGEST: Final = LABEL_PREFIX + "inputs-digest"
"""The digest of those inputs of a session that its running pod acts on; a template sets it.

It changes with the inputs, so that the kubelet refreshes the mounted ones soon.
"""

FIELD_MANAGER: Final = "reconcile"
"""Our field manager; in managedFields it owns the fields that we declared last."""

STATUS_FIELD_MANAGER: Final = "reconcile-status"
"""The field manager of a Record's status, which thereby never appears in a plan."""

RECORD_PREFIX: Final = "session-"
"""A session's Record is the ConfigMap of this prefix and the session's name."""

INPUTS_SUFFIX: Final = "-inputs"
"""A session's inputs are the ConfigMap of its name and this suffix."""

INVENTORY_PREFIX: Final = "reconcile-inventory-"
"""An installation's inventory is the ConfigMap of this prefix and the installation's id."""

RECORD_STATUS_KEY: Final = "status"
"""The key in a Record's data that has the status of the last pass that changed something."""


KubeObject: TypeAlias = Mapping[str, Any]
"""A Kubernetes object as parsed JSON: dicts, lists, text, numbers, booleans, None."""


@dataclass(frozen=True, slots=True, order=True)
class Kind:
    """An object's type: `Kind("v1", "Pod")`, `Kind("networking.k8s.io/v1", "NetworkPolicy")`."""

    api_version: str
    name: str

    @property
    def group(self) -> str:
        """The API group, empty for the core group."""
        return self.api_version.rpartition("/")[0]


@dataclass(frozen=True, slots=True, order=True)
class ObjectRef:
    """An object's identity; without the API version, which can change."""

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        """Format it for people: `Pod team-a/fix-login-runner`."""
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class SessionId:
    """A session's identity."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """Format it as in a policy file: `team-a/fix-login`."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """Where something is declared; lines and columns count from 1."""

    path: str
    line: int
    column: int

    def __str__(self) -> str:
        """Format it as compilers do."""
        return f"{self.path}:{self.line}:{self.column}"


def build_record_ref(session: SessionId) -> ObjectRef:
    """Build the reference of a session's Record: the ConfigMap that owns all of its objects."""
    return ObjectRef("", "ConfigMap", session.namespace, RECORD_PREFIX + session.name)


def build_inputs_ref(session: SessionId) -> ObjectRef:
    """Build the reference of the ConfigMap with what a session's running pod reads again."""
    return ObjectRef("", "ConfigMap", session.namespace, session.name + INPUTS_SUFFIX)


class SessionState(Enum):
    """The desired state of a session."""

    RUNNING = "Running"
    STOPPED = "Stopped"


class UpdateStrategy(Enum):
    """When a change that ends running work may be made."""

    WHEN_STOPPED = "WhenStopped"
    RECREATE = "Recreate"


@dataclass(frozen=True, slots=True)
class ObjectMetadata:
    """The labels and annotations for every object of an installation, from `defaults.yaml`."""

    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Session:
    """One desired session, with installation and project settings already merged in.

    `labels` and `annotations` are those of all its objects. `spec` has the file's own field names;
    every known field is present, None if it is not set. `digest` covers everything of the session
    that a template can use.
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
    """How many sessions one revision may affect: `percent` of all, at least `at_least`."""

    percent: int = 25
    at_least: int = 1

    def limit(self, total: int) -> int:
        """The number of sessions that may be affected out of `total` existing ones."""
        return max(self.at_least, total * self.percent // 100)


class OnConflict(Enum):
    """What to do with a declared field that another manager has changed."""

    HEAL = "heal"
    REPORT = "report"


CLOUD_ROLE_DOMAINS: Final = (
    "azure.workload.identity",
    "eks.amazonaws.com",
    "iam.amazonaws.com",
    "iam.gke.io",
    "pod-identity.alibabacloud.com",
)
"""Annotations of a service account or a pod below these give it a role at a cloud provider."""


@dataclass(frozen=True, slots=True)
class AllowRules:
    """What session files and templates may ask for, from `spec.allow` of `policy.yaml`.

    Texts are patterns with `*` and `?`. `max_resources` are pairs of a resource and the highest
    amount for one container. The defaults are those of an installation without rules.
    """

    images: tuple[str, ...] = ("*",)
    image_digests: bool = False
    secrets: tuple[str, ...] = ("*",)
    config_maps: tuple[str, ...] = ("*",)
    service_account_token: bool = True
    priority_classes: tuple[str, ...] = ("*",)
    node_selectors: tuple[str, ...] = ("*",)
    tolerations: tuple[str, ...] = ("*",)
    max_resources: tuple[tuple[str, str], ...] = ()
    labels: tuple[str, ...] = ("*",)
    annotations: tuple[str, ...] = ("*",)
    denied_annotations: tuple[str, ...] = tuple(f"{domain}/*" for domain in CLOUD_ROLE_DOMAINS)
    repository_hosts: tuple[str, ...] = ("*",)
    host_access: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """An installation's scope and its limits, from `policy.yaml`.

    `namespaces` are the only ones that may be touched; empty means those that have a folder.
    `allow_deletes` and `allow_restarts` hold `namespace/name` of sessions approved by name.
    `allow_in_namespaces` are the rules of namespaces that have other rules than `allow`.
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
    has_allow_rules: bool = False
    allow: AllowRules = field(default_factory=AllowRules)
    allow_in_namespaces: Mapping[str, AllowRules] = field(default_factory=dict)

    def allow_rules(self, namespace: str) -> AllowRules:
        """Return the rules for the sessions of one namespace."""
        return self.allow_in_namespaces.get(namespace, self.allow)


@dataclass(frozen=True, slots=True)
class Manifest:
    """One desired object.

    `body` has our labels and annotations, but no owner reference: the owner's UID is known only
    once it exists. `digest` is over `body`. `source` is the template's file name.
    """

    ref: ObjectRef
    kind: Kind
    session: SessionId
    body: KubeObject
    digest: str
    source: str


@dataclass(frozen=True, slots=True)
class DesiredSession:
    """One session that can be applied: `manifests` in the order of creation, Record first."""

    session: Session
    manifests: tuple[Manifest, ...]


@dataclass(frozen=True, slots=True)
class DesiredState:
    """The whole desired state of one revision.

    `broken` are sessions whose file exists but cannot be used: their live objects are not changed.
    `unreadable` are namespaces in which nothing may be pruned, since a file in them could not be
    parsed; the empty string stands for the whole tree. `kinds` are those of the templates:
    their live state is read even if there is not any session. `metadata` is what the inventory gets
    too.
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
    metadata: ObjectMetadata = field(default_factory=ObjectMetadata)
