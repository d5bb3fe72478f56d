"""The page of `reconcile-runner` has its commands, options, variables and exit codes."""

import re
from pathlib import Path

import click
import pytest

from reconcile.runner import bridge, cli
from reconcile.runner.cli import runner_cli

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "runner.md").read_text(encoding="utf-8")
OPTIONS = [
    (name, option)
    for name, command in sorted(runner_cli.commands.items())
    for option in command.params
    if isinstance(option, click.Option) and not option.hidden
]


def name_of(value):
    return value.opts[0] if isinstance(value, click.Option) else None


@pytest.mark.parametrize("name", sorted(runner_cli.commands))
def test_every_command_is_documented_and_has_help(name):
    assert f"`reconcile-runner {name}`" in PAGE
    assert runner_cli.commands[name].help


@pytest.mark.parametrize(("command", "option"), OPTIONS, ids=name_of)
def test_every_option_is_documented_with_its_command_and_has_help(command, option):
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{option.opts[0]}` |"))
    assert f"`{command}`" in row
    assert option.help


@pytest.mark.parametrize(("command", "option"), OPTIONS, ids=name_of)
def test_every_option_has_a_variable(command, option, monkeypatch):
    variable = "RECONCILE_RUNNER_" + option.opts[0].removeprefix("--").replace("-", "_").upper()
    monkeypatch.setenv(variable, "from-the-environment")
    with runner_cli.commands[command].make_context(
        command,
        [],
        resilient_parsing=True,
        auto_envvar_prefix="RECONCILE_RUNNER",
    ) as context:
        assert option.value_from_envvar(context) == "from-the-environment"


def test_every_exit_code_is_documented():
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)}
    codes = {bridge.FAILED, bridge.TERMINATED, bridge.INTERRUPTED, cli._USAGE, cli._BUG}
    assert documented == {0, *codes, cli._INTERRUPTED, cli._TERMINATED}
