"""The role of a file in the desired tree, as its path determines it."""

from enum import Enum, auto

from reconcile.core.source_location import printable_excerpt
from reconcile.core.spec.formats import LABEL_NAME
from reconcile.core.spec.kinds import DEFAULTS_KIND, POLICY_KIND, PROJECT_KIND, SESSION_KIND

WHOLE_TREE = ""
"""Stands for every namespace where a namespace is expected."""


class FileRole(Enum):
    """The role of a file."""

    POLICY = auto()
    DEFAULTS = auto()
    PROJECT = auto()
    SESSIONS = auto()
    MISPLACED = auto()
    IGNORED = auto()


KIND_OF_ROLE = {
    FileRole.POLICY: POLICY_KIND,
    FileRole.DEFAULTS: DEFAULTS_KIND,
    FileRole.PROJECT: PROJECT_KIND,
    FileRole.SESSIONS: SESSION_KIND,
}
"""The kind of document that a file of each role holds."""

LOCATION_OF_KIND = {
    POLICY_KIND: "policy.yaml",
    DEFAULTS_KIND: "defaults.yaml",
    PROJECT_KIND: "<namespace>/project.yaml",
    SESSION_KIND: "<namespace>/<any name>.yaml",
}
"""Where documents of each kind belong."""


def classify_file(path: str) -> FileRole:
    """Return a file's role; names that begin with a dot and files that are not YAML are ignored."""
    parts = path.split("/")
    if any(part.startswith(".") for part in parts) or not path.lower().endswith((".yaml", ".yml")):
        return FileRole.IGNORED
    match parts:
        case ["policy.yaml"]:
            return FileRole.POLICY
        case ["defaults.yaml"]:
            return FileRole.DEFAULTS
        case [_]:
            return FileRole.MISPLACED
        case [_, "project.yaml"]:
            return FileRole.PROJECT
        case _:
            return FileRole.SESSIONS


def namespace_of(path: str) -> str:
    """The namespace whose folder holds the file; `WHOLE_TREE` for files at the top."""
    return path.partition("/")[0] if "/" in path else WHOLE_TREE


def find_folder_error(folder: str) -> str:
    """Return why a folder cannot be a namespace, or an empty text; the tree itself is valid."""
    reason = "" if folder == WHOLE_TREE else LABEL_NAME.find_error(folder)
    return (
        f"the folder `{printable_excerpt(folder)}` is not a namespace: the name {reason}"
        if reason
        else ""
    )
