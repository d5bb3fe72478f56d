"""Every option that a message or a help text names exists."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click

from reconcile.cli.main import reconcile_cli
from reconcile.mirror.cli.main import mirror_cli
from reconcile.runner.cli import runner_cli

PACKAGE = Path(__file__).parent.parent.parent / "reconcile"
OPTION = re.compile(r"(?<![\w<!-])--[a-z][a-z0-9-]*")

FOREIGN_OPTIONS = {
    "curl": {"--user"},
    "git": {
        "--add",
        "--branch",
        "--count",
        "--file",
        "--get",
        "--max-count",
        "--no-recurse-submodules",
        "--no-renames",
        "--not",
        "--remotes",
        "--single-branch",
        "--symref",
        "--batch",
        "--batch-check",
        "--cached",
        "--depth",
        "--end-of-options",
        "--full-tree",
        "--global",
        "--get-regexp",
        "--git-path",
        "--list",
        "--name-only",
        "--show-origin",
        "--git",  # `diff --git`, the first line of a patch
        "--git-dir",
        "--hard",
        "--ignore-submodules",
        "--initial-branch",
        "--is-shallow-repository",
        "--message",
        "--no-deref",
        "--no-optional-locks",
        "--no-tags",
        "--no-write-fetch-head",
        "--ignored",
        "--is-ancestor",
        "--porcelain",
        "--quiet",
        "--refetch",
        "--show-prefix",
        "--show-toplevel",
        "--template",
        "--unshallow",
        "--untracked-files",
        "--update-head-ok",
        "--verify",
        "--whitespace",
        "--work-tree",
        "--all",
        "--exclude",
    },
}
"""Options of other programs that the package starts or recognizes."""


def _own_options() -> set[str]:
    commands = [
        command
        for group in (reconcile_cli, mirror_cli, runner_cli)
        for command in (group, *group.commands.values())
    ]
    return {
        flag
        for command in commands
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for flag in (*parameter.opts, *parameter.secondary_opts)
    } | {"--help"}


def _docstrings(tree: ast.Module) -> set[ast.AST]:
    """Return every string that is a statement: docstrings of modules, functions, fields."""
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


def _find_options(source: str) -> Iterator[tuple[int, str]]:
    tree = ast.parse(source)
    docstrings = _docstrings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node not in docstrings:
            text = node.value.decode("latin-1") if isinstance(node.value, bytes) else node.value
            if isinstance(text, str):
                yield from ((node.lineno, option) for option in OPTION.findall(text))


def test_every_option_that_a_message_names_exists():
    existing = _own_options().union(*FOREIGN_OPTIONS.values())
    unknown = [
        f"{path.relative_to(PACKAGE)}:{line}: {option}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for line, option in _find_options(path.read_text(encoding="utf-8"))
        if option not in existing
    ]
    assert not unknown


def test_the_option_of_a_message_is_found_but_not_that_of_a_docstring():
    lines = [
        "def f(x):",
        '    """Like --this."""',
        '    return f"{x}: give --that=1" + "a--b <!--c"',
    ]
    assert list(_find_options("\n".join(lines))) == [(3, "--that")]
