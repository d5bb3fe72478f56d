"""The minimal JSON Patch of a list of differences, against the very object that was read."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from reconcile.core.changes import ABSENT
from reconcile.core.fields.diff import Difference
from reconcile.core.fields.field_path import locate, token_of
from reconcile.core.model import KubeObject

Operation: TypeAlias = Mapping[str, Any]


def json_patch(found: Iterable[Difference], live: KubeObject) -> tuple[Operation, ...]:
    """Word differences as operations; removals last and from the back, so that indices hold."""
    writes = []
    removals = []
    for difference in found:
        place, there = locate(difference.path, live)
        if difference.is_release:
            continue
        if difference.after is ABSENT:
            removals.append({"op": "remove", "path": place})
        elif difference.before is ABSENT:
            writes.append({"op": "add", "path": place, "value": difference.after})
        else:
            # What is compared may be less than what is there (admission adds to some lists).
            whole = there is not difference.before
            writes += _replacements(place, difference.before, difference.after, whole=whole)
    removals.sort(key=lambda operation: _indices(operation["path"]), reverse=True)
    return (*writes, *removals)


def _replacements(
    place: str, before: Any, after: Any, *, whole: bool = False
) -> Iterator[dict[str, Any]]:
    """Replace no more of a value than differs: lists of one length are compared item by item."""
    match before, after:
        case dict(), dict() if not whole and before.keys() <= after.keys():
            for name in after:
                below = f"{place}/{token_of(name)}"
                if name not in before:
                    yield {"op": "add", "path": below, "value": after[name]}
                else:
                    yield from _replacements(below, before[name], after[name])
        case list(), list() if not whole and len(before) == len(after):
            for index, (one, other) in enumerate(zip(before, after, strict=True)):
                yield from _replacements(f"{place}/{index}", one, other)
        case _ if before != after or whole:
            yield {"op": "replace", "path": place, "value": after}
        case _:
            return


def _indices(place: str) -> list[tuple[bool, int, str]]:
    steps = place.split("/")
    return [(step.isdecimal(), int(step) if step.isdecimal() else 0, step) for step in steps]
