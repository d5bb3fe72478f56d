"""What reading one file can give."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from reconcile.core.errors import Problem
from reconcile.core.model import Origin, Policy, SessionId, State
from reconcile.core.spec.layout import Role


@dataclass(frozen=True, slots=True)
class Declared:
    """One session as its file has it: `layer` is what `spec` sets, `state` what is wanted."""

    id: SessionId
    origin: Origin
    state: State
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    layer: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sessions:
    """A file of sessions."""

    declared: tuple[Declared, ...]


@dataclass(frozen=True, slots=True)
class Settings:
    """`defaults.yaml` or a `project.yaml`: what it sets for the sessions below it."""

    layer: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """`policy.yaml`."""

    policy: Policy


@dataclass(frozen=True, slots=True)
class Unusable:
    """A file with problems; `names` are the sessions that it is about, as far as can be told."""

    names: frozenset[SessionId]


@dataclass(frozen=True, slots=True)
class Ignored:
    """A file that is not part of desired state."""


Content: TypeAlias = Sessions | Settings | PolicyFile | Unusable | Ignored


@dataclass(frozen=True, slots=True)
class FileResult:
    """What one file declares; `namespace` is empty for a file at the top of the tree."""

    path: str
    namespace: str
    role: Role
    content: Content
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
