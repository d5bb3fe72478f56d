"""The plan between two revisions without a cluster, reading only the files that it depends on.

Files that are the same on both sides are not read as long as the plan cannot depend on them.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from reconcile.core.changes import Change, Hold, HoldReason, Plan
from reconcile.core.errors import Problem, SpecError
from reconcile.core.mask.text import build_file_test
from reconcile.core.model import DesiredState, SessionId
from reconcile.core.plan.offline import find_lost_namespaces, plan_offline
from reconcile.core.plan.policy import is_prune
from reconcile.core.plan.settings import (
    SettingChange,
    WholeFile,
    compare_files,
    compare_settings,
)
from reconcile.core.render.render import find_possible_name_conflicts
from reconcile.core.spec.kinds import KINDS, POLICY_KIND, POLICY_SPEC
from reconcile.core.spec.layers import default_values, merge_layer
from reconcile.core.spec.layout import (
    WHOLE_TREE,
    FileRole,
    classify_file,
    find_folder_error,
    namespace_of,
)
from reconcile.core.spec.validate import Validator
from reconcile.core.yaml_loader import Document, decode_utf8, load_documents
from reconcile.engine.desired import DesiredBuilder
from reconcile.engine.ports import Tree, TreeFile

_BATCH_SIZE: Final = 32

# Only in double quotes can YAML write a name other than letter by letter: by these escapes or an
# escaped end of line. A tag is refused, an alias has its text in the same file, and a folded line
# gets a space, which a name never has.
_ESCAPED_NAME: Final = re.compile(rb"\\(?:[xuU\r\n]|\xc2\x85|\xe2\x80[\xa8\xa9])")


class FileSelection:
    """The files of two trees that are read; the selection only grows.

    `standard_names`: templates name objects as `find_possible_name_conflicts` expects. Otherwise
    any session of a namespace may have an object's name, so the whole namespace is read.
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
        """Whether all files are selected."""
        return not self._unselected

    def filter_tree(self, tree: Tree) -> Tree:
        """The selected files of one side."""
        files = tuple(
            file for file in tree.files if file.path in self._selected or _is_always_read(file)
        )
        return replace(tree, files=files)

    def select_all(self) -> None:
        """Select all files."""
        self._select(self._unselected)

    def select_namespaces(self, namespaces: Iterable[str]) -> bool:
        """Select all files of these namespaces; returns whether that adds any."""
        wanted = set(namespaces)
        return self._select([path for path in self._unselected if namespace_of(path) in wanted])

    def select_related(self, sessions: Iterable[SessionId]) -> bool:
        """Select files that may declare one of these sessions too, or an object of the same name.

        Returns whether that adds any.
        """
        return self._select(list(self._find_related(self._new_names(sessions))))

    def select_more(self) -> None:
        """Select more sessions, about as many as are selected already."""
        sessions = [path for path in self._unselected if classify_file(path) is FileRole.SESSIONS]
        self._select(sessions[: _BATCH_SIZE + len(self._selected)] or self._unselected)

    def _is_changed(self, path: str) -> bool:
        old, new = (side.get(path) for side in self._trees)
        if old is None or new is None:
            return True
        return (old.digest, old.problem) != (new.digest, new.problem)

    def _select_dependents(self) -> None:
        """Select the files to which changed settings apply."""
        changed = set(self._selected)
        if any(namespace_of(path) == WHOLE_TREE for path in changed):
            self.select_all()
            return
        self.select_namespaces(
            namespace_of(p) for p in changed if classify_file(p) is FileRole.PROJECT
        )

    def _select(self, paths: Iterable[str]) -> bool:
        """Select paths, and the files that are always read with them."""
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
        """Group names that have not been searched yet by namespace."""
        new_names: dict[str, set[str]] = {}
        for session in sessions:
            searched = self._known_names.setdefault(session.namespace, set())
            new_names.setdefault(session.namespace, set()).update(
                find_possible_name_conflicts(session.name) - searched
            )
        for namespace, names in new_names.items():
            self._known_names[namespace] |= names
        return new_names

    def _find_related(self, names: Mapping[str, set[str]]) -> Iterator[str]:
        patterns = {namespace: _compile_names(some) for namespace, some in names.items() if some}
        for path in self._unselected:
            pattern = patterns.get(namespace_of(path))
            content = self._trees[1][path].content
            if pattern is not None and (pattern.search(content) or _ESCAPED_NAME.search(content)):
                yield path


