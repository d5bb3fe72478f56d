"""Builds desired state from text: parses, merges, renders; unchanged parts are reused."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeAlias, assert_never

from reconcile.core.errors import SpecError
from reconcile.core.manifest import find_duplicate_objects
from reconcile.core.model import (
    AllowRules,
    DesiredSession,
    DesiredState,
    Kind,
    ObjectMetadata,
    Session,
    SessionId,
)
from reconcile.core.render.render import RenderContext, RenderFailure, RenderResult, render_session
from reconcile.core.render.templates import Templates, compile_templates
from reconcile.core.spec.assemble import TreeSpec, assemble_tree
from reconcile.core.spec.declarations import (
    FileContent,
    FileResult,
    IgnoredFile,
    InvalidFile,
    PolicyFile,
    SessionDeclaration,
    SessionFile,
    SettingsFile,
)
from reconcile.core.spec.parse import parse_file
from reconcile.engine.ports import Tree, TreeFile

_ALWAYS_READ = frozenset({Kind("v1", "ConfigMap")})
"""Records and inventories are ConfigMaps, with any templates."""

_RenderKey: TypeAlias = tuple[str, SessionId, str, AllowRules]
"""Everything that the rendered objects of a session depend on, besides the templates."""


class DesiredBuilder:
    """Builds desired state from trees, one revision after the other.

    It keeps the results of the last tree: files by path and content, sessions by their digest.
    """

    def __init__(self, templates: Mapping[str, str]) -> None:
        self._templates: Templates = compile_templates(templates)
        self._files: dict[tuple[str, str, str], FileResult] = {}
        self._rendered: dict[_RenderKey, RenderResult] = {}
        self._last: (
            tuple[tuple[tuple[str, str, str], ...], tuple[str, ...], DesiredState] | None
        ) = None

    def build(self, tree: Tree) -> DesiredState:
        """Build desired state; problems of one session or namespace are part of the result.

        SpecError if nothing can be built: policy, defaults or a template cannot be used.
        """
        keys = tuple(_file_key(file) for file in tree.files)
        if self._last is not None and self._last[:2] == (keys, tree.folders):
            return replace(self._last[2], revision=tree.revision)
        self._files = {_file_key(file): self._read_file(file) for file in tree.files}
        assembled = assemble_tree(self._files.values(), tree.folders)
        if assembled.is_unusable or self._templates.problems:
            raise SpecError(tuple(sorted({*assembled.problems, *self._templates.problems})))
        desired = self._render_sessions(assembled, tree.revision)
        self._last = (keys, tree.folders, desired)
        return desired

    def iter_declared(self) -> Iterator[Any]:
        """Yield what the files of the last tree declare, also broken ones, and all Secrets.

        A masker must know the secrets of all of them before anything is shown.
        """
        for file in self._files.values():
            yield from iter_declared_values(file.content)
        for result in self._rendered.values():
            if isinstance(result, DesiredSession):
                yield from (each.body for each in result.manifests if each.ref.kind == "Secret")

    def iter_unread(self, tree: Tree, is_wanted: Callable[[str], bool]) -> Iterator[Any]:
        """Yield what those files of a tree declare that were not in the last tree, if wanted."""
        for file in tree.files:
            if _file_key(file) not in self._files and is_wanted(
                file.content.decode(errors="replace")
            ):
                yield from iter_declared_values(self._read_file(file).content)

    def _read_file(self, file: TreeFile) -> FileResult:
        parsed = self._files.get(_file_key(file))
        return parsed or parse_file(file.path, file.content, file.problem)

    def _render_sessions(self, assembled: TreeSpec, revision: str) -> DesiredState:
        context = RenderContext(assembled.policy, assembled.capabilities)
        self._rendered = {
            _render_key(session, context): self._render_session(session, context)
            for session in assembled.sessions
        }
        results = self._rendered.values()
        wanted = [result for result in results if isinstance(result, DesiredSession)]
        failed = [result for result in results if isinstance(result, RenderFailure)]
        duplicates = find_duplicate_objects(wanted)
        broken = {result.session.id for result in failed} | duplicates.keys()
        unreadable = {session.namespace for session in broken}
        problems = {problem for result in failed for problem in result.problems}
        return DesiredState(
            policy=assembled.policy,
            revision=revision,
            sessions=tuple(w for w in wanted if w.session.id not in duplicates),
            kinds=self._templates.kinds | _ALWAYS_READ,
            namespaces=assembled.namespaces,
            broken=assembled.broken | broken,
            unreadable=assembled.unreadable | unreadable,
            problems=tuple(sorted({*assembled.problems, *problems, *duplicates.values()})),
            warnings=assembled.warnings,
            metadata=assembled.metadata,
        )

    def _render_session(self, session: Session, context: RenderContext) -> RenderResult:
        previous = self._rendered.get(_render_key(session, context))
        if previous is None:
            return render_session(session, self._templates, context)
        # The digest leaves out where the session is declared, which messages name.
        is_moved = previous.session.origin != session.origin
        return replace(previous, session=session) if is_moved else previous


def _render_key(session: Session, context: RenderContext) -> _RenderKey:
    rules = context.policy.allow_rules(session.id.namespace)
    return context.installation, session.id, session.digest, rules


def _file_key(file: TreeFile) -> tuple[str, str, str]:
    return file.path, file.digest, file.problem


def iter_declared_values(content: FileContent) -> Iterator[Any]:
    """Yield what a file declares, as objects: a masker learns their secrets."""
    match content:
        case SessionFile(declarations):
            yield from map(_build_object, declarations)
        case SettingsFile(layer, metadata=metadata):
            yield {"metadata": _build_maps(metadata), "spec": layer}
        case InvalidFile(documents=documents):
            yield from documents
        case PolicyFile() | IgnoredFile():
            pass
        case _:
            assert_never(content)


def _build_object(session: SessionDeclaration) -> Mapping[str, Any]:
    names = {"namespace": session.id.namespace, "name": session.id.name}
    return {"metadata": {**names, **_build_maps(session.metadata)}, "spec": session.layer}


def _build_maps(metadata: ObjectMetadata) -> Mapping[str, Mapping[str, str]]:
    return {"labels": metadata.labels, "annotations": metadata.annotations}
