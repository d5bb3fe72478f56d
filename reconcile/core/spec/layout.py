"""What a file is, told from its path in the desired tree alone."""

from enum import Enum, auto

from reconcile.core.source_location import printable
from reconcile.core.spec.formats import LABEL_NAME
from reconcile.core.spec.kinds import DEFAULTS, POLICY, PROJECT, SESSION

WHOLE_TREE = ""
"""Stands for every namespace where a namespace is told."""


class Role(Enum):
    """What a file is for."""

    POLICY = auto()
    DEFAULTS = auto()
    PROJECT = auto()
    SESSIONS = auto()
    MISPLACED = auto()
    IGNORED = auto()


KIND_OF_ROLE = {
    Role.POLICY: POLICY,
    Role.DEFAULTS: DEFAULTS,
    Role.PROJECT: PROJECT,
    Role.SESSIONS: SESSION,
}
"""The kind of document that a file of each role holds."""

PLACE_OF_KIND = {
    POLICY: "policy.yaml",
    DEFAULTS: "defaults.yaml",
    PROJECT: "<namespace>/project.yaml",
    SESSION: "<namespace>/<any name>.yaml",
}
"""Where documents of each kind belong."""


def role_of(path: str) -> Role:
    """Tell a file's role; names that begin with a dot, and all that is no YAML, are ignored."""
    parts = path.split("/")
    if any(part.startswith(".") for part in parts) or not path.lower().endswith((".yaml", ".yml")):
        return Role.IGNORED
    match parts:
        case ["policy.yaml"]:
            return Role.POLICY
        case ["defaults.yaml"]:
            return Role.DEFAULTS
        case [_]:
            return Role.MISPLACED
        case [_, "project.yaml"]:
            return Role.PROJECT
        case _:
            return Role.SESSIONS


def namespace_of(path: str) -> str:
    """The namespace whose folder holds the file; `WHOLE_TREE` for files at the top."""
    return path.partition("/")[0] if "/" in path else WHOLE_TREE


def folder_reason(folder: str) -> str:
    """Say why a folder cannot be a namespace, or nothing; the tree itself is no folder."""
    reason = "" if folder == WHOLE_TREE else LABEL_NAME.reason(folder)
    return f"the folder `{printable(folder)}` is no namespace: the name {reason}" if reason else ""
