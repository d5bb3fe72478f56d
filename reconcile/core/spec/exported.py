"""What exports from a cluster carry besides a session's own fields."""

from collections.abc import Mapping
from typing import Any, Final

from reconcile.core.model import State
from reconcile.core.source_location import Path
from reconcile.core.spec.kinds import LAST_APPLIED

_TERMINAL: Final = frozenset({"Stopped", "Completed", "Failed"})
_DESIRED_PHASE: Final = "ambient-code.io/desired-phase"


def items(document: Any) -> list[tuple[Path, Any]]:
    """The objects of a `v1 List`, each with its path, or the document itself."""
    is_list = isinstance(document, dict) and document.get("kind") == "List"
    listed = document.get("items") if is_list and document.get("apiVersion") == "v1" else None
    if not isinstance(listed, list):
        return [((), document)]
    return [(("items", index), item) for index, item in enumerate(listed)]


def implied_state(annotations: Mapping[str, str], document: Mapping[str, Any]) -> State:
    """What a document says of its session's state where it does not set `state` itself."""
    status = document.get("status")
    phase = status.get("phase") if isinstance(status, dict) else None
    is_over = isinstance(phase, str) and phase in _TERMINAL
    is_stopped = is_over or annotations.get(_DESIRED_PHASE) == "Stopped"
    return State.STOPPED if is_stopped else State.RUNNING


def without_last_applied(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave out the annotation in which kubectl repeats the whole object."""
    metadata = document.get("metadata")
    if not isinstance(metadata, dict):
        return document
    annotations = metadata.get("annotations")
    if not isinstance(annotations, dict):
        return document
    kept = {key: value for key, value in annotations.items() if key != LAST_APPLIED}
    return {**document, "metadata": {**metadata, "annotations": kept}}
