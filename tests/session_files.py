"""Desired trees as text: session files, policy.yaml, and the shipped templates."""

import hashlib
from pathlib import Path

from reconcile.engine.ports import Tree, TreeFile

SHIPPED = {
    path.name: path.read_text("utf-8")
    for path in (Path(__file__).parents[1] / "templates").glob("*.j2")
}
"""The text of every shipped template by file name."""

GENEROUS = "budgets: {deletes: {percent: 100}, restarts: {percent: 100}}"
"""The line of a policy that lets one pass delete and restart everything."""

OTHER_POD = "initialPrompt: work\nenvironmentVariables: {MODE: other}"
"""The lines of a session file with work in it that only another pod can have."""


def session_text(name, spec="initialPrompt: work"):
    """The text of a session file; `spec` is YAML in flow style or one line."""
    return (
        "apiVersion: vteam.ambient-code/v1alpha1\nkind: AgenticSession\n"
        f"metadata: {{name: {name}}}\nspec:\n  " + "\n  ".join(spec.splitlines()) + "\n"
    )


def policy_text(*lines):
    """The text of policy.yaml for the installation `default`; by default nothing is limited."""
    lines = ("installation: default", "allow: {}", *(lines or (GENEROUS,)))
    text = "\n".join(f"  {line}" for line in lines)
    return f"apiVersion: vteam.ambient-code/v1alpha1\nkind: Policy\nspec:\n{text}\n"


def defaults_text(*lines, metadata=""):
    """The text of defaults.yaml with the image and the runner that every session needs.

    The runner is not the platform's, so that no key for its model is missed.
    """
    lines = ("image: ours:1", "runner: {image: 'agent:1'}", *lines)
    text = "\n".join(f"  {line}" for line in lines)
    return (
        "apiVersion: vteam.ambient-code/v1alpha1\nkind: SessionDefaults\n"
        f"metadata: {{{metadata}}}\nspec:\n{text}\n"
    )


def tree_of(files, revision="r1", folders=()):
    """A tree of files given as text by path; `folders` are further namespaces, which are empty.

    Without a defaults.yaml among the files, one is added with what every session needs.
    """
    files = {"defaults.yaml": defaults_text(), **files}
    tree_files = []
    for path in sorted(files):
        content = files[path].encode()
        tree_files.append(TreeFile(path, hashlib.sha256(content).hexdigest(), content))
    namespaces = {path.partition("/")[0] for path in files if "/" in path}
    return Tree(revision, tuple(sorted(namespaces | set(folders))), tuple(tree_files))
