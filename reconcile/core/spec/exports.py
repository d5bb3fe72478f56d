"""Brings what was exported from a cluster into the form of session files.

Lists are expanded, a session's state is inferred from its status and annotations, and what servers
and the platform note for themselves is left aside.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from reconcile.core.model import ObjectMetadata, SessionState
from reconcile.core.source_location import DocumentPath
from reconcile.core.spec.kinds import LAST_APPLIED

_TERMINAL_PHASES: Final = frozenset({"Stopped", "Completed", "Failed"})
_DESIRED_PHASE: Final = "ambient-code.io/desired-phase"

PLATFORM_ANNOTATIONS: Final = frozenset(
    {
        _DESIRED_PHASE,
        *(
            f"ambient-code.io/{name}"
            for name in (
                "created-by",
                "created-by-user-id",
                "display-name",
                "force-execute-prompt",
                "runner-sa",
                "runner-token-secret",
                "start-requested-at",
                "stop-reason",
                "stop-requested-at",
                "token-refreshed-at",
            )
        ),
        "vteam.ambient-code/copied-from",
        "vteam.ambient-code/parent-session-id",
    }
)
"""The annotations in which the platform's parts note what they have done or want of each other."""


def expand_list(document: Any) -> list[tuple[DocumentPath, Any]]:
    """The objects of a `v1 List`, each with its path, or the document itself."""
    is_list = isinstance(document, dict) and document.get("kind") == "List"
    listed = document.get("items") if is_list and document.get("apiVersion") == "v1" else None
    if not isinstance(listed, list):
        return [((), document)]
    return [(("items", index), item) for index, item in enumerate(listed)]


def infer_state(annotations: Mapping[str, str], document: Mapping[str, Any]) -> SessionState:
    """The state of a session whose document does not set `state`."""
    status = document.get("status")
    phase = status.get("phase") if isinstance(status, dict) else None
    is_over = isinstance(phase, str) and phase in _TERMINAL_PHASES
    is_stopped = is_over or annotations.get(_DESIRED_PHASE) == "Stopped"
    return SessionState.STOPPED if is_stopped else SessionState.RUNNING


def strip_last_applied(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Remove the annotation in which kubectl repeats the whole object."""
    metadata = document.get("metadata")
    if not isinstance(metadata, dict):
        return document
    annotations = metadata.get("annotations")
    if not isinstance(annotations, dict):
        return document
    kept = {key: value for key, value in annotations.items() if key != LAST_APPLIED}
    return {**document, "metadata": {**metadata, "annotations": kept}}


def adopt_old_repos(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Bring `repos[].input`, as earlier versions of the platform exported it, into today's form.

    Their `output`, to which only the platform pushes, is left out.
    """
    spec = document.get("spec")
    repos = spec.get("repos") if isinstance(spec, dict) else None
    if not isinstance(spec, dict) or not isinstance(repos, list):
        return document
    return {**document, "spec": {**spec, "repos": [_adopt_old_repo(repo) for repo in repos]}}


def _adopt_old_repo(repo: Any) -> Any:
    if not _is_old_repo(repo):
        return repo
    kept = {name: value for name, value in repo.items() if name not in {"input", "output"}}
    return {**repo["input"], **kept}


def find_outputs(document: Mapping[str, Any]) -> Iterator[DocumentPath]:
    """Yield the paths of each `output` that `adopt_old_repos` leaves out."""
    spec = document.get("spec")
    repos = spec.get("repos") if isinstance(spec, dict) else None
    for index, repo in enumerate(repos if isinstance(repos, list) else ()):
        if _is_old_repo(repo) and "output" in repo:
            yield ("spec", "repos", index, "output")


def leave_out_platform_annotations(metadata: ObjectMetadata) -> ObjectMetadata:
    """Leave out what the platform notes for itself, which is not for the session's objects."""
    kept = {
        key: value for key, value in metadata.annotations.items() if key not in PLATFORM_ANNOTATIONS
    }
    return ObjectMetadata(metadata.labels, kept)


def _is_old_repo(repo: Any) -> bool:
    is_old = isinstance(repo, dict) and "url" not in repo and isinstance(repo.get("input"), dict)
    # A field that both have would be lost.
    return is_old and repo["input"].keys().isdisjoint(repo)
