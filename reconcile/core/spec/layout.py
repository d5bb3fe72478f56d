"""The role of a file in the desired tree, as its path determines it.

Every entry has a role: one that is not read must never look like a deleted one. So only hidden
entries and documentation are ignored, and every other unknown name is refused.
"""

import re
from enum import Enum, auto
from typing import Final

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
    REFUSED = auto()
    HIDDEN = auto()
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


REFUSED_NAME: Final = (
    "is not read: let its name end in .yaml, .yml or .json and not begin with a dot, or remove it"
)
"""The message for a file that may have declared something under another name."""

HIDDEN_SESSION: Final = (
    "declares a session in a hidden folder, which is not read: let the name of the folder begin "
    "without a dot, or remove the file"
)
"""The message for a session file that another name of its folder hides."""

_SUFFIXES: Final = (".yaml", ".yml", ".json")
_MAY_BE_YAML: Final = re.compile(r"ya?ml|json", re.IGNORECASE)
_DOCUMENTATION: Final = re.compile(
    r".*\.(?:md|rst|adoc)|(?:readme|licen[cs]e|notice|owners|codeowners)(?:\.txt)?", re.IGNORECASE
)
_KUBELET_FOLDER: Final = re.compile(r"\.\.(?:data(?:_tmp)?|[0-9]{4}_[0-9]{2}_[0-9_.]+)")
"""Where the kubelet stores a mounted ConfigMap, to which the visible names are links."""

_SETTINGS_NAMES: Final = ({"policy", "defaults"}, {"project"})
"""The names of settings files without suffix, by the number of folders above them."""


def classify_file(path: str) -> FileRole:
    """Return a file's role; suffixes are compared without regard to case.

    Ignored are names that begin with a dot, at the top with what they contain, and below a
    namespace's folder if they are not YAML; documentation; and at the top what cannot be YAML. YAML
    in a hidden folder at the top is HIDDEN: it is refused if it declares a session.
    """
    if is_hidden(path):
        return _classify_hidden(path)
    if not path.lower().endswith(_SUFFIXES):
        return _classify_other(path)
    return _classify_yaml(path.split("/"))


def _classify_yaml(parts: list[str]) -> FileRole:
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


def is_lock(path: str) -> bool:
    """Whether a link of this name is how Emacs locks a file that is being edited."""
    return path.rpartition("/")[2].startswith(".#")


def is_hidden(path: str) -> bool:
    """Whether a part of the path begins with a dot."""
    return any(part.startswith(".") for part in path.split("/"))


def may_hide_sessions(folder: str) -> bool:
    """Whether a hidden folder at the top may be that of a namespace under another name."""
    is_known = folder == ".git" or _KUBELET_FOLDER.fullmatch(folder) is not None
    return folder.startswith(".") and "/" not in folder and not is_known


def _classify_hidden(path: str) -> FileRole:
    folder, _, name = path.rpartition("/")
    if may_hide_sessions(folder) and name.lower().endswith(_SUFFIXES):
        return FileRole.HIDDEN
    if path.startswith("."):
        is_refused = "/" not in path and is_settings_name(path)
    else:
        is_mounted = any(map(_KUBELET_FOLDER.fullmatch, path.split("/")[:-1]))
        is_refused = path.lower().endswith(_SUFFIXES) and not is_mounted
    return FileRole.REFUSED if is_refused else FileRole.IGNORED


def _classify_other(path: str) -> FileRole:
    if is_documentation(path.rpartition("/")[2]):
        return FileRole.IGNORED
    is_refused = "/" in path or _MAY_BE_YAML.search(path) or is_settings_name(path)
    return FileRole.REFUSED if is_refused else FileRole.IGNORED


def is_documentation(name: str) -> bool:
    """Whether a name is one that documentation has, such as `README.md`."""
    return _DOCUMENTATION.fullmatch(name) is not None


def is_settings_name(path: str) -> bool:
    """Whether a name is that of a settings file except for its suffix, case or a leading dot."""
    *folders, name = path.split("/")
    stem = name.lstrip(".").partition(".")[0].lower()
    return len(folders) < len(_SETTINGS_NAMES) and stem in _SETTINGS_NAMES[len(folders)]


class TemplateRole(Enum):
    """What happens with an entry of a folder of templates."""

    READ = auto()
    REFUSED = auto()
    IGNORED = auto()


REFUSED_TEMPLATE: Final = (
    "is not read: templates are files directly in the folder, and their names end in .j2"
)
"""The message for an entry of a template folder that may have been a template."""


def classify_template(name: str) -> TemplateRole:
    """Return what happens with the entry of this name, which is a file or anything else."""
    is_named = name.lower().endswith(".j2")
    if name.startswith("."):
        return TemplateRole.REFUSED if is_named else TemplateRole.IGNORED
    if is_documentation(name):
        return TemplateRole.IGNORED
    return TemplateRole.READ if is_named else TemplateRole.REFUSED


def namespace_of(path: str) -> str:
    """The namespace whose folder holds the file, hidden or not; `WHOLE_TREE` at the top."""
    return path.partition("/")[0].lstrip(".") if "/" in path else WHOLE_TREE


def find_folder_error(folder: str) -> str:
    """Return why a folder cannot be a namespace, or an empty text; the tree itself is valid."""
    reason = "" if folder == WHOLE_TREE else LABEL_NAME.find_error(folder)
    return (
        f"the folder `{printable_excerpt(folder)}` is not a namespace: the name {reason}"
        if reason
        else ""
    )
