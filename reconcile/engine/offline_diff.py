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
from reconcile.core.model import Desired, SessionId
from reconcile.core.plan.offline import lost_namespaces, plan_against
from reconcile.core.plan.policy import is_prune
from reconcile.core.render.render import namesakes
from reconcile.core.spec.layout import WHOLE_TREE, Role, folder_reason, namespace_of, role_of
from reconcile.engine.desired import DesiredBuilder
from reconcile.engine.ports import Tree, TreeFile

_STEP: Final = 32

# YAML spells a name otherwise than letter by letter in double quotes only, by these escapes or by
# an escaped end of line. A tag is refused, an alias has its text in the same file, and a line that
# is folded gets a space, which no name has.
_SPELT: Final = re.compile(rb"\\(?:[xuU\r\n]|\xc2\x85|\xe2\x80[\xa8\xa9])")


class Extent:
    """The files of two trees that are read; it only grows.

    `regular` tells that templates name objects as `namesakes` expects. Without that any session of
    a namespace may have an object's name, so that its namespace is read as a whole.
    """

    def __init__(self, old: Tree, new: Tree, *, regular: bool) -> None:
        self._sides = ({file.path: file for file in old.files}, {f.path: f for f in new.files})
        self._regular = regular
        self._known: dict[str, set[str]] = {}
        paths = sorted(self._sides[0].keys() | self._sides[1].keys())
        self._chosen = {path for path in paths if self._is_changed(path)}
        self._rest = [path for path in paths if path not in self._chosen]
        self._settle()

    @property
    def is_whole(self) -> bool:
        """Whether everything is read."""
        return not self._rest

    def of(self, tree: Tree) -> Tree:
        """The part of a side that is read."""
        files = tuple(file for file in tree.files if file.path in self._chosen or _is_cheap(file))
        return replace(tree, files=files)

    def take_all(self) -> None:
        """Read everything."""
        self._take(self._rest)

    def take_namespaces(self, namespaces: Iterable[str]) -> bool:
        """Read these namespaces as a whole; tells whether that is more than before."""
        wanted = set(namespaces)
        return self._take([path for path in self._rest if namespace_of(path) in wanted])

    def take_namesakes(self, sessions: Iterable[SessionId]) -> bool:
        """Read what may declare one of these sessions too, or have an object of the same name.

        Tells whether that is more than before.
        """
        return self._take(list(self._related(self._new_names(sessions))))

    def take_some(self) -> None:
        """Read some more sessions, about as many as are read already."""
        sessions = [path for path in self._rest if role_of(path) is Role.SESSIONS]
        self._take(sessions[: _STEP + len(self._chosen)] or self._rest)

    def _is_changed(self, path: str) -> bool:
        old, new = (side.get(path) for side in self._sides)
        if old is None or new is None:
            return True
        return (old.digest, old.problem) != (new.digest, new.problem)

    def _settle(self) -> None:
        """Take what the files that have changed are settings for."""
        changed = set(self._chosen)
        if any(namespace_of(path) == WHOLE_TREE for path in changed):
            self.take_all()
            return
        self.take_namespaces(namespace_of(p) for p in changed if role_of(p) is Role.PROJECT)

    def _take(self, paths: Iterable[str]) -> bool:
        """Choose paths, and what is never left out beside them."""
        before = len(self._chosen)
        self._chosen.update(paths)
        namespaces = set(map(namespace_of, self._chosen))
        self._chosen.update(
            path
            for path in self._rest
            if namespace_of(path) in namespaces
            if role_of(path) is Role.PROJECT or not self._regular
        )
        self._rest = [path for path in self._rest if path not in self._chosen]
        return len(self._chosen) > before

    def _new_names(self, sessions: Iterable[SessionId]) -> Mapping[str, set[str]]:
        """Group what has not been asked for yet by namespace."""
        found: dict[str, set[str]] = {}
        for session in sessions:
            known = self._known.setdefault(session.namespace, set())
            found.setdefault(session.namespace, set()).update(namesakes(session.name) - known)
        for namespace, names in found.items():
            self._known[namespace] |= names
        return found

    def _related(self, names: Mapping[str, set[str]]) -> Iterator[str]:
        patterns = {namespace: _any_of(some) for namespace, some in names.items() if some}
        for path in self._rest:
            pattern = patterns.get(namespace_of(path))
            content = self._sides[1][path].content
            if pattern is not None and (pattern.search(content) or _SPELT.search(content)):
                yield path


