"""Parses one file of the desired tree into what it declares, or into all its problems.

The result depends only on path and content, so that it can be cached.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from reconcile.core.errors import Problem, SpecError
from reconcile.core.model import (
    AllowRules,
    Budget,
    ObjectMetadata,
    OnConflict,
    Origin,
    Policy,
    SessionId,
    SessionState,
)
from reconcile.core.source_location import DocumentPath, Positions
from reconcile.core.spec.bounds import build_allow_rules
from reconcile.core.spec.declarations import (
    FileContent,
    FileResult,
    IgnoredFile,
    InvalidFile,
    NullFields,
    Places,
    PolicyFile,
    SessionDeclaration,
    SessionFile,
    SettingsFile,
)
from reconcile.core.spec.exports import (
    adopt_old_repos,
    expand_list,
    find_outputs,
    infer_state,
    leave_out_platform_annotations,
    strip_last_applied,
)
from reconcile.core.spec.field_types import (
    PLATFORM_ONLY,
    find_near_name,
    suggest_name,
    yaml_type_name,
)
from reconcile.core.spec.formats import SESSION_NAME
from reconcile.core.spec.kinds import KINDS, POLICY_SPEC, SESSION_KIND
from reconcile.core.spec.layers import STATE_DIR_VARIABLE, default_values, merge_layer
from reconcile.core.spec.layout import (
    HIDDEN_SESSION,
    KIND_OF_ROLE,
    LOCATION_OF_KIND,
    REFUSED_NAME,
    FileRole,
    classify_file,
    find_folder_error,
    is_hidden,
    namespace_of,
)
from reconcile.core.spec.validate import MAX_FILE_PROBLEMS, Validator
from reconcile.core.yaml_loader import decode_utf8, load_documents

_SPEC: Final = ("spec",)


def build_policy(layer: Mapping[str, Any]) -> Policy:
    """Build the policy with defaults for what the file does not set; `layer` must be valid."""
    spec = merge_layer(POLICY_SPEC, default_values(POLICY_SPEC), layer)
    rules = layer.get("allow", {})
    allow = build_allow_rules(rules, AllowRules())
    return Policy(
        installation=spec["installation"],
        namespaces=frozenset(spec["namespaces"]),
        deletes=_build_budget(spec["budgets"]["deletes"]),
        restarts=_build_budget(spec["budgets"]["restarts"]),
        allow_deletes=frozenset(spec["allowDeletes"]),
        allow_restarts=frozenset(spec["allowRestarts"]),
        allow_empty=spec["allowEmpty"],
        on_conflict=OnConflict(spec["onConflict"]),
        mask=tuple(spec["mask"]),
        has_allow_rules="allow" in layer,
        allow=allow,
        allow_in_namespaces={
            namespace: build_allow_rules(changes, allow)
            for namespace, changes in rules.get("namespaces", {}).items()
            if changes is not None
        },
    )


def _build_budget(spec: Mapping[str, int]) -> Budget:
    return Budget(percent=spec["percent"], at_least=spec["atLeast"])


def parse_file(path: str, content: bytes, problem: str = "") -> FileResult:
    """Parse one file of the desired tree; never raises.

    `path` is relative to the tree. `problem` says why the content could not be read, or is
    empty.
    """
    role = classify_file(path)
    if _is_ignored(path, role, content, problem):
        return FileResult(path, namespace_of(path), role, IgnoredFile())
    if reason := problem or _find_place_error(path, role):
        return _invalid_result(path, role, (Problem(path, 0, 0, "", reason),))
    try:
        documents = _load_parts(path, content)
    except SpecError as error:
        return _invalid_result(path, role, error.problems)
    return _FileParser(path, role).parse(documents)


def _is_ignored(path: str, role: FileRole, content: bytes, problem: str) -> bool:
    if role is FileRole.HIDDEN:
        return SESSION_KIND.encode() not in content
    return role is FileRole.IGNORED and (not problem or is_hidden(path))


def _find_place_error(path: str, role: FileRole) -> str:
    match role:
        case FileRole.REFUSED:
            return REFUSED_NAME
        case FileRole.HIDDEN:
            return HIDDEN_SESSION
        case FileRole.MISPLACED:
            return _misplaced_error(path)
        case _:
            return find_folder_error(namespace_of(path))


def _misplaced_error(path: str) -> str:
    known = ("policy", "defaults")
    stem = path.rpartition(".")[0]
    # Without the suffix, which all of them share: `s1.yaml` is not like `defaults.yaml`.
    hint = f"; did you mean `{near}.yaml`?" if (near := find_near_name(stem, known)) else ""
    return f"is not read here: sessions belong in a folder with the name of their namespace{hint}"


def _invalid_result(path: str, role: FileRole, problems: tuple[Problem, ...]) -> FileResult:
    return FileResult(path, namespace_of(path), role, InvalidFile(frozenset()), problems)


@dataclass(frozen=True, slots=True)
class _DocumentPart:
    """One document, or one item of an exported list, at `path` in its file."""

    value: Any
    path: DocumentPath
    positions: Positions


def _load_parts(path: str, content: bytes) -> list[_DocumentPart]:
    parts: list[_DocumentPart] = []
    for document in load_documents(decode_utf8(content, path), path):
        if document.value is not None:
            parts.extend(
                _DocumentPart(value, at, document.positions)
                for at, value in expand_list(document.value)
            )
    if not parts:
        message = "has no document: delete the file if it should not declare anything"
        raise SpecError((Problem(path, 0, 0, "", message),))
    return parts


class _FileParser:
    """Parses the documents of one file and collects their problems."""

    def __init__(self, path: str, role: FileRole) -> None:
        self._path = path
        self._role = role
        self._namespace = namespace_of(path)
        self._problems: list[Problem] = []
        self._warnings: list[Problem] = []
        self._session_ids: set[SessionId] = set()
        self._parsed: list[Any] = []

    def parse(self, parts: list[_DocumentPart]) -> FileResult:
        for part in parts:
            self._parse_part(part)
        if self._role is not FileRole.SESSIONS and len(parts) > 1:
            self._problems.append(self._single_document_problem(parts[1]))
        content = (
            InvalidFile(frozenset(self._session_ids), tuple(part.value for part in parts))
            if self._problems
            else self._build_content()
        )
        problems, warnings = (
            self._limit_problems(self._problems),
            self._limit_problems(self._warnings),
        )
        return FileResult(self._path, self._namespace, self._role, content, problems, warnings)

    def _limit_problems(self, notes: list[Problem]) -> tuple[Problem, ...]:
        reported = sorted(notes)[:MAX_FILE_PROBLEMS]
        if len(notes) > len(reported):
            more = f"and {len(notes) - len(reported)} more like these"
            reported.append(Problem(self._path, 0, 0, "", more))
        return tuple(reported)

    def _build_content(self) -> FileContent:
        match self._role:
            case FileRole.SESSIONS:
                return SessionFile(tuple(self._parsed))
            case FileRole.POLICY:
                return PolicyFile(build_policy(self._parsed[0].layer))
            case _:
                content: SettingsFile = self._parsed[0]
                return content

    def _single_document_problem(self, second: _DocumentPart) -> Problem:
        message = "may hold one document only"
        return Problem(self._path, *second.positions.value(second.path), "", message)

    def _parse_part(self, part: _DocumentPart) -> None:
        is_defaults = self._role is FileRole.DEFAULTS
        validator = Validator(self._path, part.positions, may_set_reserved=is_defaults)
        identity = self._find_session_ids(part)
        self._session_ids.update(identity)
        kind = self._check_kind(part, validator)
        if kind:
            self._parse_document(kind, part, validator)
        self._problems.extend(validator.problems)
        self._warnings.extend(validator.warnings)

    def _find_session_ids(self, part: _DocumentPart) -> set[SessionId]:
        metadata = part.value.get("metadata") if isinstance(part.value, dict) else None
        name = metadata.get("name") if isinstance(metadata, dict) else None
        is_name = isinstance(name, str) and not SESSION_NAME.find_error(name)
        return {SessionId(self._namespace, str(name))} if is_name else set()

    def _check_kind(self, part: _DocumentPart, validator: Validator) -> str:
        """The document's kind if this file may contain it, else an empty text and a problem."""
        if not isinstance(part.value, dict):
            validator.add_problem(
                part.path, f"a document must be a mapping, not {yaml_type_name(part.value)}"
            )
            return ""
        expected = KIND_OF_ROLE[self._role]
        kind = part.value.get("kind")
        if kind == expected:
            return expected
        at = (*part.path, "kind")
        if not isinstance(kind, str):
            validator.add_problem(at, f"must be {expected}")
        elif kind in KINDS:
            validator.add_problem(
                at, f"must be {expected} here: {kind} belongs in {LOCATION_OF_KIND[kind]}"
            )
        else:
            validator.add_problem(
                at, f"unknown kind: must be {expected}{suggest_name(kind, KINDS)}"
            )
        return ""

    def _parse_document(self, kind: str, part: _DocumentPart, validator: Validator) -> None:
        value = strip_last_applied(part.value)
        if kind == SESSION_KIND:
            value = adopt_old_repos(value)
            self._warn_of_outputs(part, validator)
        layer = validator.validate(KINDS[kind], value, part.path)
        self._check_namespace(part, validator)
        if validator.problems:
            return
        self._warn_of_null_metadata(part, layer, validator)
        below = len(part.path) + len(_SPEC)
        nulls = tuple(
            (at[below:], note)
            for at, note in validator.nulls
            if at[len(part.path) : below] == _SPEC and at[below:]
        )
        spec = layer.get("spec", {})
        places = _find_places(part, spec)
        self._parsed.append(
            self._build_declaration(part, layer, places, nulls)
            if kind == SESSION_KIND
            else SettingsFile(spec, nulls, places, _build_metadata(layer.get("metadata", {})))
        )

    def _warn_of_null_metadata(
        self, part: _DocumentPart, layer: Mapping[str, Any], validator: Validator
    ) -> None:
        for field in ("labels", "annotations"):
            for key, value in layer.get("metadata", {}).get(field, {}).items():
                if value is None:
                    at = (*part.path, "metadata", field, key)
                    validator.add_warning(at, _NULL_METADATA)

    def _warn_of_outputs(self, part: _DocumentPart, validator: Validator) -> None:
        for below in find_outputs(part.value):
            validator.add_warning((*part.path, *below), PLATFORM_ONLY)

    def _check_namespace(self, part: _DocumentPart, validator: Validator) -> None:
        metadata = part.value.get("metadata")
        given = metadata.get("namespace") if isinstance(metadata, dict) else None
        if self._namespace and given is not None and given != self._namespace:
            message = (
                f"must be {self._namespace}, the folder's name: move the file or remove this line"
            )
            validator.add_problem((*part.path, "metadata", "namespace"), message)

    def _build_declaration(
        self, part: _DocumentPart, layer: Mapping[str, Any], places: Places, nulls: NullFields
    ) -> SessionDeclaration:
        metadata, spec = _build_metadata(layer["metadata"]), layer.get("spec", {})
        state = (
            SessionState(spec["state"])
            if "state" in spec
            else infer_state(metadata.annotations, part.value)
        )
        return SessionDeclaration(
            SessionId(self._namespace, layer["metadata"]["name"]),
            Origin(self._path, *part.positions.value(part.path)),
            state,
            leave_out_platform_annotations(metadata),
            spec,
            places,
            nulls,
        )


