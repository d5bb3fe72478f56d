"""Commands, options, exit codes, fields and links in the documents are those of the program."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from docs.reference import generated
from reconcile.cli.exit_codes import MEANINGS, ExitCode
from reconcile.cli.main import reconcile_cli

ROOT = Path(__file__).parent.parent.parent
CLI = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md")]
    if ".venv" not in path.parts
)


def _options() -> Iterator[tuple[str, str]]:
    for name, command in reconcile_cli.commands.items():
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                for flag in (*parameter.opts, *parameter.secondary_opts):
                    yield name, flag


@pytest.mark.parametrize("name", sorted(reconcile_cli.commands))
def test_every_command_is_documented_and_has_help(name):
    assert f"`reconcile {name}" in CLI
    assert reconcile_cli.commands[name].help


@pytest.mark.parametrize(("command", "flag"), sorted(set(_options())))
def test_every_option_is_documented_with_its_command(command, flag):
    row = next(line for line in CLI.splitlines() if line.startswith("| `-") and f"`{flag}" in line)
    assert f"`{command}`" in row


@pytest.mark.parametrize(("command", "flag"), sorted(set(_options())))
def test_every_option_has_a_help_text(command, flag):
    options = [p for p in reconcile_cli.commands[command].params if isinstance(p, click.Option)]
    assert all(option.help for option in options if flag in option.opts)


def test_the_table_of_exit_codes_is_that_of_the_program():
    documented = dict(re.findall(r"^\| (\d+) \| (.+) \|$", CLI, re.MULTILINE))
    assert documented == {str(code.value): meaning for code, meaning in MEANINGS.items()}
    assert set(MEANINGS) == set(ExitCode)


@pytest.mark.parametrize("path", generated(), ids=lambda path: path.name)
def test_what_is_generated_is_up_to_date(path):
    assert path.read_text(encoding="utf-8") == generated()[path], "run: python docs/reference.py"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert (path.parent / target).exists(), target


def test_every_make_target_that_documents_name_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    for path in PAGES:
        for target in re.findall(r"`make ([a-z-]+)`", path.read_text(encoding="utf-8")):
            assert target in targets, f"{path.name}: make {target}"


def test_every_decision_is_in_the_index():
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    for record in folder.glob("[0-9]*.md"):
        assert record.name in index


def test_every_package_is_in_the_architecture():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for package in sorted({path.parent for path in (ROOT / "reconcile").rglob("*.py")}):
        name = package.relative_to(ROOT / "reconcile").as_posix()
        assert f"`{name}`" in text or name == ".", name
