"""From text to desired state: parse, merge, render; what has not changed is not done again."""

from collections.abc import Mapping
from dataclasses import replace

from reconcile.core.errors import SpecError
from reconcile.core.manifest import find_duplicate_objects
from reconcile.core.model import DesiredSession, DesiredState, Kind, Session, SessionId
from reconcile.core.render.render import RenderContext, RenderFailure, RenderResult, render_session
from reconcile.core.render.templates import Templates, compile_templates
from reconcile.core.spec.assemble import TreeSpec, assemble_tree
from reconcile.core.spec.parse import FileResult, parse_file
from reconcile.engine.ports import Tree, TreeFile

_ALWAYS_READ = frozenset({Kind("v1", "ConfigMap")})
"""Records and inventories are ConfigMaps, whatever the templates are."""


class DesiredBuilder:
    """Builds desired state from trees, one revision after the other.

    It keeps what it made of the last tree: files by path and content, sessions by their digest.
    """

    def __init__(self, templates: Mapping[str, str]) -> None:
        self._templates: Templates = compile_templates(templates)
        self._files: dict[tuple[str, str, str], FileResult] = {}
        self._rendered: dict[tuple[str, SessionId, str], RenderResult] = {}
        self._last: (
            tuple[tuple[tuple[str, str, str], ...], tuple[str, ...], DesiredState] | None
        ) = None

    def build(self, tree: Tree) -> DesiredState:
        """Build it; what is wrong with one session or namespace is in the result's problems.

        SpecError where nothing can be built: policy, defaults or a template cannot be used.
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

    def _read_file(self, file: TreeFile) -> FileResult:
        known = self._files.get(_file_key(file))
        return known or parse_file(file.path, file.content, file.problem)

    def _render_sessions(self, assembled: TreeSpec, revision: str) -> DesiredState:
        surroundings = RenderContext(assembled.policy.installation, assembled.capabilities)
        self._rendered = {
            (surroundings.installation, session.id, session.digest): self._render_session(
                session, surroundings
            )
            for session in assembled.sessions
        }
        results = self._rendered.values()
        wanted = [result for result in results if isinstance(result, DesiredSession)]
        failed = [result for result in results if isinstance(result, RenderFailure)]
        clashes = find_duplicate_objects(wanted)
        broken = {result.session.id for result in failed} | clashes.keys()
        unreadable = {session.namespace for session in broken}
        problems = {problem for result in failed for problem in result.problems}
        return DesiredState(
            policy=assembled.policy,
            revision=revision,
            sessions=tuple(w for w in wanted if w.session.id not in clashes),
            kinds=self._templates.kinds | _ALWAYS_READ,
            namespaces=assembled.namespaces,
            broken=assembled.broken | broken,
            unreadable=assembled.unreadable | unreadable,
            problems=tuple(sorted({*assembled.problems, *problems, *clashes.values()})),
            warnings=assembled.warnings,
        )

    def _render_session(self, session: Session, surroundings: RenderContext) -> RenderResult:
        known = self._rendered.get((surroundings.installation, session.id, session.digest))
        if known is None:
            return render_session(session, self._templates, surroundings)
        # The digest leaves out where the session is declared, which messages tell.
        moved = known.session.origin != session.origin
        return replace(known, session=session) if moved else known


def _file_key(file: TreeFile) -> tuple[str, str, str]:
    return file.path, file.digest, file.problem
