"""What one revision changes against another, reading no more of both than that takes.

How much of two trees must be read to know what one changes against the other.

Files that are the same on both sides are left out for as long as the answer cannot depend on them.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from reconcile.core.changes import Change, Hold, HoldReason, Plan
from reconcile.core.errors import Problem, SpecError
from reconcile.core.model import DesiredState, SessionId
from reconcile.core.plan.offline import find_lost_namespaces, plan_offline
from reconcile.core.plan.policy import is_prune
from reconcile.core.render.render import find_possible_name_conflicts
from reconcile.core.spec.layout import (
    WHOLE_TREE,
    FileRole,
    classify_file,
    find_folder_error,
    namespace_of,
)
from reconcile.engine.desired import DesiredBuilder
from reconcile.engine.ports import Tree, TreeFile

_BATCH_SIZE: Final = 32

# YAML spells a name otherwise than letter by letter in double quotes only, by these escapes or by
# an escaped end of line. A tag is refused, an alias has its text in the same file, and a line that
# is folded gets a space, which no name has.
_ESCAPED_NAME: Final = re.compile(rb"\\(?:[xuU\r\n]|\xc2\x85|\xe2\x80[\xa8\xa9])")


class FileSelection:
    """The files of two trees that are read; it only grows.

    `standard_names` tells that templates name objects as `namesakes` expects. Without that any session of
    a namespace may have an object's name, so that its namespace is read as a whole.
    """

    def __init__(self, old: Tree, new: Tree, *, standard_names: bool) -> None:
        self._trees = ({file.path: file for file in old.files}, {f.path: f for f in new.files})
        self._standard_names = standard_names
        self._known_names: dict[str, set[str]] = {}
        paths = sorted(self._trees[0].keys() | self._trees[1].keys())
        self._selected = {path for path in paths if self._is_changed(path)}
        self._unselected = [path for path in paths if path not in self._selected]
        self._select_dependents()

    @property
    def is_complete(self) -> bool:
        """Whether everything is read."""
        return not self._unselected

    def filter_tree(self, tree: Tree) -> Tree:
        """The part of a side that is read."""
        files = tuple(
            file for file in tree.files if file.path in self._selected or _is_always_read(file)
        )
        return replace(tree, files=files)

    def select_all(self) -> None:
        """Read everything."""
        self._select(self._unselected)

    def select_namespaces(self, namespaces: Iterable[str]) -> bool:
        """Read these namespaces as a whole; tells whether that is more than before."""
        wanted = set(namespaces)
        return self._select([path for path in self._unselected if namespace_of(path) in wanted])

    def select_related(self, sessions: Iterable[SessionId]) -> bool:
        """Read what may declare one of these sessions too, or have an object of the same name.

        Tells whether that is more than before.
        """
        return self._select(list(self._find_related(self._new_names(sessions))))

    def select_more(self) -> None:
        """Read some more sessions, about as many as are read already."""
        sessions = [path for path in self._unselected if classify_file(path) is FileRole.SESSIONS]
        self._select(sessions[: _BATCH_SIZE + len(self._selected)] or self._unselected)

    def _is_changed(self, path: str) -> bool:
        old, new = (side.get(path) for side in self._trees)
        if old is None or new is None:
            return True
        return (old.digest, old.problem) != (new.digest, new.problem)

    def _select_dependents(self) -> None:
        """Take what the files that have changed are settings for."""
        changed = set(self._selected)
        if any(namespace_of(path) == WHOLE_TREE for path in changed):
            self.select_all()
            return
        self.select_namespaces(
            namespace_of(p) for p in changed if classify_file(p) is FileRole.PROJECT
        )

    def _select(self, paths: Iterable[str]) -> bool:
        """Choose paths, and what is never left out beside them."""
        before = len(self._selected)
        self._selected.update(paths)
        namespaces = set(map(namespace_of, self._selected))
        self._selected.update(
            path
            for path in self._unselected
            if namespace_of(path) in namespaces
            if classify_file(path) is FileRole.PROJECT or not self._standard_names
        )
        self._unselected = [path for path in self._unselected if path not in self._selected]
        return len(self._selected) > before

    def _new_names(self, sessions: Iterable[SessionId]) -> Mapping[str, set[str]]:
        """Group what has not been asked for yet by namespace."""
        found: dict[str, set[str]] = {}
        for session in sessions:
            known = self._known_names.setdefault(session.namespace, set())
            found.setdefault(session.namespace, set()).update(
                find_possible_name_conflicts(session.name) - known
            )
        for namespace, names in found.items():
            self._known_names[namespace] |= names
        return found

    def _find_related(self, names: Mapping[str, set[str]]) -> Iterator[str]:
        patterns = {namespace: _compile_names(some) for namespace, some in names.items() if some}
        for path in self._unselected:
            pattern = patterns.get(namespace_of(path))
            content = self._trees[1][path].content
            if pattern is not None and (pattern.search(content) or _ESCAPED_NAME.search(content)):
                yield path


def _compile_names(names: Iterable[str]) -> re.Pattern[bytes]:
    """Match one of some names; a longer name that has it inside is another name."""
    listed = b"|".join(re.escape(name.encode()) for name in sorted(names))
    return re.compile(rb"(?<![a-z0-9.-])(?:" + listed + rb")(?![a-z0-9.-])")


def _is_always_read(file: TreeFile) -> bool:
    """What is known without parsing much, and counts for the whole tree."""
    namespace = namespace_of(file.path)
    return bool(file.problem or namespace == WHOLE_TREE or find_folder_error(namespace))


_COUNT_DEPENDENT = frozenset(
    {HoldReason.DELETE_BUDGET, HoldReason.RESTART_BUDGET, HoldReason.LAST_SESSIONS}
)
"""What depends on how many sessions there are: with more of them it can only be allowed."""


@dataclass(frozen=True, slots=True)
class Revision:
    """A tree and the templates that go with it; `name` is what the user calls it."""

    name: str
    tree: Tree
    templates: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class OfflineDiff:
    """A plan, and the new side as far as it was read.

    `warnings` are about what the old side leaves open. `mask` are the patterns of both policies:
    values of both are shown.
    """

    plan: Plan
    new: DesiredState
    mask: tuple[str, ...]
    warnings: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How two sides are read.

    `standard_names` tells that templates name objects after what they are told (the shipped ones do).
    `read_all` has everything read, whatever the answer needs.
    """

    standard_names: bool
    read_all: bool = False


