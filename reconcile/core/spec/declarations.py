"""What a file of the desired tree declares: sessions, settings, a policy, or nothing usable."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from reconcile.core.errors import Problem
from reconcile.core.model import ObjectMetadata, Origin, Policy, SessionId, SessionState
from reconcile.core.source_location import DocumentPath, Position
from reconcile.core.spec.layout import FileRole

NullFields: TypeAlias = tuple[tuple[DocumentPath, Problem], ...]
"""Paths below `spec` of fields that are null, each with the warning if a value is inherited."""

Places: TypeAlias = Mapping[DocumentPath, Position]
"""Line and column of settings, by their paths in `spec`."""


@dataclass(frozen=True, slots=True)
class SessionDeclaration:
    """A session as declared: `layer` is what `spec` sets, `state` the desired state.

    `places` are the positions of those settings that may contradict another one.
    """

    id: SessionId
    origin: Origin
    state: SessionState
    metadata: ObjectMetadata
    layer: Mapping[str, Any]
    places: Places = field(default_factory=dict, compare=False)
    nulls: NullFields = ()


@dataclass(frozen=True, slots=True)
class SessionFile:
    """A file of sessions."""

    declarations: tuple[SessionDeclaration, ...]


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """`defaults.yaml` or a `project.yaml`: what it sets for the sessions below it.

    `nulls` and `places` are as in `SessionDeclaration`. `metadata` has an effect in `defaults.yaml`
    only.
    """

    layer: Mapping[str, Any]
    nulls: NullFields = ()
    places: Places = field(default_factory=dict, compare=False)
    metadata: ObjectMetadata = field(default_factory=ObjectMetadata)


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """`policy.yaml`."""

    policy: Policy


@dataclass(frozen=True, slots=True)
class InvalidFile:
    """A file with problems; `sessions` are those whose names could be read.

    `documents` are its documents as far as they are YAML: their secrets are masked in messages.
    """

    sessions: frozenset[SessionId]
    documents: tuple[Any, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class IgnoredFile:
    """A file that is not part of desired state."""


FileContent: TypeAlias = SessionFile | SettingsFile | PolicyFile | InvalidFile | IgnoredFile


@dataclass(frozen=True, slots=True)
class FileResult:
    """What one file declares; `namespace` is empty for a file at the top of the tree."""

    path: str
    namespace: str
    role: FileRole
    content: FileContent
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
