"""Puts the files of a tree together: who is declared, with which settings, and what is in doubt."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from reconcile.core.canonical_json import digest
from reconcile.core.errors import Problem
from reconcile.core.model import Origin, Policy, Session, SessionId, Strategy
from reconcile.core.spec.kinds import CAPABILITIES
from reconcile.core.spec.layers import built_in, overlay
from reconcile.core.spec.layout import WHOLE_TREE, Role, folder_reason
from reconcile.core.spec.parse import Declared, FileResult, PolicyFile, Sessions, Settings, Unusable
from reconcile.core.spec.session_fields import SESSION_SPEC
from reconcile.core.spec.validate import contradictions, doubts

_IN_FOLDERS = {Role.SESSIONS, Role.PROJECT}


@dataclass(frozen=True, slots=True)
class Assembled:
    """All that the files of one tree declare.

    `sessions` can be used; `broken` are in a file, but cannot. `unreadable` are namespaces in which
    nothing may be pruned, the empty string stands for all. `namespaces` are the policy's, or those
    that have a folder. `capabilities` are what the installation declares of its cluster. `halted`
    tells that policy or defaults cannot be used: then not even the installation's id is known.
    """

    policy: Policy
    sessions: tuple[Session, ...]
    broken: frozenset[SessionId]
    unreadable: frozenset[str]
    namespaces: frozenset[str]
    capabilities: Mapping[str, Any]
    halted: bool
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def assemble(results: Iterable[FileResult], folders: Iterable[str] = ()) -> Assembled:
    """Merge settings into sessions and find what no file can know of itself.

    `folders` are the first-level folders, empty ones included. The order of both is of no account.
    """
    files = sorted(results, key=lambda result: result.path)
    assembler = _Assembler(files)
    return assembler.assemble(folders)


class _Assembler:
    """One assembly of one tree."""

    def __init__(self, files: list[FileResult]) -> None:
        self._files = files
        self._policy = Policy()
        self._capabilities = built_in(CAPABILITIES)
        self._defaults = built_in(SESSION_SPEC)
        self._projects: dict[str, Mapping[str, Any]] = {}
        self._declared: dict[SessionId, list[Declared]] = defaultdict(list)
        self._problems: list[Problem] = []
        self._warnings: list[Problem] = [note for file in files for note in file.warnings]
        self._unreadable: set[str] = set()
        self._halted: set[str] = set()
        self._broken: set[SessionId] = set()

    def assemble(self, folders: Iterable[str]) -> Assembled:
        for file in self._files:
            self._take(file)
        self._settings()
        self._unlisted_folders()
        self._twice_declared()
        sessions = self._sessions()
        return Assembled(
            policy=self._policy,
            sessions=sessions,
            broken=frozenset(self._broken),
            unreadable=frozenset(self._unreadable),
            namespaces=self._policy.namespaces or _namespaces(folders),
            capabilities=self._capabilities,
            halted=WHOLE_TREE in self._halted,
            problems=tuple(sorted(self._problems)),
            warnings=tuple(sorted(self._warnings)),
        )

    def _take(self, file: FileResult) -> None:
        self._problems.extend(file.problems)
        match file.content:
            case Sessions(declared):
                for session in declared:
                    self._declared[session.id].append(session)
            case PolicyFile(policy):
                self._policy = policy
            case Unusable(names):
                self._doubt(file, names)
            case _:
                pass

    def _doubt(self, file: FileResult, names: frozenset[SessionId]) -> None:
        """A file with problems stops pruning where it counts, settings stop their sessions."""
        is_namespace = file.namespace and not folder_reason(file.namespace)
        scope = file.namespace if is_namespace else WHOLE_TREE
        self._unreadable.add(scope)
        if file.role in {Role.POLICY, Role.DEFAULTS, Role.PROJECT}:
            self._halted.add(scope)
        else:
            self._broken.update(names)

    def _settings(self) -> None:
        layers = {
            file.namespace: file.content.layer
            for file in self._files
            if isinstance(file.content, Settings)
        }
        installation = layers.pop(WHOLE_TREE, {})
        self._defaults = overlay(SESSION_SPEC, self._defaults, installation)
        self._capabilities = overlay(
            CAPABILITIES, self._capabilities, installation.get("capabilities", {})
        )
        self._projects = {
            namespace: overlay(SESSION_SPEC, self._defaults, layer)
            for namespace, layer in layers.items()
        }

    def _unlisted_folders(self) -> None:
        used = {file.namespace for file in self._files if file.role in _IN_FOLDERS}
        listed = self._policy.namespaces or used
        for folder in _namespaces(used - listed):
            message = "this namespace is not in `spec.namespaces` of policy.yaml: add it there"
            self._problems.append(Problem(f"{folder}/", 0, 0, "", message))
            self._unreadable.add(folder)
            self._halted.add(folder)

    def _twice_declared(self) -> None:
        for session, places in self._declared.items():
            if len(places) > 1:
                self._broken.add(session)
                self._unreadable.add(session.namespace)
                self._problems.extend(_twice(places))

    def _sessions(self) -> tuple[Session, ...]:
        usable = []
        for session, (declared, *_) in sorted(self._declared.items()):
            if session in self._broken or {WHOLE_TREE, session.namespace} & self._halted:
                self._broken.add(session)
            else:
                usable.append(self._session(declared))
        return tuple(session for session in usable if self._is_consistent(session))

    def _session(self, declared: Declared) -> Session:
        base = self._projects.get(declared.id.namespace, self._defaults)
        spec = {**overlay(SESSION_SPEC, base, declared.layer), "state": declared.state.value}
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
            strategy=Strategy(spec["update"]["strategy"]),
            labels=declared.labels,
            annotations=declared.annotations,
            spec=spec,
            digest=digest(seen),
        )

    def _is_consistent(self, session: Session) -> bool:
        self._warnings.extend(_at(session.origin, *doubt) for doubt in doubts(session.spec))
        reasons = contradictions(session.spec)
        for field, message in reasons:
            self._problems.append(_at(session.origin, field, message))
            self._unreadable.add(session.id.namespace)
            self._broken.add(session.id)
        return not reasons


def _twice(places: list[Declared]) -> Iterable[Problem]:
    for place in places:
        others = ", ".join(str(other.origin) for other in places if other is not place)
        yield _at(place.origin, "metadata.name", f"session {place.id} is declared twice: {others}")


def _at(origin: Origin, field: str, message: str) -> Problem:
    return Problem(origin.path, origin.line, origin.column, field, message)


def _namespaces(folders: Iterable[str]) -> frozenset[str]:
    return frozenset(folder for folder in folders if not folder_reason(folder))
