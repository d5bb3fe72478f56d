"""Assembles the files of a tree into its sessions, their settings, problems and warnings."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from reconcile.core.canonical_json import compute_digest
from reconcile.core.errors import Problem
from reconcile.core.model import Origin, Policy, Session, SessionId, UpdateStrategy
from reconcile.core.source_location import format_document_path
from reconcile.core.spec.kinds import CAPABILITIES
from reconcile.core.spec.layers import default_values, merge_layer
from reconcile.core.spec.layout import WHOLE_TREE, FileRole, find_folder_error
from reconcile.core.spec.parse import (
    FileResult,
    InvalidFile,
    Places,
    PolicyFile,
    SessionDeclaration,
    SessionFile,
    SettingsFile,
)
from reconcile.core.spec.session_fields import SESSION_SPEC
from reconcile.core.spec.validate import Finding, find_contradictions, find_spec_warnings

_NAMESPACED_ROLES = {FileRole.SESSIONS, FileRole.PROJECT}


@dataclass(frozen=True, slots=True)
class TreeSpec:
    """What the files of one tree declare.

    `sessions` are valid; `broken` are declared, but invalid. `unreadable` are the namespaces in
    which nothing may be pruned; the empty string stands for all. `namespaces` are the policy's, or
    those that have a folder. `capabilities` are what the installation declares of its cluster.
    `is_unusable` means that policy or defaults are invalid: then not even the installation's id is
    known.
    """

    policy: Policy
    sessions: tuple[Session, ...]
    broken: frozenset[SessionId]
    unreadable: frozenset[str]
    namespaces: frozenset[str]
    capabilities: Mapping[str, Any]
    is_unusable: bool
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def assemble_tree(results: Iterable[FileResult], folders: Iterable[str] = ()) -> TreeSpec:
    """Merge settings into sessions and find problems that involve several files.

    `folders` are the first-level folders, empty ones included. The order of both does not matter.
    """
    files = sorted(results, key=lambda result: result.path)
    assembler = _Assembler(files)
    return assembler.assemble(folders)


class _Assembler:
    """The state of one assembly."""

    def __init__(self, files: list[FileResult]) -> None:
        self._files = files
        self._policy = Policy()
        self._capabilities = default_values(CAPABILITIES)
        self._defaults = default_values(SESSION_SPEC)
        self._projects: dict[str, Mapping[str, Any]] = {}
        self._settings: dict[str, tuple[str, Places]] = {}
        self._declared: dict[SessionId, list[SessionDeclaration]] = defaultdict(list)
        self._problems: list[Problem] = []
        self._warnings: list[Problem] = [note for file in files for note in file.warnings]
        self._unreadable: set[str] = set()
        self._unusable: set[str] = set()
        self._broken: set[SessionId] = set()

    def assemble(self, folders: Iterable[str]) -> TreeSpec:
        for file in self._files:
            self._add_file(file)
        self._merge_settings()
        self._find_unlisted_folders()
        self._find_duplicates()
        sessions = self._build_sessions()
        return TreeSpec(
            policy=self._policy,
            sessions=sessions,
            broken=frozenset(self._broken),
            unreadable=frozenset(self._unreadable),
            namespaces=self._policy.namespaces or _valid_namespaces(folders),
            capabilities=self._capabilities,
            is_unusable=WHOLE_TREE in self._unusable,
            problems=tuple(sorted(self._problems)),
            warnings=tuple(sorted(self._warnings)),
        )

    def _add_file(self, file: FileResult) -> None:
        self._problems.extend(file.problems)
        match file.content:
            case SessionFile(declared):
                for session in declared:
                    self._declared[session.id].append(session)
            case PolicyFile(policy):
                self._policy = policy
            case InvalidFile(names):
                self._mark_unreadable(file, names)
            case _:
                pass

    def _mark_unreadable(self, file: FileResult, names: frozenset[SessionId]) -> None:
        """An invalid file stops pruning; invalid settings also make their sessions unusable."""
        is_namespace = file.namespace and not find_folder_error(file.namespace)
        scope = file.namespace if is_namespace else WHOLE_TREE
        self._unreadable.add(scope)
        if file.role in {FileRole.POLICY, FileRole.DEFAULTS, FileRole.PROJECT}:
            self._unusable.add(scope)
        else:
            self._broken.update(names)

    def _merge_settings(self) -> None:
        self._settings = {
            file.namespace: (file.path, file.content.places)
            for file in self._files
            if isinstance(file.content, SettingsFile)
        }
        layers = {
            file.namespace: file.content.layer
            for file in self._files
            if isinstance(file.content, SettingsFile)
        }
        installation = layers.pop(WHOLE_TREE, {})
        self._defaults = merge_layer(SESSION_SPEC, self._defaults, installation)
        self._capabilities = merge_layer(
            CAPABILITIES, self._capabilities, installation.get("capabilities", {})
        )
        self._projects = {
            namespace: merge_layer(SESSION_SPEC, self._defaults, layer)
            for namespace, layer in layers.items()
        }

    def _find_unlisted_folders(self) -> None:
        used = {file.namespace for file in self._files if file.role in _NAMESPACED_ROLES}
        listed = self._policy.namespaces or used
        for folder in _valid_namespaces(used - listed):
            message = "this namespace is not in `spec.namespaces` of policy.yaml: add it there"
            self._problems.append(Problem(f"{folder}/", 0, 0, "", message))
            self._unreadable.add(folder)
            self._unusable.add(folder)

    def _find_duplicates(self) -> None:
        for session, places in self._declared.items():
            if len(places) > 1:
                self._broken.add(session)
                self._unreadable.add(session.namespace)
                self._problems.extend(_duplicate_problems(places))

    def _build_sessions(self) -> tuple[Session, ...]:
        usable = []
        for session, (declared, *_) in sorted(self._declared.items()):
            if session in self._broken or {WHOLE_TREE, session.namespace} & self._unusable:
                self._broken.add(session)
            else:
                usable.append(self._build_session(declared))
        return tuple(session for session in usable if self._check_consistency(session))

    def _build_session(self, declared: SessionDeclaration) -> Session:
        base = self._projects.get(declared.id.namespace, self._defaults)
        spec = {**merge_layer(SESSION_SPEC, base, declared.layer), "state": declared.state.value}
        seen = {
            "namespace": declared.id.namespace,
            "name": declared.id.name,
            "labels": declared.labels,
            "annotations": declared.annotations,
            "spec": spec,
            "capabilities": self._capabilities,
        }
        return Session(
            id=declared.id,
            origin=declared.origin,
            state=declared.state,
            strategy=UpdateStrategy(spec["update"]["strategy"]),
            labels=declared.labels,
            annotations=declared.annotations,
            spec=spec,
            digest=compute_digest(seen),
        )

    def _check_consistency(self, session: Session) -> bool:
        self._warnings.extend(
            self._problem_of(session, finding) for finding in find_spec_warnings(session.spec)
        )
        reasons = find_contradictions(session.spec)
        for finding in reasons:
            self._problems.append(self._problem_of(session, finding))
            self._unreadable.add(session.id.namespace)
            self._broken.add(session.id)
        return not reasons

    def _problem_of(self, session: Session, finding: Finding) -> Problem:
        """Make the problem, at the setting that is written nearest to the session."""
        (declared, *_) = self._declared[session.id]
        origin = session.origin
        files = [
            (origin.path, declared.places),
            *(
                self._settings[at]
                for at in (session.id.namespace, WHOLE_TREE)
                if at in self._settings
            ),
            (origin.path, {finding.paths[0]: (origin.line, origin.column)}),
        ]
        path, position, setting = next(
            (path, places[setting], setting)
            for path, places in files
            for setting in (*finding.paths, finding.cause)
            if setting in places
        )
        named = finding.paths[0] if setting == finding.cause else setting
        field = format_document_path(("spec", *named))
        return Problem(path, *position, field, _add_session(finding.message, session, path))


def _duplicate_problems(places: list[SessionDeclaration]) -> Iterable[Problem]:
    for place in places:
        others = ", ".join(str(other.origin) for other in places if other is not place)
        yield _problem_at(
            place.origin, "metadata.name", f"session {place.id} is declared twice: {others}"
        )


def _add_session(message: str, session: Session, path: str) -> str:
    return message if path == session.origin.path else f"{message}; session {session.id}"


def _problem_at(origin: Origin, field: str, message: str) -> Problem:
    return Problem(origin.path, origin.line, origin.column, field, message)


def _valid_namespaces(folders: Iterable[str]) -> frozenset[str]:
    return frozenset(folder for folder in folders if not find_folder_error(folder))
