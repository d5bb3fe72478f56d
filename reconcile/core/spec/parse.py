"""One file's bytes become what the file declares, or every reason why not.

The result depends on path and content alone, so that it may be kept for as long as both are same.

What reading one file can give.

What exports from a cluster carry besides a session's own fields.

What a policy document sets becomes a Policy.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from reconcile.core.errors import Problem, SpecError
from reconcile.core.model import Budget, OnConflict, Origin, Policy, SessionId, State
from reconcile.core.source_location import Path, Positions
from reconcile.core.spec.field_types import found, suggest
from reconcile.core.spec.formats import NAME
from reconcile.core.spec.kinds import KINDS, LAST_APPLIED, POLICY_SPEC, SESSION
from reconcile.core.spec.layers import built_in, overlay
from reconcile.core.spec.layout import (
    KIND_OF_ROLE,
    PLACE_OF_KIND,
    Role,
    folder_reason,
    namespace_of,
    role_of,
)
from reconcile.core.spec.validate import MOST_PROBLEMS, Validator
from reconcile.core.yaml_loader import decode, load_documents


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


_TERMINAL: Final = frozenset({"Stopped", "Completed", "Failed"})
_DESIRED_PHASE: Final = "ambient-code.io/desired-phase"


def items(document: Any) -> list[tuple[Path, Any]]:
    """The objects of a `v1 List`, each with its path, or the document itself."""
    is_list = isinstance(document, dict) and document.get("kind") == "List"
    listed = document.get("items") if is_list and document.get("apiVersion") == "v1" else None
    if not isinstance(listed, list):
        return [((), document)]
    return [(("items", index), item) for index, item in enumerate(listed)]


def implied_state(annotations: Mapping[str, str], document: Mapping[str, Any]) -> State:
    """What a document says of its session's state where it does not set `state` itself."""
    status = document.get("status")
    phase = status.get("phase") if isinstance(status, dict) else None
    is_over = isinstance(phase, str) and phase in _TERMINAL
    is_stopped = is_over or annotations.get(_DESIRED_PHASE) == "Stopped"
    return State.STOPPED if is_stopped else State.RUNNING


