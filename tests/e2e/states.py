"""States of a live object, and the differences between two of them."""

from collections.abc import Iterator, Mapping
from typing import Any

from reconcile.core.model import ANNOTATION_DIGEST, ANNOTATION_RECORD_UID


def labels_of(obj: Mapping[str, Any]) -> Mapping[str, str]:
    """An object's labels."""
    return obj["metadata"].get("labels") or {}


def bare(obj: Mapping[str, Any]) -> dict[str, Any]:
    """An object without the server's counters and the annotations that no plan shows."""
    metadata = {k: v for k, v in obj["metadata"].items() if k not in _COUNTED}
    annotations = {**metadata.get("annotations", {})}
    for name in (ANNOTATION_DIGEST, ANNOTATION_RECORD_UID):
        annotations.pop(name, None)
    return {**obj, "metadata": {**metadata, "annotations": annotations}}


_COUNTED = {"managedFields", "resourceVersion", "generation"}


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every scalar of an object with its path, which has the names of list items."""
    if isinstance(value, dict) and value:
        for key, below in value.items():
            yield from leaves(below, f"{path}.{key}")
    elif isinstance(value, list) and value:
        for index, below in enumerate(value):
            named = isinstance(below, dict) and "name" in below
            yield from leaves(below, f"{path}[{below['name'] if named else index}]")
    else:
        yield path.removeprefix("."), value


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The differences of two states of an object, each `bare`: old and new value by path."""
    old, new = dict(leaves(bare(before))), dict(leaves(bare(after)))
    return {
        path: (old.get(path), new.get(path))
        for path in sorted(old.keys() | new.keys())
        if old.get(path) != new.get(path)
    }