def _compile_names(names: Iterable[str]) -> re.Pattern[bytes]:
    """Build a pattern for any of the names, but not as a part of a longer name."""
    listed = b"|".join(re.escape(name.encode()) for name in sorted(names))
    return re.compile(rb"(?<![a-z0-9.-])(?:" + listed + rb")(?![a-z0-9.-])")


def _is_always_read(file: TreeFile) -> bool:
    """Whether a file applies to the whole tree, or is cheap to read."""
    namespace = namespace_of(file.path)
    return bool(file.problem or namespace == WHOLE_TREE or find_folder_error(namespace))


_COUNT_DEPENDENT = frozenset(
    {HoldReason.DELETE_BUDGET, HoldReason.RESTART_BUDGET, HoldReason.LAST_SESSIONS}
)
"""Reasons that depend on the number of sessions: with more sessions the change may be allowed."""


@dataclass(frozen=True, slots=True)
class Revision:
    """A tree and its templates; `name` is the user's name for it."""

    name: str
    tree: Tree
    templates: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class OfflineDiff:
    """A plan, and the part of the new side that was read.

    `warnings` are about the old side. `mask` are the patterns of both policies, since values of
    both sides are shown. `settings` are the changes of policy, templates and defaults.
    """

    plan: Plan
    new: DesiredState
    mask: tuple[str, ...]
    warnings: tuple[Problem, ...]
    settings: tuple[SettingChange, ...] = ()


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How two sides are read.

    `standard_names`: templates derive object names from the session's name (the shipped ones do).
    `read_all`: all files are read, even if the plan does not depend on them. `on_read` gets
    sources of what both sides declare, from which a masker can learn.
    """

    standard_names: bool
    read_all: bool = False
    on_read: Callable[[Callable[[], Iterable[Any]]], None] = lambda _: None


def compare_revisions(
    old: Revision, new: Revision, options: ReadOptions, *, prune: bool
) -> OfflineDiff:
    """Plan what `new` changes in a cluster that is in sync with `old`.

    SpecError if policy, defaults or templates of a side cannot be used.
    """
    standard = options.standard_names and old.templates == new.templates
    selection = FileSelection(old.tree, new.tree, standard_names=standard)
    if options.read_all or old.templates != new.templates:
        selection.select_all()
    builders = _create_builders(old, new)
    for builder in dict.fromkeys(builders):
        options.on_read(builder.iter_declared)
    while True:
        before = _build_revision(builders[0], replace(old, tree=selection.filter_tree(old.tree)))
        after = builders[1].build(selection.filter_tree(new.tree))
        if selection.select_related(_session_ids(before, after)):
            continue
        plan = plan_offline(before, after, prune=prune)
        lost = find_lost_namespaces(before, after)
        if selection.select_namespaces(_pruned_namespaces(plan)):
            continue
        if selection.is_complete or not (lost or any(map(_depends_on_count, plan.changes))):
            mask = (*after.policy.mask, *before.policy.mask)
            options.on_read(partial(_iter_unread, (old, new), builders, mask))
            return OfflineDiff(
                plan,
                after,
                mask,
                (*_warn_previously_broken(old, before, after), *_warn_lost_namespaces(lost)),
                tuple(_compare_settings(old, new)),
            )
        selection.select_more()


def _create_builders(old: Revision, new: Revision) -> tuple[DesiredBuilder, DesiredBuilder]:
    """Use one builder for both sides if possible, so that equal sessions are rendered once."""
    builder = DesiredBuilder(new.templates)
    return (builder if old.templates == new.templates else DesiredBuilder(old.templates)), builder


def _iter_unread(
    revisions: tuple[Revision, Revision],
    builders: tuple[DesiredBuilder, DesiredBuilder],
    mask: tuple[str, ...],
) -> Iterator[Any]:
    """Yield what the files declare that the plan does not depend on, if that may be a secret."""
    old, new = revisions
    may_declare_secret = build_file_test(mask)
    yield from builders[1].iter_unread(new.tree, may_declare_secret)
    known = {(file.path, file.digest) for file in new.tree.files}
    removed = tuple(f for f in old.tree.files if (f.path, f.digest) not in known)
    yield from builders[0].iter_unread(replace(old.tree, files=removed), may_declare_secret)


def _build_revision(builder: DesiredBuilder, revision: Revision) -> DesiredState:
    try:
        return builder.build(revision.tree)
    except SpecError as error:
        problems = [
            replace(problem, path=f"{revision.name}:{problem.path}") for problem in error.problems
        ]
        remedy = "nothing can be compared with a revision that cannot be used: name another one"
        raise SpecError((*problems, Problem(revision.name, 0, 0, "", remedy))) from error


_SETTINGS_ROLES: Final = (FileRole.POLICY, FileRole.DEFAULTS, FileRole.PROJECT)


def _compare_settings(old: Revision, new: Revision) -> Iterator[SettingChange]:
    """Yield what changes in policy, templates, defaults and projects, in this order."""
    sides = [{f.path: f for f in each.tree.files} for each in (old, new)]
    changed = [path for path in sorted(sides[0] | sides[1]) if _content_differs(path, *sides)]
    by_role = {role: [p for p in changed if classify_file(p) is role] for role in _SETTINGS_ROLES}
    for path in by_role[FileRole.POLICY]:
        yield from _compare_documents(path, *sides)
    yield from compare_files(old.templates, new.templates)
    for path in (*by_role[FileRole.DEFAULTS], *by_role[FileRole.PROJECT]):
        yield from _compare_documents(path, *sides)


def _content_differs(path: str, old: Mapping[str, TreeFile], new: Mapping[str, TreeFile]) -> bool:
    before, after = old.get(path), new.get(path)
    return before is None or after is None or before.digest != after.digest


def _compare_documents(
    path: str, old: Mapping[str, TreeFile], new: Mapping[str, TreeFile]
) -> Iterator[SettingChange]:
    try:
        before, after = (_load_document(side.get(path), path) for side in (old, new))
    except SpecError:
        # The error is reported with the file.
        yield WholeFile(path, "changed")
    else:
        yield from compare_settings(path, before, after)


def _load_document(file: TreeFile | None, path: str) -> Any:
    """Load a settings file; a policy has its defaults, so that only what has an effect differs."""
    documents = load_documents(decode_utf8(file.content, path), path) if file is not None else ()
    if classify_file(path) is FileRole.POLICY:
        return {"spec": _effective_policy(path, documents)}
    return documents[0].value if documents else {}


def _effective_policy(path: str, documents: Sequence[Document]) -> Mapping[str, Any]:
    effective = default_values(POLICY_SPEC)
    for document in documents:
        validator = Validator(path, document.positions)
        # An invalid policy has ended the comparison already.
        declared = validator.validate(KINDS[POLICY_KIND], document.value, ())
        effective = merge_layer(POLICY_SPEC, effective, declared.get("spec", {}))
    return effective


def _session_ids(*states: DesiredState) -> set[SessionId]:
    return {
        session
        for side in states
        for session in (*(wanted.session.id for wanted in side.sessions), *side.broken)
    }


def _pruned_namespaces(plan: Plan) -> Iterable[str]:
    """The namespaces with deletes, which are allowed only if each file there can be used."""
    return {change.ref.namespace for change in plan.changes if is_prune(_without_hold(change))}


def _without_hold(change: Change) -> Change:
    return change.change if isinstance(change, Hold) else change


def _depends_on_count(change: Change) -> bool:
    return isinstance(change, Hold) and change.reason in _COUNT_DEPENDENT


def _warn_previously_broken(
    old: Revision, before: DesiredState, after: DesiredState
) -> Iterator[Problem]:
    message = f"could not be used at {old.name}, so it counts as new"
    for wanted in after.sessions:
        if wanted.session.id in before.broken:
            origin = wanted.session.origin
            yield Problem(origin.path, origin.line, origin.column, "", message)


def _warn_lost_namespaces(namespaces: Iterable[str]) -> Iterator[Problem]:
    message = (
        "neither a folder nor policy.yaml names a namespace that was in use, so the objects in "
        "this one are not found and stay: list it under `spec.namespaces` of policy.yaml"
    )
    return (Problem(f"{namespace}/", 0, 0, "", message) for namespace in sorted(namespaces))