def _any_of(names: Iterable[str]) -> re.Pattern[bytes]:
    """Match one of some names; a longer name that has it inside is another name."""
    listed = b"|".join(re.escape(name.encode()) for name in sorted(names))
    return re.compile(rb"(?<![a-z0-9.-])(?:" + listed + rb")(?![a-z0-9.-])")


def _is_cheap(file: TreeFile) -> bool:
    """What is known without parsing much, and counts for the whole tree."""
    namespace = namespace_of(file.path)
    return bool(file.problem or namespace == WHOLE_TREE or folder_reason(namespace))


_COUNTED = frozenset(
    {HoldReason.DELETE_BUDGET, HoldReason.RESTART_BUDGET, HoldReason.LAST_SESSIONS}
)
"""What depends on how many sessions there are: with more of them it can only be allowed."""


@dataclass(frozen=True, slots=True)
class Side:
    """A tree and the templates that go with it; `name` is what the user calls it."""

    name: str
    tree: Tree
    templates: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Compared:
    """A plan, and the new side as far as it was read.

    `warnings` are about what the old side leaves open. `mask` are the patterns of both policies:
    values of both are shown.
    """

    plan: Plan
    new: Desired
    mask: tuple[str, ...]
    warnings: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """How two sides are read.

    `regular` tells that templates name objects after what they are told (the shipped ones do).
    `whole` has everything read, whatever the answer needs.
    """

    regular: bool
    whole: bool = False


def compare(old: Side, new: Side, reading: Reading, *, prune: bool) -> Compared:
    """Plan what `new` changes in a cluster that is in sync with `old`.

    SpecError where policy, defaults or templates of a side cannot be used.
    """
    regular = reading.regular and old.templates == new.templates
    extent = Extent(old.tree, new.tree, regular=regular)
    if reading.whole or old.templates != new.templates:
        extent.take_all()
    builders = _builders(old, new)
    while True:
        before = _built(builders[0], replace(old, tree=extent.of(old.tree)))
        after = builders[1].build(extent.of(new.tree))
        if extent.take_namesakes(_sessions(before, after)):
            continue
        plan = plan_against(before, after, prune=prune)
        lost = lost_namespaces(before, after)
        if extent.take_namespaces(_pruned(plan)):
            continue
        if extent.is_whole or not (lost or any(map(_is_counted, plan.changes))):
            mask = (*after.policy.mask, *before.policy.mask)
            return Compared(plan, after, mask, (*_new_again(old, before, after), *_lost(lost)))
        extent.take_some()


def _builders(old: Side, new: Side) -> tuple[DesiredBuilder, DesiredBuilder]:
    """One for both sides if it can be, so that what is the same on both is made once."""
    builder = DesiredBuilder(new.templates)
    return (builder if old.templates == new.templates else DesiredBuilder(old.templates)), builder


def _built(builder: DesiredBuilder, side: Side) -> Desired:
    try:
        return builder.build(side.tree)
    except SpecError as error:
        told = [replace(problem, path=f"{side.name}:{problem.path}") for problem in error.problems]
        remedy = "nothing can be compared with a revision that cannot be used: name another one"
        raise SpecError((*told, Problem(side.name, 0, 0, "", remedy))) from error


def _sessions(*sides: Desired) -> set[SessionId]:
    return {
        session
        for side in sides
        for session in (*(wanted.session.id for wanted in side.sessions), *side.broken)
    }


def _pruned(plan: Plan) -> Iterable[str]:
    """Where something is deleted: whether it may be depends on each file of the namespace."""
    return {change.ref.namespace for change in plan.changes if is_prune(_unheld(change))}


def _unheld(change: Change) -> Change:
    return change.change if isinstance(change, Hold) else change


def _is_counted(change: Change) -> bool:
    return isinstance(change, Hold) and change.reason in _COUNTED


def _new_again(old: Side, before: Desired, after: Desired) -> Iterator[Problem]:
    message = f"could not be used at {old.name}, so that it counts as new"
    for wanted in after.sessions:
        if wanted.session.id in before.broken:
            origin = wanted.session.origin
            yield Problem(origin.path, origin.line, origin.column, "", message)


def _lost(namespaces: Iterable[str]) -> Iterator[Problem]:
    message = (
        "neither a folder nor policy.yaml names a namespace that was in use, so that what lives "
        "in this one is not found and goes on: list it under `spec.namespaces` of policy.yaml"
    )
    return (Problem(f"{namespace}/", 0, 0, "", message) for namespace in sorted(namespaces))