_COMPARED: Final = (
    "activeWorkflow",
    "autoPushOnComplete",
    "credentials",
    "inactivityTimeout",
    "inactivityTimeoutSeconds",
    "interactive",
    "llmSettings",
    "mirror",
    "onInterruptedRun",
    "onPrepareFailure",
    "repos",
    "runner",
    "runnerSecretsName",
    "stopOnRunFinished",
    "storage",
    "timeout",
)


def _find_places(part: _DocumentPart, spec: Mapping[str, Any]) -> Places:
    """Find the positions of settings that may contradict another one."""
    chosen = {name: spec[name] for name in _COMPARED if name in spec}
    variables = spec.get("environmentVariables", {})
    if STATE_DIR_VARIABLE in variables:
        chosen["environmentVariables"] = {STATE_DIR_VARIABLE: None}
    at = (*part.path, "spec")
    return {path: part.positions.key((*at, *path)) for path in _leaf_paths(chosen, ())}


def _leaf_paths(value: Any, path: DocumentPath) -> Iterator[DocumentPath]:
    if isinstance(value, dict):
        for name, child in value.items():
            yield from _leaf_paths(child, (*path, name))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _leaf_paths(child, (*path, index))
    else:
        yield path


_NULL_METADATA: Final = "null has no effect: what defaults.yaml sets for all objects stays"


def _build_metadata(layer: Mapping[str, Any]) -> ObjectMetadata:
    """Build labels and annotations without nulls, which cannot take back those of all objects."""
    labels, annotations = (
        {name: value for name, value in layer.get(field, {}).items() if value is not None}
        for field in ("labels", "annotations")
    )
    return ObjectMetadata(labels, annotations)
