"""What one revision changes against another, reading no more of both than that takes."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from reconcile.core.changes import Change, Hold, HoldReason, Plan
from reconcile.core.errors import Problem, SpecError
from reconcile.core.model import Desired, SessionId
from reconcile.core.plan.offline import lost_namespaces, plan_against
from reconcile.core.plan.policy import is_prune
from reconcile.engine.desired import DesiredBuilder
from reconcile.engine.extent import Extent
from reconcile.engine.ports import Tree

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
