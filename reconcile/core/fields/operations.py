"""The minimal JSON Patch of a list of differences, against the very object that was read."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from reconcile.core.changes import ABSENT
from reconcile.core.fields.differences import Difference
from reconcile.core.fields.path import pointer
from reconcile.core.model import KubeObject

Operation: TypeAlias = Mapping[str, Any]


def json_patch(found: Iterable[Difference], live: KubeObject) -> tuple[Operation, ...]:
    """Word differences as operations; removals last and from the back, so that indices hold."""
    writes = []
    removals = []
    for difference in found:
        place = pointer(difference.path, live)
        if difference.is_release:
            continue
        if difference.after is ABSENT:
            removals.append({"op": "remove", "path": place})
        elif difference.before is ABSENT:
            writes.append({"op": "add", "path": place, "value": difference.after})
        else:
            writes.append({"op": "replace", "path": place, "value": difference.after})
    removals.sort(key=lambda operation: _indices(operation["path"]), reverse=True)
    return (*writes, *removals)


def _indices(place: str) -> list[tuple[bool, int, str]]:
    steps = place.split("/")
    return [(step.isdecimal(), int(step) if step.isdecimal() else 0, step) for step in steps]