def compare_revisions(
    old: Revision, new: Revision, options: ReadOptions, *, prune: bool
) -> OfflineDiff:
    """Plan what `new` changes in a cluster that is in sync with `old`.

    SpecError where policy, defaults or templates of a side cannot be used.
    """
    regular = options.standard_names and old.templates == new.templates
    extent = FileSelection(old.tree, new.tree, standard_names=regular)
    if options.read_all or old.templates != new.templates:
        extent.select_all()
    builders = _create_builders(old, new)
    while True:
        before = _build_revision(builders[0], replace(old, tree=extent.filter_tree(old.tree)))
        after = builders[1].build(extent.filter_tree(new.tree))
        if extent.select_related(_session_ids(before, after)):
            continue
        plan = plan_offline(before, after, prune=prune)
        lost = find_lost_namespaces(before, after)
        if extent.select_namespaces(_pruned_namespaces(plan)):
            continue
        if extent.is_complete or not (lost or any(map(_depends_on_count, plan.changes))):
            mask = (*after.policy.mask, *before.policy.mask)
            return OfflineDiff(
                plan,
                after,
                mask,
                (*_warn_previously_broken(old, before, after), *_warn_lost_namespaces(lost)),
            )
        extent.select_more()


def _create_builders(old: Revision, new: Revision) -> tuple[DesiredBuilder, DesiredBuilder]:
    """One for both sides if it can be, so that what is the same on both is made once."""
    builder = DesiredBuilder(new.templates)
    return (builder if old.templates == new.templates else DesiredBuilder(old.templates)), builder


def _build_revision(builder: DesiredBuilder, revision: Revision) -> DesiredState:
    try:
        return builder.build(revision.tree)
    except SpecError as error:
        told = [
            replace(problem, path=f"{revision.name}:{problem.path}") for problem in error.problems
        ]
        remedy = "nothing can be compared with a revision that cannot be used: name another one"
        raise SpecError((*told, Problem(revision.name, 0, 0, "", remedy))) from error


def _session_ids(*states: DesiredState) -> set[SessionId]:
    return {
        session
        for side in states
        for session in (*(wanted.session.id for wanted in side.sessions), *side.broken)
    }


def _pruned_namespaces(plan: Plan) -> Iterable[str]:
    """Where something is deleted: whether it may be depends on each file of the namespace."""
    return {change.ref.namespace for change in plan.changes if is_prune(_without_hold(change))}


def _without_hold(change: Change) -> Change:
    return change.change if isinstance(change, Hold) else change


def _depends_on_count(change: Change) -> bool:
    return isinstance(change, Hold) and change.reason in _COUNT_DEPENDENT


def _warn_previously_broken(
    old: Revision, before: DesiredState, after: DesiredState
) -> Iterator[Problem]:
    message = f"could not be used at {old.name}, so that it counts as new"
    for wanted in after.sessions:
        if wanted.session.id in before.broken:
            origin = wanted.session.origin
            yield Problem(origin.path, origin.line, origin.column, "", message)


def _warn_lost_namespaces(namespaces: Iterable[str]) -> Iterator[Problem]:
    message = (
        "neither a folder nor policy.yaml names a namespace that was in use, so that what lives "
        "in this one is not found and goes on: list it under `spec.namespaces` of policy.yaml"
    )
    return (Problem(f"{namespace}/", 0, 0, "", message) for namespace in sorted(namespaces))
