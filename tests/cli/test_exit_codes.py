"""The exit codes: one for each case, no traceback for bad input, no secrets."""

import socket

import click
import pytest

from reconcile.adapters.embedded.cluster import EmbeddedCluster
from reconcile.cli import status, wiring
from reconcile.cli.exit_codes import MEANINGS, ExitCode, exit_code_for_error
from reconcile.cli.main import reconcile_cli
from reconcile.core.errors import (
    ClusterError,
    PolicyError,
    ReconcileError,
    SourceError,
    SpecError,
    UnavailableError,
)
from tests.cli.trees import ON_CLUSTERS
from tests.clocks import FakeClock

COMMANDS = ["validate", "render", "diff", "apply", "status", "schema"]
ON_TREES = COMMANDS[:-1]


def test_every_code_has_a_meaning_and_no_two_are_the_same():
    assert list(MEANINGS) == list(ExitCode)
    assert len({int(code) for code in ExitCode}) == len(ExitCode)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SpecError(()), 3),
        (SourceError("s"), 4),
        (ClusterError("c"), 4),
        (UnavailableError("u"), 4),
        (PolicyError("p"), 6),
        (ReconcileError("r"), 70),
    ],
)
def test_every_error_class_has_an_exit_code(error, code):
    assert exit_code_for_error(error) == code


# The command line itself


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["--nonsense"],
        ["diff", "--nonsense"],
        ["diff", "a", "b"],
        ["diff", "-o", "xml"],
        ["apply", "--concurrency", "0"],
        ["apply", "--concurrency", "many"],
        ["status", "-n"],
        ["schema", "--kind", "Nonsense"],
        ["diff", "--cluster", "nonsense:file"],
        ["diff", "--cluster", "embedded:"],
        ["apply", "--cluster", "embedded:x", "--context", "y"],
        ["status", "--cluster", "embedded:x", "--kubeconfig", "y"],
        [],
    ],
)
def test_a_wrong_command_line_ends_with_2_and_shows_the_usage(tree, monkeypatch, arguments):
    monkeypatch.chdir(tree.root.parent)
    ended = tree.run(*arguments)
    assert ended.code == 2
    assert ended.out == ""
    assert "Usage:" in ended.err or "Error:" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"]])
def test_help_and_version_end_with_0(tree, arguments):
    ended = tree.run(*arguments)
    assert ended.code == 0
    assert "reconcile" in ended.out


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself_and_each_of_its_options(tree, command):
    ended = tree.run(command, "--help")
    assert ended.code == 0
    options = [
        each for each in reconcile_cli.commands[command].params if isinstance(each, click.Option)
    ]
    assert options
    for option in options:
        assert all(name in ended.out for name in (*option.opts, *option.secondary_opts))
        assert option.help


def test_the_overview_names_every_command(tree):
    out = tree.run("--help").out
    assert all(f"\n  {command} " in out for command in COMMANDS)


# Missing files and clusters


@pytest.mark.parametrize("command", ON_TREES)
def test_a_missing_folder_ends_with_4(tree, command, tmp_path):
    tree.root = tmp_path / "nowhere"
    ended = tree.go(command)
    assert ended.code == 4
    assert ended.out == ""
    assert "nowhere: No such file or directory: name a folder of session files" in ended.err


def test_a_file_in_place_of_the_folder_ends_with_4(tree, tmp_path):
    tree.root = tmp_path / "file"
    tree.root.write_text("a")
    assert tree.go("validate").code == 4


def test_the_folder_is_desired_unless_another_is_named(tree, monkeypatch):
    monkeypatch.chdir(tree.root.parent)
    assert "1 session can be used." in tree.run("validate").err


@pytest.mark.parametrize("command", ON_TREES)
def test_a_missing_folder_of_templates_ends_with_4(tree, command, tmp_path):
    ended = tree.go(command, "--templates", str(tmp_path / "nowhere"))
    assert ended.code == 4
    assert "templates cannot be read" in ended.err


@pytest.mark.parametrize("command", ON_TREES)
@pytest.mark.parametrize("path", ["policy.yaml", "defaults.yaml"])
def test_without_a_usable_policy_or_defaults_it_ends_with_3(tree, command, path):
    ended = tree.write(path, "kind: Nonsense\n").go(command)
    assert ended.code == 3
    assert ended.out == ""
    assert path in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("command", ON_CLUSTERS)
def test_a_missing_kubeconfig_ends_with_4(tree, command):
    ended = tree.run(command, str(tree.root), "--kubeconfig", "/nowhere/config")
    assert ended.code == 4
    assert "/nowhere/config" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("command", ON_CLUSTERS)
def test_no_kubeconfig_ends_with_4_and_names_the_searched_paths(tree, command):
    ended = tree.run(command, str(tree.root))
    assert ended.code == 4
    assert "kubeconfig" in ended.err


def closed_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.mark.parametrize("command", ON_CLUSTERS)
def test_an_unreachable_cluster_ends_with_4_after_retries(tree, command, monkeypatch):
    clock = FakeClock()
    for module in (wiring, status):
        monkeypatch.setattr(module, "SystemClock", lambda: clock)
    config = tree.root.parent / "kubeconfig"
    config.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
        "contexts: [{name: c, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {}}]\n"
        f"clusters: [{{name: c, cluster: {{server: 'http://127.0.0.1:{closed_port()}'}}}}]\n"
    )
    ended = tree.run(command, str(tree.root), "--kubeconfig", str(config))
    assert ended.code == 4
    assert "127.0.0.1" in ended.err
    assert "Traceback" not in ended.err
    assert len(clock.waits) >= 5


@pytest.mark.parametrize("command", ON_CLUSTERS)
@pytest.mark.parametrize("content", ["nonsense", "[]", '{"items": [3]}'])
def test_an_invalid_state_file_ends_with_4_and_is_not_changed(tree, command, content):
    tree.state.write_text(content)
    ended = tree.go(command)
    assert ended.code == 4
    assert "not a state file of the embedded cluster" in ended.err
    assert tree.state.read_text() == content


# Unexpected errors


@pytest.mark.parametrize("command", ON_CLUSTERS)
def test_a_defect_ends_with_70_and_asks_for_a_report(tree, command, monkeypatch):
    def defect(*_):
        raise ZeroDivisionError("https://ann:hunter2secret@example.com/")
        yield

    monkeypatch.setattr(EmbeddedCluster, "list", defect)
    ended = tree.go(command)
    assert ended.code == 70
    assert ended.out == ""
    assert "ZeroDivisionError" in ended.err
    assert "Please report it" in ended.err
    assert "hunter2secret" not in ended.err
