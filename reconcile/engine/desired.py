"""From text to desired state: parse, merge, render; what has not changed is not done again."""

from collections.abc import Mapping
from dataclasses import replace

from reconcile.core.errors import SpecError
from reconcile.core.manifest import find_clashes
from reconcile.core.model import Desired, Kind, Session, SessionId, Wanted
from reconcile.core.render.render import RenderResult, Surroundings, Unrendered, render
from reconcile.core.render.templates import Templates, compile_templates
from reconcile.core.spec.assemble import Assembled, assemble
from reconcile.core.spec.parse import FileResult, read_file
from reconcile.engine.ports import Tree, TreeFile

_ALWAYS = frozenset({Kind("v1", "ConfigMap")})
"""Records and inventories are ConfigMaps, whatever the templates are."""


class DesiredBuilder:
    """Builds desired state from trees, one revision after the other.

    It keeps what it made of the last tree: files by path and content, sessions by their digest.
    """

    def __init__(self, templates: Mapping[str, str]) -> None:
        self._templates: Templates = compile_templates(templates)
        self._files: dict[tuple[str, str, str], FileResult] = {}
        self._rendered: dict[tuple[str, SessionId, str], RenderResult] = {}
        self._last: tuple[tuple[tuple[str, str, str], ...], tuple[str, ...], Desired] | None = None

    def build(self, tree: Tree) -> Desired:
        """Build it; what is wrong with one session or namespace is in the result's problems.

        SpecError where nothing can be built: policy, defaults or a template cannot be used.
        """
        keys = tuple(_key(file) for file in tree.files)
        if self._last is not None and self._last[:2] == (keys, tree.folders):
            return replace(self._last[2], revision=tree.revision)
        self._files = {_key(file): self._read(file) for file in tree.files}
        assembled = assemble(self._files.values(), tree.folders)
        if assembled.halted or self._templates.problems:
            raise SpecError(tuple(sorted({*assembled.problems, *self._templates.problems})))
        desired = self._render(assembled, tree.revision)
        self._last = (keys, tree.folders, desired)
        return desired

    def _read(self, file: TreeFile) -> FileResult:
        known = self._files.get(_key(file))
        return known or read_file(file.path, file.content, file.problem)

    def _render(self, assembled: Assembled, revision: str) -> Desired:
        surroundings = Surroundings(assembled.policy.installation, assembled.capabilities)
        self._rendered = {
            (surroundings.installation, session.id, session.digest): self._rendering(
                session, surroundings
            )
            for session in assembled.sessions
        }
        results = self._rendered.values()
        wanted = [result for result in results if isinstance(result, Wanted)]
        failed = [result for result in results if isinstance(result, Unrendered)]
        clashes = find_clashes(wanted)
        broken = {result.session.id for result in failed} | clashes.keys()
        unreadable = {session.namespace for session in broken}
        problems = {problem for result in failed for problem in result.problems}
        return Desired(
            policy=assembled.policy,
            revision=revision,
            sessions=tuple(w for w in wanted if w.session.id not in clashes),
            kinds=self._templates.kinds | _ALWAYS,
            namespaces=assembled.namespaces,
            broken=assembled.broken | broken,
            unreadable=assembled.unreadable | unreadable,
            problems=tuple(sorted({*assembled.problems, *problems, *clashes.values()})),
            warnings=assembled.warnings,
        )

    def _rendering(self, session: Session, surroundings: Surroundings) -> RenderResult:
        known = self._rendered.get((surroundings.installation, session.id, session.digest))
        if known is None:
            return render(session, self._templates, surroundings)
        # The digest leaves out where the session is declared, which messages tell.
        moved = known.session.origin != session.origin
        return replace(known, session=session) if moved else known


def _key(file: TreeFile) -> tuple[str, str, str]:
    return file.path, file.digest, file.problem
