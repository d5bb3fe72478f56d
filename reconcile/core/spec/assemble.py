"""Assembles the files of a tree into its sessions, their settings, problems and warnings."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from reconcile.core.canonical_json import compute_digest
from reconcile.core.errors import Problem
from reconcile.core.model import (
    ObjectMetadata,
    Policy,
    Session,
    SessionId,
    UpdateStrategy,
)
from reconcile.core.source_location import DocumentPath, format_document_path
from reconcile.core.spec.bounds import (
    Wish,
    find_bound_violations,
    find_metadata_violations,
    find_peer_wishes,
    find_pod_wishes,
    find_storage_secrets,
    find_wishes,
)
from reconcile.core.spec.consistency import (
    Finding,
    find_contradictions,
    find_spec_warnings,
    find_unread_settings,
    is_agent_idle,
    is_image_missing,
)
from reconcile.core.spec.declarations import (
    FileResult,
    InvalidFile,
    NullFields,
    Places,
    PolicyFile,
    SessionDeclaration,
    SessionFile,
    SettingsFile,
)
from reconcile.core.spec.kinds import CAPABILITIES
from reconcile.core.spec.layers import default_values, merge_layer
from reconcile.core.spec.layout import (
    WHOLE_TREE,
    FileRole,
    find_folder_error,
    is_settings_name,
)
from reconcile.core.spec.places import build_finding_problem, build_problem
from reconcile.core.spec.resolve import build_project_layer, resolve_spec
from reconcile.core.spec.session_fields import SESSION_SPEC

_NAMESPACED_ROLES = {FileRole.SESSIONS, FileRole.PROJECT}


@dataclass(frozen=True, slots=True)
class TreeSpec:
    """What the files of one tree declare.

    `sessions` are valid; `broken` are declared, but invalid. `unreadable` are the namespaces in
    which nothing may be pruned; the empty string stands for all. `namespaces` are the policy's, or
    those that have a folder. `capabilities` are what the installation declares of its cluster,
    `metadata` what all objects get. `is_unusable` means that policy or defaults are invalid: then
    not even the installation's id is known.
    """

    policy: Policy
    sessions: tuple[Session, ...]
    broken: frozenset[SessionId]
    unreadable: frozenset[str]
    namespaces: frozenset[str]
    capabilities: Mapping[str, Any]
    metadata: ObjectMetadata
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
        self._metadata = ObjectMetadata()
        self._defaults = default_values(SESSION_SPEC)
        self._projects: dict[str, Mapping[str, Any]] = {}
        self._runner_secrets: dict[str, str] = {}
        self._settings: dict[str, tuple[str, Places]] = {}
        self._declared: dict[SessionId, list[SessionDeclaration]] = defaultdict(list)
        self._problems: list[Problem] = []
        self._warnings: list[Problem] = [note for file in files for note in file.warnings]
        self._unreadable: set[str] = set()
        self._unusable: set[str] = set()
        self._broken: set[SessionId] = set()
        self._without_image: list[SessionId] = []
        self._idle: list[SessionId] = []

    def assemble(self, folders: Iterable[str]) -> TreeSpec:
        for file in self._files:
            self._add_file(file)
        self._merge_settings()
        self._find_missing_rules()
        self._find_unlisted_folders()
        self._find_nested_folders()
        self._find_duplicates()
        sessions = self._build_sessions()
        self._find_missing_image()
        self._find_unread_settings()
        return TreeSpec(
            policy=self._policy,
            sessions=sessions,
            broken=frozenset(self._broken),
            unreadable=frozenset(self._unreadable),
            namespaces=self._policy.namespaces or _valid_namespaces(folders),
            capabilities=self._capabilities,
            metadata=self._metadata,
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
            case SettingsFile(metadata=metadata) if file.role is FileRole.DEFAULTS:
                self._metadata = metadata
            case InvalidFile(names):
                self._mark_unreadable(file, names)
            case _:
                pass

    def _mark_unreadable(self, file: FileResult, names: frozenset[SessionId]) -> None:
        """An invalid file stops pruning; invalid settings also make their sessions unusable."""
        is_namespace = file.namespace and not find_folder_error(file.namespace)
        scope = file.namespace if is_namespace else WHOLE_TREE
        self._unreadable.add(scope)
        if is_settings_name(file.path):
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
            namespace: merge_layer(SESSION_SPEC, self._defaults, build_project_layer(layer))
            for namespace, layer in layers.items()
        }
        self._runner_secrets = {
            namespace: layer["runnerSecretsName"]
            for namespace, layer in layers.items()
            if "runnerSecretsName" in layer
        }
        for namespace, spec in self._projects.items():
            self._warnings.extend(
                Problem(f"{namespace}/project.yaml", 0, 0, *wish)
                for wish in self._find_project_wishes(spec)
            )
        for file in self._files:
            if isinstance(file.content, SettingsFile) and file.role is FileRole.PROJECT:
                self._warn_of_nulls(file.content.nulls, self._defaults)

    def _find_project_wishes(self, spec: Mapping[str, Any]) -> Iterator[Wish]:
        """A project may name Secrets of its namespace."""
        yield from find_peer_wishes(spec, self._defaults)
        if not self._policy.has_allow_rules:
            yield from find_pod_wishes(spec["runner"], self._defaults["runner"])

    def _find_session_wishes(self, session: Session) -> Iterator[Wish]:
        base = self._base_of(session.id)
        yield from find_peer_wishes(session.spec, base)
        if not self._policy.has_allow_rules:
            (declared, *_) = self._declared[session.id]
            known = resolve_spec(base, self._runner_secrets.get(session.id.namespace))
            yield from find_wishes(declared.metadata, session.spec, known)

    def _find_missing_rules(self) -> None:
        if self._declared and not self._policy.has_allow_rules:
            message = (
                "is missing: session files may name every image, Secret, priority class and node; "
                "docs/security.md describes the rules"
            )
            self._warnings.append(Problem("policy.yaml", 0, 0, "spec.allow", message))

    def _find_unlisted_folders(self) -> None:
        used = {file.namespace for file in self._files if file.role in _NAMESPACED_ROLES}
        listed = self._policy.namespaces or used
        for folder in _valid_namespaces(used - listed):
            message = "this namespace is not in `spec.namespaces` of policy.yaml: add it there"
            self._refuse_folder(folder, folder, message)

    def _find_nested_folders(self) -> None:
        """Without a list of namespaces, a parent of the folder of session files looks like one."""
        if self._policy.namespaces:
            return
        nested = {file.path.rpartition("/")[0] for file in self._files if _is_nested(file)}
        for folder in sorted(nested):
            namespace = folder.partition("/")[0]
            message = (
                f"is it a namespace, in the folder of session files `{namespace}`? Then name that "
                f"folder; if `{namespace}` is the namespace, list it in `spec.namespaces` of "
                "policy.yaml"
            )
            self._refuse_folder(namespace, folder, message)

    def _refuse_folder(self, namespace: str, folder: str, message: str) -> None:
        self._problems.append(Problem(f"{folder}/", 0, 0, "", message))
        self._unreadable.add(namespace)
        self._unusable.add(namespace)

    def _find_duplicates(self) -> None:
        for session, places in self._declared.items():
            if len(places) > 1:
                self._broken.add(session)
                self._unreadable.add(session.namespace)
                self._problems.extend(_duplicate_problems(places))

    def _find_missing_image(self) -> None:
        add = (
            "is missing: add the line `image: <registry>/<name>:<tag>` to `spec` of defaults.yaml, "
            "the image with `reconcile-runner` and `reconcile-mirror`"
        )
        if self._without_image:
            message = f"{add}; needed by {_count_sessions(self._without_image)}"
            self._problems.append(Problem(_DEFAULTS, 0, 0, "spec.image", message))
        if self._idle:
            message = (
                f"{add}: without it no repository is cloned and no prompt is delivered, so the "
                f"agent of {_count_sessions(self._idle)} does nothing"
            )
            self._warnings.append(Problem(_DEFAULTS, 0, 0, "spec.image", message))

    def _find_unread_settings(self) -> None:
        """Report each setting once, in the file that sets it."""
        for at, (path, places) in self._settings.items():
            spec = self._projects.get(at, self._defaults)
            self._warn_of_unread(path, places, spec["runner"]["protocol"])
        for session, declarations in self._declared.items():
            inherited = self._base_of(session)["runner"]["protocol"]
            for each in declarations:
                protocol = each.layer.get("runner", {}).get("protocol", inherited)
                self._warn_of_unread(each.origin.path, each.places, protocol)

    def _warn_of_unread(self, path: str, places: Places, protocol: str) -> None:
        for setting, position, message in find_unread_settings(places, protocol):
            field = format_document_path(("spec", *setting))
            self._warnings.append(Problem(path, *position, field, message))

    def _build_sessions(self) -> tuple[Session, ...]:
        usable = []
        for session, (declared, *_) in sorted(self._declared.items()):
            if session in self._broken or {WHOLE_TREE, session.namespace} & self._unusable:
                self._broken.add(session)
            else:
                usable.append(self._build_session(declared))
        secrets = _find_namespace_secrets(usable)
        return tuple(
            session
            for session in usable
            if self._check_consistency(session, secrets[session.id.namespace])
        )

    def _base_of(self, session: SessionId) -> Mapping[str, Any]:
        return self._projects.get(session.namespace, self._defaults)

    def _build_session(self, declared: SessionDeclaration) -> Session:
        base = self._base_of(declared.id)
        self._warn_of_nulls(declared.nulls, base)
        merged = merge_layer(SESSION_SPEC, base, declared.layer)
        secret = self._runner_secrets.get(declared.id.namespace)
        spec = {**resolve_spec(merged, secret), "state": declared.state.value}
        labels = {**self._metadata.labels, **declared.metadata.labels}
        annotations = {**self._metadata.annotations, **declared.metadata.annotations}
        seen = {
            "namespace": declared.id.namespace,
            "name": declared.id.name,
            "labels": labels,
            "annotations": annotations,
            "spec": spec,
            "capabilities": self._capabilities,
        }
        return Session(
            id=declared.id,
            origin=declared.origin,
            state=declared.state,
            strategy=UpdateStrategy(spec["update"]["strategy"]),
            labels=labels,
            annotations=annotations,
            spec=spec,
            digest=compute_digest(seen),
        )

    def _warn_of_nulls(self, nulls: NullFields, base: Mapping[str, Any]) -> None:
        """Warn of fields that are null although another file sets a value for them."""
        for path, warning in nulls:
            if _value_at(base, path) != _value_at(_BUILT_IN, path):
                self._warnings.append(warning)

    def _check_consistency(self, session: Session, storage_secrets: Collection[str]) -> bool:
        wishes = self._find_session_wishes(session)
        self._warnings.extend(
            self._problem_of(session, finding) for finding in find_spec_warnings(session.spec)
        )
        self._warnings.extend(build_problem(session.origin, *wish) for wish in wishes)
        problems = [
            *(self._problem_of(session, each) for each in find_contradictions(session.spec)),
            *self._find_bound_problems(session, storage_secrets),
        ]
        self._problems += problems
        if is_image_missing(session.spec):
            self._without_image.append(session.id)
        elif is_agent_idle(session.spec):
            self._idle.append(session.id)
        if problems or is_image_missing(session.spec):
            self._unreadable.add(session.id.namespace)
            self._broken.add(session.id)
        return session.id not in self._broken

    def _find_bound_problems(
        self, session: Session, storage_secrets: Collection[str]
    ) -> Iterator[Problem]:
        rules = self._policy.allow_rules(session.id.namespace)
        (declared, *_) = self._declared[session.id]
        for path, message in find_metadata_violations(declared.metadata, rules):
            yield build_problem(session.origin, format_document_path(path), message)
        for path, message in find_bound_violations(session, rules, storage_secrets):
            # A project's `runnerSecretsName` adds an item to this list.
            cause = ("runnerSecretsName",) if path[:3] == ("spec", "runner", "envFrom") else ()
            yield self._problem_of(session, Finding((path[1:],), message, cause))

    def _problem_of(self, session: Session, finding: Finding) -> Problem:
        (declared, *_) = self._declared[session.id]
        settings = [
            self._settings[at] for at in (session.id.namespace, WHOLE_TREE) if at in self._settings
        ]
        return build_finding_problem(finding, declared, settings)


def _count_sessions(sessions: list[SessionId]) -> str:
    first, *others = map(str, sessions)
    return f"session {first}" + (f" and {len(others)} more" if others else "")


def _find_namespace_secrets(sessions: Iterable[Session]) -> Mapping[str, set[str]]:
    """Collect the Secrets with keys of the store that the sessions of each namespace name."""
    secrets: dict[str, set[str]] = defaultdict(set)
    for session in sessions:
        secrets[session.id.namespace] |= find_storage_secrets(session.spec)
    return secrets


_DEFAULTS: Final = "defaults.yaml"
_BUILT_IN: Final = default_values(SESSION_SPEC)


def _value_at(values: Any, path: DocumentPath) -> Any:
    for step in path:
        values = values.get(step) if isinstance(values, Mapping) else None
    return values


def _duplicate_problems(places: list[SessionDeclaration]) -> Iterable[Problem]:
    for place in places:
        others = ", ".join(str(other.origin) for other in places if other is not place)
        yield build_problem(
            place.origin, "metadata.name", f"session {place.id} is declared twice: {others}"
        )


def _is_nested(file: FileResult) -> bool:
    is_deep = file.role is FileRole.SESSIONS and file.path.count("/") > 1
    return is_deep and not find_folder_error(file.namespace)


def _valid_namespaces(folders: Iterable[str]) -> frozenset[str]:
    return frozenset(folder for folder in folders if not find_folder_error(folder))