def without_last_applied(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave out the annotation in which kubectl repeats the whole object."""
    metadata = document.get("metadata")
    if not isinstance(metadata, dict):
        return document
    annotations = metadata.get("annotations")
    if not isinstance(annotations, dict):
        return document
    kept = {key: value for key, value in annotations.items() if key != LAST_APPLIED}
    return {**document, "metadata": {**metadata, "annotations": kept}}


def policy_of(layer: Mapping[str, Any]) -> Policy:
    """Fill in what the file does not set; `layer` has passed validation."""
    spec = overlay(POLICY_SPEC, built_in(POLICY_SPEC), layer)
    return Policy(
        installation=spec["installation"],
        namespaces=frozenset(spec["namespaces"]),
        deletes=_budget(spec["budgets"]["deletes"]),
        restarts=_budget(spec["budgets"]["restarts"]),
        allow_deletes=frozenset(spec["allowDeletes"]),
        allow_restarts=frozenset(spec["allowRestarts"]),
        allow_empty=spec["allowEmpty"],
        on_conflict=OnConflict(spec["onConflict"]),
        mask=tuple(spec["mask"]),
    )


def _budget(spec: Mapping[str, int]) -> Budget:
    return Budget(percent=spec["percent"], at_least=spec["atLeast"])


def read_file(path: str, content: bytes, problem: str = "") -> FileResult:
    """Read one file of the desired tree; never raises.

    `path` is relative to the tree. `problem` tells why the content could not be read, if so.
    """
    role = role_of(path)
    hidden = any(part.startswith(".") for part in path.split("/"))
    if problem and not hidden:
        return _refused(path, role, (Problem(path, 0, 0, "", problem),))
    if role is Role.IGNORED:
        return FileResult(path, namespace_of(path), role, Ignored())
    reason = _misplaced(path) if role is Role.MISPLACED else folder_reason(namespace_of(path))
    if reason:
        return _refused(path, role, (Problem(path, 0, 0, "", reason),))
    try:
        documents = _documents(path, content)
    except SpecError as error:
        return _refused(path, role, error.problems)
    return _FileReader(path, role).read(documents)


def _misplaced(path: str) -> str:
    hint = suggest(path, ("policy.yaml", "defaults.yaml"))
    return f"is not read here: sessions belong in a folder named like their namespace{hint}"


def _refused(path: str, role: Role, problems: tuple[Problem, ...]) -> FileResult:
    return FileResult(path, namespace_of(path), role, Unusable(frozenset()), problems)


@dataclass(frozen=True, slots=True)
class _Part:
    """One document, or one item of an exported list, at `at` in its file."""

    value: Any
    at: Path
    positions: Positions


def _documents(path: str, content: bytes) -> list[_Part]:
    parts: list[_Part] = []
    for document in load_documents(decode(content, path), path):
        if document.value is not None:
            parts.extend(
                _Part(value, at, document.positions) for at, value in items(document.value)
            )
    if not parts:
        message = "has no document: delete the file if nothing is to be declared here"
        raise SpecError((Problem(path, 0, 0, "", message),))
    return parts


class _FileReader:
    """Reads the documents of one file and keeps count of what is wrong."""

    def __init__(self, path: str, role: Role) -> None:
        self._path = path
        self._role = role
        self._namespace = namespace_of(path)
        self._problems: list[Problem] = []
        self._warnings: list[Problem] = []
        self._names: set[SessionId] = set()
        self._read: list[Any] = []

    def read(self, parts: list[_Part]) -> FileResult:
        for part in parts:
            self._part(part)
        if self._role is not Role.SESSIONS and len(parts) > 1:
            self._problems.append(self._one_only(parts[1]))
        content = Unusable(frozenset(self._names)) if self._problems else self._content()
        problems, warnings = self._first(self._problems), self._first(self._warnings)
        return FileResult(self._path, self._namespace, self._role, content, problems, warnings)

    def _first(self, notes: list[Problem]) -> tuple[Problem, ...]:
        told = sorted(notes)[:MOST_PROBLEMS]
        if len(notes) > len(told):
            more = f"and {len(notes) - len(told)} more like these"
            told.append(Problem(self._path, 0, 0, "", more))
        return tuple(told)

    def _content(self) -> Content:
        match self._role:
            case Role.SESSIONS:
                return Sessions(tuple(self._read))
            case Role.POLICY:
                return PolicyFile(policy_of(self._read[0]))
            case _:
                return Settings(self._read[0])

    def _one_only(self, second: _Part) -> Problem:
        message = "may hold one document only"
        return Problem(self._path, *second.positions.value(second.at), "", message)

    def _part(self, part: _Part) -> None:
        validator = Validator(self._path, part.positions)
        identity = self._identity(part)
        self._names.update(identity)
        kind = self._kind(part, validator)
        if kind:
            self._document(kind, part, validator)
        self._problems.extend(validator.problems)
        self._warnings.extend(validator.warnings)

    def _identity(self, part: _Part) -> set[SessionId]:
        metadata = part.value.get("metadata") if isinstance(part.value, dict) else None
        name = metadata.get("name") if isinstance(metadata, dict) else None
        is_name = isinstance(name, str) and not NAME.reason(name)
        return {SessionId(self._namespace, str(name))} if is_name else set()

    def _kind(self, part: _Part, validator: Validator) -> str:
        """The document's kind if it may stand in this file, else nothing and a problem."""
        if not isinstance(part.value, dict):
            validator.problem(part.at, f"a document must be a mapping, not {found(part.value)}")
            return ""
        expected = KIND_OF_ROLE[self._role]
        kind = part.value.get("kind")
        if kind == expected:
            return expected
        at = (*part.at, "kind")
        if not isinstance(kind, str):
            validator.problem(at, f"must be {expected}")
        elif kind in KINDS:
            validator.problem(
                at, f"must be {expected} here: {kind} belongs in {PLACE_OF_KIND[kind]}"
            )
        else:
            validator.problem(at, f"unknown kind: must be {expected}{suggest(kind, KINDS)}")
        return ""

    def _document(self, kind: str, part: _Part, validator: Validator) -> None:
        value = without_last_applied(part.value)
        layer = validator.read(KINDS[kind], value, part.at)
        self._check_namespace(part, validator)
        if validator.problems:
            return
        self._read.append(self._declared(part, layer) if kind == SESSION else layer.get("spec", {}))

    def _check_namespace(self, part: _Part, validator: Validator) -> None:
        metadata = part.value.get("metadata")
        given = metadata.get("namespace") if isinstance(metadata, dict) else None
        if self._namespace and given is not None and given != self._namespace:
            message = (
                f"must be {self._namespace}, the folder's name: move the file or remove this line"
            )
            validator.problem((*part.at, "metadata", "namespace"), message)

    def _declared(self, part: _Part, layer: Mapping[str, Any]) -> Declared:
        metadata, spec = layer["metadata"], layer.get("spec", {})
        annotations = metadata.get("annotations", {})
        state = State(spec["state"]) if "state" in spec else implied_state(annotations, part.value)
        return Declared(
            SessionId(self._namespace, metadata["name"]),
            Origin(self._path, *part.positions.value(part.at)),
            state,
            metadata.get("labels", {}),
            annotations,
            spec,
        )
